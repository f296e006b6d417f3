package desired

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/vpnctl/vpnctl/internal/topology"
	"github.com/vpnctl/vpnctl/internal/topology/source"
)

// keysText is a network with secrets in files; its lines and columns count.
const keysText = `version: 1
site: test
nodes:
  a: {addresses: [192.0.2.1]}
  b: {addresses: [192.0.2.2]}
  c: {addresses: [192.0.2.3]}
wireguard:
  wg0:
    listen_port: 51820
    preshared_key: {file: wg0.psk}
    members:
      a:
        addresses: [10.0.0.1/24]
        public_key: pub(a)
        private_key: {file: a.key}
      b:
        addresses: [10.0.0.2/24]
        public_key: pub(b)
        private_key: {file: b.key}
      c:
        addresses: [10.0.0.3/24]
        public_key: pub(c)
    peers:
      phone: {addresses: [10.0.0.10/32], public_key: pub(phone), preshared_key: {file: phone.psk, encoding: hex}}
`

func TestKeyErrors(t *testing.T) {
	const isNoKey = "is no WireGuard key: use 44 characters of base64, as wg genkey prints them"
	good := map[string]string{"a.key": "priv(a)", "wg0.psk": "psk(all)", "phone.psk": hexKey("psk phone")}
	tests := []struct {
		name, node string
		files      map[string]string
		want       []string
	}{
		{"all is well", "a", nil, nil},
		{"others need no key of this node", "a", map[string]string{"b.key": ""}, nil},
		{"key does not match", "a", map[string]string{"a.key": "priv(b)"}, []string{
			"site.yaml:15:9: wireguard.wg0.members.a.private_key: does not match public_key pub(a): it belongs to pub(b)"}},
		{"key is none", "a", map[string]string{"a.key": "hunter2"}, []string{
			"site.yaml:15:9: wireguard.wg0.members.a.private_key: file a.key " + isNoKey}},
		{"preshared key is none", "a", map[string]string{"wg0.psk": "hunter2"}, []string{
			"site.yaml:10:5: wireguard.wg0.preshared_key: file wg0.psk " + isNoKey}},
		{"preshared key in another encoding", "a", map[string]string{"phone.psk": "psk(phone)"}, []string{
			"site.yaml:24:100: wireguard.wg0.peers.phone.preshared_key: file phone.psk " + isNoKey}},
		{"no private key on its own node", "c", nil, []string{
			"site.yaml:20:7: wireguard.wg0.members.c: has no private_key, and this is its own node; add private_key: {file: PATH}"}},
		{"everything at once, in the order of the file", "b", map[string]string{"wg0.psk": "-", "phone.psk": "-"}, []string{
			"site.yaml:10:5: wireguard.wg0.preshared_key: file wg0.psk: file does not exist",
			"site.yaml:19:9: wireguard.wg0.members.b.private_key: file b.key: file does not exist",
			"site.yaml:24:100: wireguard.wg0.peers.phone.preshared_key: file phone.psk: file does not exist"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := &keyring{files: map[string]string{}}
			for _, m := range []map[string]string{good, tt.files} {
				for name, data := range m {
					if k.files[name] = data; data == "-" {
						delete(k.files, name)
					}
				}
			}
			s, err := Derive(parse(t, keysText), tt.node, decoding{k})
			got := ""
			if err != nil {
				got = err.Error()
			}
			if want := expandKeys(strings.Join(tt.want, "\n")); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if (s == nil) != (err != nil) {
				t.Errorf("got state %v with error %v", s, err)
			}
			var errs source.Errors
			if err != nil && !errors.As(err, &errs) {
				t.Errorf("got %T, want source.Errors", err)
			}
			if strings.Contains(got, "hunter2") || strings.Contains(got, expandKeys("priv(b)")) {
				t.Error("the secret is told")
			}
		})
	}
}

func TestKeyErrorsWrap(t *testing.T) {
	_, err := Derive(parse(t, keysText), "a", &keyring{})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist in it", err)
	}
}

// TestKeyIDs: the id of a key is that of its base64, whatever it was written in, and each
// secret is read once.
func TestKeyIDs(t *testing.T) {
	k := &keyring{reads: map[string]int{}, files: map[string]string{
		"a.key": "priv(a)", "wg0.psk": "psk(all)", "phone.psk": hexKey("psk phone"),
	}}
	s, err := Derive(parse(t, keysText), "a", decoding{k})
	if err != nil {
		t.Fatal(err)
	}
	i := s.Interfaces[0]
	got := fmt.Sprintln(i.PrivateKey, i.Peers[0].PresharedKey, i.Peers[1].PresharedKey, i.Peers[2].PresharedKey)
	if want := fmt.Sprintln(keyOf("priv a"), keyOf("psk all"), keyOf("psk all"), keyOf("psk phone")); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for name, n := range k.reads {
		if n != 1 {
			t.Errorf("%s was read %d times", name, n)
		}
	}
}

// TestMasked derives every node of every example, and of a site whose secrets are
// nowhere: c has not even one that is named.
func TestMasked(t *testing.T) {
	tops := []*topology.Topology{parse(t, keysText)}
	for _, name := range []string{"wireguard-hub.yaml", "wireguard-nat.yaml", "l2tp-ipsec.yaml", "pptp.yaml"} {
		tops = append(tops, parse(t, example(t, name)))
	}
	for _, top := range tops {
		for _, n := range top.Nodes {
			s, err := Derive(top, n.Name, Masked)
			if err != nil {
				t.Errorf("%s of %s: %v", n.Name, top.Site, err)
				continue
			}
			for _, i := range s.Interfaces {
				if (i.PrivateKey != "(secret)") != (n.Name == "c") {
					t.Errorf("%s of %s: private key %q", n.Name, top.Site, i.PrivateKey)
				}
			}
		}
	}
}

func hexKey(word string) string {
	k := keyOf(word)
	return hex.EncodeToString(k[:])
}
