package swanctl_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/swanctl"
)

// FuzzRender makes wanted states of every shape, with text that charon takes, and reads
// back from the file what went in. The strings are the fuzzer's own where they are legal.
func FuzzRender(f *testing.F) {
	for seed := range uint64(200) {
		f.Add(seed, "plain", "\"quoted\" \\ # { } = ;  $(x) ", []byte{0, 1, 0xff, '\n', '"'})
	}
	f.Fuzz(func(t *testing.T, seed uint64, a, b string, value []byte) {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 0)), value: value}
		for _, text := range []string{a, b} {
			if swanctl.CheckOwner(text) == nil {
				g.texts = append(g.texts, text)
			}
		}
		i := g.ipsec()
		text, err := swanctl.Render(&i, reveal)
		if err != nil {
			t.Fatalf("seed %d: Render: %v", seed, err)
		}
		if again, _ := swanctl.Render(&i, reveal); string(again) != string(text) {
			t.Errorf("seed %d: rendered twice:\n%s", seed, cmp.Diff(string(text), string(again)))
		}
		root, err := swanctl.Parse(text)
		if err != nil {
			t.Fatalf("seed %d: reading back:\n%s\n%v", seed, text, err)
		}
		checkRead(t, &i, root)
		checkMessages(t, &i)
		if t.Failed() {
			t.Logf("seed %d:\n%s", seed, text)
		}
	})
}

// FuzzRefuse renders text of any kind, and either refuses it or reads it back.
func FuzzRefuse(f *testing.F) {
	for _, text := range []string{"a", " a ", "a,b", "'a'", "a  b", "é", "a\nb", "\x00", "%any", "0xab", "a}", "\"", "a\\", "#"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		i := only(between("x", "192.0.2.1", text), psk("x", "secret", text))
		i.Connections[0].Local.ID = text
		i.Connections[0].Children[0].LocalTS = []string{text, text}
		out, err := swanctl.Render(&i, reveal)
		if err != nil {
			return
		}
		root, err := swanctl.Parse(out)
		if err != nil {
			t.Fatalf("reading back:\n%s\n%v", out, err)
		}
		checkRead(t, &i, root)
	})
}

// checkRead compares a parsed file with the state that it was made of, field by field: by
// other means than those that made it.
func checkRead(t *testing.T, i *desired.IPsec, root *swanctl.Section) {
	t.Helper()
	equal := func(what string, want, got any) {
		t.Helper()
		if diff := cmp.Diff(want, got, equateEmpty); diff != "" {
			t.Errorf("%s (-want +read):\n%s", what, diff)
		}
	}
	conns := root.Sub("connections")
	equal("number of connections", len(i.Connections)+len(i.Bypasses), len(conns.Names()))
	for _, c := range i.Connections {
		s := conns.Sub(c.Name)
		equal("local_addrs", c.LocalAddrs, s.Items("local_addrs"))
		equal("remote_addrs", c.RemoteAddrs, s.Items("remote_addrs"))
		equal("pools", c.Pools, s.Items("pools"))
		for _, setting := range c.Settings {
			equal(setting.Key, setting.Value, s.Values[setting.Key])
		}
		for name, auth := range map[string]desired.Auth{"local": c.Local, "remote": c.Remote} {
			equal(name, auth, desired.Auth{
				Method: s.Sub(name).Values["auth"], ID: s.Sub(name).Values["id"], EAPID: s.Sub(name).Values["eap_id"],
				Certs: s.Sub(name).Items("certs"), CACerts: s.Sub(name).Items("cacerts"), PubKeys: s.Sub(name).Items("pubkeys"),
			})
		}
		equal("number of children", len(c.Children), len(s.Sub("children").Names()))
		for _, child := range c.Children {
			cs := s.Sub("children").Sub(child.Name)
			equal("local_ts", child.LocalTS, cs.Items("local_ts"))
			equal("remote_ts", child.RemoteTS, cs.Items("remote_ts"))
			equal("mode", child.Mode, cs.Values["mode"])
			equal("start_action", child.Hold, cs.Values["start_action"])
		}
	}
	for _, s := range i.Secrets {
		section := root.Sub("secrets").Sub(s.Name)
		want, _ := reveal(s.Secret)
		got, err := swanctl.SecretBytes(s.Name, section)
		if err != nil {
			t.Error(err)
		}
		equal(s.Name, string(want), string(got))
		equal("owners", s.Owners, swanctl.Owners(section))
		equal("file", s.File, section.Values["file"])
	}
	for _, p := range i.Pools {
		equal("addrs", p.Addrs, root.Sub("pools").Sub(p.Name).Values["addrs"])
		equal("dns", len(p.DNS), len(root.Sub("pools").Sub(p.Name).Items("dns")))
	}
}

