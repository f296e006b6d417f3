package pptp

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vpnctl/vpnctl/internal/desired"
)

var byValue = cmp.Options{cmpopts.EquateComparable(netip.Addr{}), cmp.AllowUnexported(config{}), cmpopts.EquateEmpty()}

func ranges(text string) []desired.AddrRange {
	var out []desired.AddrRange
	for word := range strings.FieldsSeq(text) {
		from, to, ok := strings.Cut(word, "-")
		if !ok {
			to = from
		}
		out = append(out, desired.AddrRange{From: netip.MustParseAddr(from), To: netip.MustParseAddr(to)})
	}
	return out
}

func serverWith(pools string) *desired.PPPServer {
	return &desired.PPPServer{
		PPPTunnel: desired.PPPTunnel{Protocol: desired.PPTP, Name: "legacy"}, LocalIP: netip.MustParseAddr("192.168.0.1"), Pools: ranges(pools),
	}
}

func TestRender(t *testing.T) {
	s := serverWith("192.168.130.100-192.168.130.200 192.168.140.250-192.168.142.3")
	want := `# Written by vpnctl; changes are overwritten.
option /etc/ppp/options.vpnctl-pptp-legacy
localip 192.168.0.1
remoteip 192.168.130.100-200,192.168.140.250-255,192.168.141.0-255,192.168.142.0-3
connections 367
pidfile /run/vpnctl/pptpd.pid
`
	if diff := cmp.Diff(want, string(Render(s))); diff != "" {
		t.Errorf("file (-want +got):\n%s", diff)
	}
	s.MaxSessions = 102
	if got := string(Render(s)); !strings.Contains(got, "remoteip 192.168.130.100-200,192.168.140.250\nconnections 102\n") {
		t.Errorf("with max_sessions:\n%s", got)
	}
	s = serverWith("")
	s.Users = []desired.PPPUser{{Name: "a", Address: netip.MustParseAddr("10.0.0.7")}, {Name: "b", Address: netip.MustParseAddr("10.0.0.8")}}
	got := Render(s)
	if !strings.Contains(string(got), placesMark+"\n") || !strings.Contains(string(got), "remoteip 10.0.0.7-8\n") {
		t.Errorf("without a pool:\n%s", got)
	}
	// Whose address is his own may come again whatever place he is given.
	text, free, err := Load(got, []netip.Addr{netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("10.0.0.8")})
	if free != 2 || err != nil || !strings.Contains(string(text), "remoteip 10.0.0.7-8\n") {
		t.Errorf("without a pool, and with everybody here: %d, %v\n%s", free, err, text)
	}
}

func TestWithout(t *testing.T) {
	for _, tt := range []struct{ pool, held, want string }{
		{"10.0.0.1-10.0.0.9", "", "10.0.0.1-10.0.0.9"},
		{"10.0.0.1-10.0.0.9", "10.0.0.1 10.0.0.9", "10.0.0.2-10.0.0.8"},
		{"10.0.0.1-10.0.0.9", "10.0.0.6 10.0.0.5 10.0.0.5 10.0.1.1", "10.0.0.1-10.0.0.4 10.0.0.7-10.0.0.9"},
		{"10.0.0.1-10.0.0.3 10.0.1.1", "10.0.0.1 10.0.0.2 10.0.0.3", "10.0.1.1"},
		{"10.0.0.1 10.0.1.1-10.0.1.2", "10.0.1.2 10.0.0.1 fd00::1", "10.0.1.1"},
		{"10.0.0.255", "10.0.0.255", ""},
	} {
		var held []netip.Addr
		for word := range strings.FieldsSeq(tt.held) {
			held = append(held, netip.MustParseAddr(word))
		}
		if diff := cmp.Diff(ranges(tt.want), without(ranges(tt.pool), held), byValue); diff != "" {
			t.Errorf("%s without %s (-want +got):\n%s", tt.pool, tt.held, diff)
		}
	}
}

// TestFit: a line is never longer than what pptpd reads, whoever is here.
func TestFit(t *testing.T) {
	conf := Render(serverWith("192.168.130.0-192.168.131.255"))
	var held []netip.Addr
	for a := netip.MustParseAddr("192.168.130.1"); a.Less(netip.MustParseAddr("192.168.131.0")); a = a.Next().Next() {
		held = append(held, a)
	}
	text, free, err := Load(conf, held)
	if err != nil {
		t.Fatal(err)
	}
	c, err := parse(text)
	if err != nil || size(c.pool) != free {
		t.Errorf("loaded %d of %d, %v", size(c.pool), free, err)
	}
	for line := range strings.Lines(string(text)) {
		if len(line) > maxLine+1 {
			t.Errorf("line of %d: %s", len(line), line)
		}
	}
	// The whole second half, and what else there is room for.
	if free < 256+20 || c.pool[len(c.pool)-1].Size() != 256 {
		t.Errorf("%d are free:\n%s", free, text)
	}
}

func TestLoadErrors(t *testing.T) {
	for name, text := range map[string]string{
		"somebody else's": "option /etc/ppp/pptpd-options\nlocalip 192.168.0.1\nremoteip 192.168.0.2-9\n",
		"cut short":       "# Written by vpnctl\noption /x\n",
		"mended by hand":  "# Written by vpnctl\noption /x\nlocalip 10.0.0.1\nremoteip 10.0.0.9-2\n",
		"of no address":   "# Written by vpnctl\noption /x\nlocalip vpn\nremoteip 10.0.0.2\n",
	} {
		if _, _, err := Load([]byte(text), nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if got := source([]byte("# Written by vpnctl; changes are overwritten.\n")); got != "" {
		t.Errorf("the file itself is of %q", got)
	}
}

// FuzzParse: what is read is what is written.
func FuzzParse(f *testing.F) {
	f.Add(string(Render(serverWith("192.168.130.100-192.168.130.200 10.0.0.1"))))
	f.Add("# Written by vpnctl\n" + placesMark + "\noption /x\nlocalip 10.0.0.1\nremoteip 10.0.0.2,10.0.0.5-7\n")
	f.Add("# Written by vpnctl\noption /x\nlocalip 10.0.0.1\nremoteip 10.0.0.2-::1\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parse([]byte(text))
		if err != nil {
			return
		}
		again, err := parse(c.text("# Written by vpnctl"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, again, byValue); diff != "" {
			t.Errorf("read again (-first +second):\n%s", diff)
		}
	})
}

func TestOffered(t *testing.T) {
	for args, want := range map[string]string{
		"pppd local file /etc/ppp/o 115200 192.168.0.1:192.168.130.7 ipparam 10.0.0.1 remotenumber 10.0.0.1": "192.168.130.7",
		"pppd call vpnctl-pptp-x nodetach set VPNCTL_OPTIONS=ab:cd":                                          "",
		"pppd passive nodetach : refuse-pap":                                                                 "",
	} {
		got := ""
		for _, a := range offered(strings.Fields(args)) {
			got = a.String()
		}
		if got != want {
			t.Errorf("%s offers %q, want %q", args, got, want)
		}
	}
}
