package wireguard_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/wireguard"
	"github.com/vpnctl/vpnctl/internal/wireguard/wireguardtest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func mask(secret.ID) (string, bool) { return "", false }

func TestRender(t *testing.T) {
	r := newRig(t)
	reveal := func(id secret.ID) (string, bool) {
		v, err := r.secrets.Value(id)
		return string(v.Reveal()), err == nil
	}
	full := r.wg0(r.psk(0, 200), hooks, dns([]string{"10.0.0.53", "fd00::53"}, "example.net"), table(1234), addresses("10.0.0.1/24", "fd00::1/64"),
		endpoint("2001:db8::7", 51820), peerN(0, func(p *desired.Peer) { p.PersistentKeepalive = 25 * time.Second }),
		func(i *desired.Interface) { i.FirewallMark = 66 }, netns("blue"))
	for _, tt := range []struct {
		name  string
		iface desired.Interface
		show  func(secret.ID) (string, bool)
	}{
		{"masked", full, mask},
		{"revealed", full, reveal},
		{"minimal", desired.Interface{Name: "wg0", PrivateKey: "secret:1", Table: desired.Table{Off: true}}, mask},
	} {
		t.Run(tt.name, func(t *testing.T) {
			golden(t, filepath.Join("testdata", tt.name+".conf"), wireguard.Render(&tt.iface, tt.show))
		})
	}
}

func golden(t *testing.T, path, have string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(have), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), have); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// section is one section of a wg-quick file: its keys and values in order.
type section struct {
	name   string
	fields [][2]string
}

// parse reads the format of wg-quick(8) as its own reader does: line by line, `#` begins
// a comment, `[X]` a section.
func parse(text string) []section {
	var out []section
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		key, value, ok := strings.Cut(line, "=")
		switch {
		case strings.HasPrefix(line, "["):
			out = append(out, section{name: line})
		case ok && len(out) > 0:
			s := &out[len(out)-1]
			s.fields = append(s.fields, [2]string{strings.TrimSpace(key), strings.TrimSpace(value)})
		}
	}
	return out
}

// FuzzRender lets names, hosts and hooks be anything: they never become keys.
func FuzzRender(f *testing.F) {
	f.Add("alice", "vpn.example.net", "iptables -A INPUT", "example.net")
	f.Add("x\n[Peer]\nPublicKey = evil", "a\rb", "a\nPostUp = rm -rf /", "\n[Interface]")
	f.Add("x\u2028y\u0085z\vw", "#", "", "\x00")
	f.Fuzz(func(t *testing.T, name, host, hook, search string) {
		key := wireguardtest.Key(100).PublicKey()
		i := desired.Interface{
			Name: "wg0", PrivateKey: "secret:1", Search: []string{search}, Netns: name,
			Hooks: desired.Hooks{PostUp: []string{hook}},
			Peers: []desired.Peer{{Name: name, PublicKey: key, Endpoint: desired.Endpoint{Host: host, Port: 1}, AllowedIPs: prefixes("10.0.0.0/8")}},
		}
		sections := parse(wireguard.Render(&i, mask))
		var shape []string
		for _, s := range sections {
			shape = append(shape, s.name)
			for _, kv := range s.fields {
				shape = append(shape, kv[0])
			}
		}
		// What is empty, or all comment, has no line.
		want := []string{"[Interface]", "PrivateKey"}
		if search != "" {
			want = append(want, "DNS")
		}
		if hook != "" {
			want = append(want, "PostUp")
		}
		want = append(want, "[Peer]", "PublicKey", "AllowedIPs")
		if host != "" {
			want = append(want, "Endpoint")
		}
		if diff := cmp.Diff(want, shape); diff != "" {
			t.Errorf("keys (-want +got):\n%s", diff)
		}
		if fields := sections[len(sections)-1].fields; fields[0][1] != key.String() {
			t.Errorf("public key %q", fields[0][1])
		}
	})
}