// generator makes wanted states.
type generator struct {
	*rand.Rand
	texts []string // to choose from, besides what it makes itself
	value []byte   // of a secret
}

// printable are the characters that charon takes.
func printable() string {
	var b strings.Builder
	for c := byte(' '); c <= '~'; c++ {
		b.WriteByte(c)
	}
	return b.String()
}

// text makes one that may stand for an id.
func (g *generator) text() string {
	if len(g.texts) > 0 && g.IntN(2) == 0 {
		return g.texts[g.IntN(len(g.texts))]
	}
	return g.of(printable(), 40)
}

// item makes one that may stand in a list.
func (g *generator) item() string {
	return "a" + g.of(strings.NewReplacer(",", "", "/", "").Replace(printable()), 20) + "z"
}

func (g *generator) of(chars string, most int) string {
	b := make([]byte, 1+g.IntN(most))
	for k := range b {
		b[k] = chars[g.IntN(len(chars))]
	}
	return string(b)
}

// some makes up to three of a kind.
func some[T any](g *generator, one func(k int) T) []T {
	var all []T
	for k := range g.IntN(4) {
		all = append(all, one(k))
	}
	return all
}

func (g *generator) items() []string { return some(g, func(int) string { return g.item() }) }

func (g *generator) settings() []desired.Setting {
	return some(g, func(k int) desired.Setting { return desired.Setting{Key: fmt.Sprintf("key_%d", k), Value: g.text()} })
}

func (g *generator) auth() desired.Auth {
	return desired.Auth{Method: g.text(), ID: g.text(), EAPID: g.text(), Certs: g.items(), CACerts: g.items(), PubKeys: g.items()}
}

func (g *generator) time() *time.Duration {
	if g.IntN(2) == 0 {
		return nil
	}
	return pointer(time.Duration(g.IntN(1_000_000)) * time.Second)
}

func (g *generator) ipsec() desired.IPsec {
	return desired.IPsec{
		Connections: some(g, g.connection),
		Secrets:     append(some(g, g.shared), some(g, g.passphrase)...),
		Pools: some(g, func(k int) desired.Pool {
			return desired.Pool{
				Name: fmt.Sprintf("pool-%d", k), Addrs: g.text(),
				DNS: some(g, func(int) netip.Addr { return netip.AddrFrom4([4]byte{byte(g.IntN(256)), 1, 2, 3}) }),
			}
		}),
		Bypasses: some(g, func(k int) desired.Bypass {
			return desired.Bypass{Name: fmt.Sprintf("bypass-%d", k), LocalTS: g.items()}
		}),
	}
}

func (g *generator) connection(k int) desired.Connection {
	return desired.Connection{
		Name: fmt.Sprintf("conn-%d", k), Version: 1 + g.IntN(2), LocalAddrs: g.items(), RemoteAddrs: g.items(), Proposals: g.items(),
		RekeyTime: g.time(), DPDDelay: time.Duration(g.IntN(3)) * time.Minute, DPDTimeout: time.Duration(g.IntN(3)) * time.Minute,
		Settings: g.settings(), Local: g.auth(), Remote: g.auth(), Pools: g.items(), VIPs: g.items(), IfID: uint32(g.IntN(3)),
		Children: some(g, func(k int) desired.Child {
			return desired.Child{
				Name: fmt.Sprintf("child-%d", k), LocalTS: g.items(), RemoteTS: g.items(), Mode: g.text(),
				Protocol: []string{"esp", "ah"}[g.IntN(2)], Proposals: g.items(), RekeyTime: g.time(),
				Hold: g.text(), DPDAction: g.text(), Settings: g.settings(),
			}
		}),
	}
}

// bytes makes a secret.
func (g *generator) bytes() string {
	if len(g.value) > 0 && g.IntN(2) == 0 {
		return string(g.value)
	}
	b := make([]byte, 1+g.IntN(64))
	for k := range b {
		b[k] = byte(g.IntN(256))
	}
	return string(b)
}

func (g *generator) shared(k int) desired.CharonSecret {
	kind := []string{"ike", "eap"}[g.IntN(2)]
	owners := append(some(g, func(int) string { return g.text() }), g.text())
	return desired.CharonSecret{
		Name: fmt.Sprintf("%s-%d", kind, k), Kind: kind, Owners: owners, Secret: secret.ID("secret:" + g.bytes()),
	}
}

func (g *generator) passphrase(k int) desired.CharonSecret {
	text := strings.ReplaceAll(g.bytes(), "\x00", "0")
	return desired.CharonSecret{
		Name: fmt.Sprintf("private-%d", k), Kind: "private", File: g.item(), Secret: secret.ID("secret:" + text),
	}
}
