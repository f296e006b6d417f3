package l2tp

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/desired"
)

func example() *desired.PPP {
	addr := netip.MustParseAddr
	office := desired.PPPTunnel{Protocol: desired.L2TP, Name: "office"}
	return &desired.PPP{
		Servers: []desired.PPPServer{{
			PPPTunnel: office, LocalIP: addr("192.168.130.1"),
			Pools: []desired.AddrRange{{From: addr("192.168.130.100"), To: addr("192.168.130.200")}},
		}, {PPPTunnel: desired.PPPTunnel{Protocol: desired.PPTP, Name: "legacy"}}},
		Links: []desired.PPPLink{{
			PPPTunnel: desired.PPPTunnel{Protocol: desired.L2TP, Name: "far"}, Server: "gw.example.net", User: "us",
		}, {PPPTunnel: desired.PPPTunnel{Protocol: desired.PPTP, Name: "old"}, Server: "10.0.0.1", User: "us"}},
	}
}

func TestRender(t *testing.T) {
	want := `; Written by vpnctl; changes are overwritten.
[global]
port = 1701
access control = no

[lns vpnctl-office-cbc17229]
lac = 0.0.0.0-255.255.255.255
ip range = 192.168.130.100-192.168.130.200
local ip = 192.168.130.1
require authentication = yes
name = vpnctl-l2tp-office
pppoptfile = /etc/ppp/options.vpnctl-l2tp-office
length bit = yes
pass peer = yes

[lac vpnctl-far-a74d96b0]
lns = gw.example.net
autodial = yes
redial = yes
redial timeout = 5
pppoptfile = /etc/ppp/peers/vpnctl-l2tp-far
length bit = yes
pass peer = yes
`
	files := Render(example())
	if len(files) != 1 || files[0].Path != ConfPath || files[0].Mode != 0o644 {
		t.Fatalf("files are %+v", files)
	}
	if diff := cmp.Diff(want, string(files[0].Data)); diff != "" {
		t.Errorf("file (-want +got):\n%s", diff)
	}
	if files := Render(&desired.PPP{Servers: example().Servers[1:], Links: example().Links[1:]}); files != nil {
		t.Errorf("without L2TP there are %v", files)
	}
}

// What xl2tpd keeps of a name is at most 99 bytes, and a longer line it does not read.
func TestLongestNames(t *testing.T) {
	p := example()
	p.Servers[0].Name, p.Links[0].Name = strings.Repeat("s", 64), strings.Repeat("l", 64)
	for line := range strings.Lines(string(Render(p)[0].Data)) {
		_, value, ok := strings.Cut(strings.TrimSpace(line), " = ")
		if !ok {
			_, value, _ = strings.Cut(strings.Trim(strings.TrimSpace(line), "[]"), " ")
		}
		if len(value) > 99 && !strings.HasPrefix(line, ";") {
			t.Errorf("%q is %d bytes long", value, len(value))
		}
	}
}

func TestNameOf(t *testing.T) {
	s := newSection(kindLNS, "a-b_c", []string{"x = y"})
	for name, want := range map[string][3]any{
		s.Name:                       {"a-b_c", s.Name, true},
		s.Name + ".2":                {"a-b_c", s.Name, true},
		"office":                     {"", "", false},
		"vpnctl-office":              {"", "", false},
		"vpnctl--12345678":           {"", "", false},
		"vpnctl-office-1234567":      {"", "", false},
		"default":                    {"", "", false},
		"":                           {"", "", false},
		"vpnctl-office-1234567890":   {"", "", false},
		"vpnctl-12345678-12345678.9": {"12345678", "vpnctl-12345678-12345678", true},
	} {
		tunnel, base, ok := nameOf(name)
		if got := [3]any{tunnel, base, ok}; got != want {
			t.Errorf("nameOf(%q) = %v, want %v", name, got, want)
		}
	}
}

// A name says what is in a section: kind, tunnel and options.
func TestNewSection(t *testing.T) {
	names := map[string]bool{}
	for _, s := range []Section{
		newSection(kindLNS, "a", []string{"x = y", "z = 1"}), newSection(kindLNS, "b", []string{"x = y", "z = 1"}),
		newSection(kindLAC, "a", []string{"x = y", "z = 1"}), newSection(kindLNS, "a", []string{"z = 1", "x = y"}),
		newSection(kindLNS, "a", []string{"x = y"}),
	} {
		names[s.Name] = true
	}
	if len(names) != 5 {
		t.Errorf("names are %v", names)
	}
}

// What Render writes parse reads, and it finds out about any other letter in it.
func TestParse(t *testing.T) {
	data := Render(example())[0].Data
	if diff := cmp.Diff(sections(example()), parse(data)); diff != "" {
		t.Errorf("parsed (-want +got):\n%s", diff)
	}
	for _, s := range parse(data) {
		if s.edited() {
			t.Errorf("%+v counts as edited", s)
		}
	}
	for _, edit := range [][2]string{{".200", ".201"}, {"local ip = 192.168.130.1\n", ""}, {"[lns ", "[lns default]\n[lns "}, {"length", "; length"}} {
		changed := parse([]byte(strings.Replace(string(data), edit[0], edit[1], 1)))
		if got := slices.ContainsFunc(changed, func(s Section) bool { return s.edited() }); got != (edit[0] != "[lns ") {
			t.Errorf("with %q for %q, edited is %v", edit[1], edit[0], got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(string(Render(example())[0].Data))
	f.Add("[lns vpnctl-a-12345678]\n[\n]\n=\n[lac vpnctl-a-12345678.3]\nx\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range parse([]byte(text)) {
			if tunnel, _, ok := nameOf(s.Name); !ok || tunnel != s.Tunnel {
				t.Errorf("a section of another's: %+v", s)
			}
			for _, o := range s.Options {
				if strings.ContainsAny(o, "\n;") || strings.TrimSpace(o) == "" {
					t.Errorf("an option is %q", o)
				}
			}
			s.fields()
		}
	})
}
