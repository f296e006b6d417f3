package topology

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/vpnctl/vpnctl/internal/topology/source"
)

// FuzzParse checks what holds for any input: no panic, every message has its
// place and one line, and what may be kept of a valid file reads like it.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatalf("found no examples: %v", err)
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	for _, seed := range []string{
		"", "~", "[", "{}", "- a", "a: &x {b: *x}", "version: 1\nsite: s\nnodes: {a: , b}",
		"? [a]\n: b", "<<: {a: b}", "\xef\xbb\xbfversion: 1", "nodes: !!binary x", "a\r\nb: \u2028c",
	} {
		f.Add([]byte(seed))
		f.Add([]byte(head + "wireguard: {wg0: {members: {a: " + seed + "}}}"))
		f.Add([]byte(head + "ipsec: {x: {ends: {a: " + seed + ", b: {}}}, y: {server: a, auth: {psk: {value: " + seed + "}}}}"))
		f.Add([]byte(head + "l2tp: {x: {server: a, ipsec: {psk: " + seed + "}, users: {u: " + seed + "}}}"))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		top, warnings, err := Parse("f", src)
		for _, w := range warnings {
			checkMessage(t, w.Pos, w.String())
		}
		if err != nil {
			checkErrors(t, err)
		} else {
			checkRedacted(t, src, top)
		}
		checkFilledIn(t, src)
	})
}

func checkErrors(t *testing.T, err error) {
	var list source.Errors
	if !errors.As(err, &list) || len(list) == 0 {
		t.Fatalf("the error is no list: %v", err)
	}
	for _, e := range list {
		checkMessage(t, e.Pos, e.Error())
	}
}

func checkMessage(t *testing.T, pos Pos, text string) {
	if pos.File != "f" || pos.Line < 1 || pos.Column < 1 {
		t.Errorf("has no place: %+v: %s", pos, text)
	}
	if strings.ContainsAny(text, "\r\n\x00\x1b") {
		t.Errorf("is not one line of text: %q", text)
	}
}

func checkRedacted(t *testing.T, src []byte, top *Topology) {
	out, err := Redact("f", src)
	if errors.Is(err, errUnclear) {
		return
	}
	if err != nil {
		t.Fatalf("redacting what is valid: %v", err)
	}
	again, _, err := Parse("f", out)
	if err != nil {
		t.Fatalf("the redacted file: %v\n%s", err, out)
	}
	if again.Site != top.Site || len(again.Nodes) != len(top.Nodes) {
		t.Errorf("the redacted file is another:\n%s", out)
	}
}

// checkFilledIn gives every member of a draft a key, and must find them.
func checkFilledIn(t *testing.T, src []byte) {
	draft, _, err := ParseDraft("f", src)
	if err != nil {
		return
	}
	keys, n := map[string]map[string]wgtypes.Key{}, byte(0)
	for _, network := range draft.WireGuard {
		keys[network.Name] = map[string]wgtypes.Key{}
		for _, m := range network.Members {
			if m.PublicKey == (wgtypes.Key{}) && n < 255 {
				n++
				keys[network.Name][m.Node] = wgtypes.Key{n, 1, 2, 3}
			}
		}
	}
	out, err := SetPublicKeys(src, keys)
	if err != nil {
		return
	}
	filled, _, err := ParseDraft("f", out)
	if err != nil {
		t.Fatalf("the filled file: %v\n%s", err, out)
	}
	for network, members := range keys {
		for member, key := range members {
			if got, _ := filled.publicKey(network, member); got != key {
				t.Errorf("%s/%s has key %s, want %s", network, member, got, key)
			}
		}
	}
}
