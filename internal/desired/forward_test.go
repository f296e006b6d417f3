package desired

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// lines returns the lines of a state that begin with one of some words.
func lines(s *State, words ...string) string {
	var b strings.Builder
	for line := range strings.Lines(show(s)) {
		for _, w := range words {
			if strings.HasPrefix(line, w+" ") {
				b.WriteString(line)
			}
		}
	}
	return b.String()
}

func TestForwards(t *testing.T) {
	phone := func(more string) string {
		return "    peers:\n      phone: {addresses: [10.0.0.10/32], public_key: pub(phone)" + more + "}\n"
	}
	only4 := func(members map[string]string) string { // a network without IPv6
		text := meshOf("", members)
		for _, m := range []string{"1", "2", "3", "4"} {
			text = strings.ReplaceAll(text, `, "fd00::`+m+`/64"`, "")
		}
		return text
	}
	three := map[string]string{"a": "", "b": "", "d": ""}
	tests := []struct {
		name, text, node, want string
	}{
		{"member of a mesh forwards nothing", meshOf("", three), "a", ""},
		{"hub of one member forwards nothing", meshOf("    hub: a\n", map[string]string{"a": "", "b": ""}), "a", ""},
		{"hub", meshOf("    hub: a\n", three), "a", `
			forward in wg0 out wg0
			clamp out wg0
			sysctl net/ipv4/ip_forward=1
			sysctl net/ipv6/conf/all/forwarding=1
			`},
		{"spoke", meshOf("    hub: a\n", three), "b", ""},
		{"only one in reach of a foreign peer", meshOf(phone(", via: [b]"), three), "b", `
			forward in wg0 out wg0 family 4
			clamp out wg0 family 4
			sysctl net/ipv4/ip_forward=1
			`},
		{"first of two", meshOf(phone(", via: [b, a]"), three), "b", `
			forward in wg0 out wg0 family 4
			clamp out wg0 family 4
			sysctl net/ipv4/ip_forward=1
			`},
		{"second of two", meshOf(phone(", via: [b, a]"), three), "a", ""},
		{"all have the foreign peer", meshOf(phone(""), three), "a", ""},
		{"all have the foreign peer and say so", meshOf(phone(", via: [a, b, d]"), three), "a", ""},
		{"spoke with a foreign peer", meshOf("    hub: a\n"+phone(", via: [b]"), three), "b", `
			forward in wg0 out wg0 family 4
			clamp out wg0 family 4
			sysctl net/ipv4/ip_forward=1
			`},
		{"spoke beside the hub", meshOf("    hub: a\n"+phone(", via: [b, a]"), three), "b", ""},
		{"networks in both families", meshOf("", map[string]string{"a": ", networks: [10.1.0.0/16, 'fd01::/32']", "b": ""}), "a", `
			forward from 10.1.0.0/16 out wg0
			forward from fd01::/32 out wg0
			forward in wg0 to 10.1.0.0/16
			forward in wg0 to fd01::/32
			clamp out wg0
			sysctl net/ipv4/ip_forward=1
			sysctl net/ipv6/conf/all/forwarding=1
			`},
		{"network of a family that no peer speaks", only4(map[string]string{"a": ", networks: ['fd01::/32']", "b": ""}), "a", ""},
		{"network behind nat", only4(map[string]string{"a": ", networks: [10.1.0.0/16]", "b": ", networks: [10.2.0.0/16]"}) +
			"nat: {a: [{source: [10.0.0.0/15, 10.2.0.0/16], out: auto}]}\n", "a", `
			forward from 10.1.0.0/16 out wg0 answers
			forward in wg0 to 10.1.0.0/16
			clamp out wg0 family 4
			sysctl net/ipv4/ip_forward=1
			`},
		{"network behind nat for some", only4(map[string]string{"a": ", networks: [10.1.0.0/16]", "b": ", networks: [10.2.0.0/17, 10.2.128.0/17]", "d": ""}) +
			"nat: {a: [{source: [10.0.0.0/24], out: auto}]}\n", "a", `
			forward from 10.1.0.0/16 out wg0 answers
			forward from 10.1.0.0/16 out wg0 to 10.2.0.0/16
			forward in wg0 to 10.1.0.0/16
			clamp out wg0 family 4
			sysctl net/ipv4/ip_forward=1
			`},
		{"nat into the tunnel hides nobody in it", only4(map[string]string{"a": ", networks: [10.1.0.0/16]", "b": ""}) +
			"nat: {a: [{source: [10.0.0.0/8], out: wg0}]}\n", "a", `
			forward from 10.1.0.0/16 out wg0
			forward in wg0 to 10.1.0.0/16
			clamp out wg0 family 4
			sysctl net/ipv4/ip_forward=1
			`},
		{"nat of another node", only4(map[string]string{"a": ", networks: [10.1.0.0/16]", "b": ""}) +
			"nat: {b: [{source: [10.0.0.0/8], out: auto}]}\n", "a", `
			forward from 10.1.0.0/16 out wg0
			forward in wg0 to 10.1.0.0/16
			clamp out wg0 family 4
			sysctl net/ipv4/ip_forward=1
			`},
		{"nat for the tunnel's members", meshOf("nat: {a: [{source: [10.0.0.0/24], out: auto}]}\n", three), "a", `
			clamp out wg0 family 4
			sysctl net/ipv4/ip_forward=1
			`},
		{"nat for one member", meshOf("nat: {a: [{source: [10.0.0.2/32], out: auto}]}\n", three), "a", `
			clamp out wg0 family 4
			sysctl net/ipv4/ip_forward=1
			`},
		{"nat for others", meshOf("nat: {a: [{source: [10.7.0.0/24], out: auto}]}\n", three), "a", `
			sysctl net/ipv4/ip_forward=1
			`},
		{"one member's way to everywhere", meshOf("", map[string]string{"a": ", allowed_ips: {b: [0.0.0.0/0, '::/0']}", "b": "", "d": ""}), "a", `
			forward from 0.0.0.0/0 out wg0 to 10.0.0.2/32 answers
			forward from ::/0 out wg0 to fd00::2/128 answers
			forward in wg0 from 10.0.0.2/32 to 0.0.0.0/0
			forward in wg0 from fd00::2/128 to ::/0
			clamp out wg0
			sysctl net/ipv4/ip_forward=1
			sysctl net/ipv6/conf/all/forwarding=1
			`},
		{"everybody's way to everywhere", meshOf("", map[string]string{"a": ", allowed_ips: [10.0.0.1/32, 0.0.0.0/0]", "b": "", "d": ""}), "a", `
			forward from 0.0.0.0/0 out wg0 answers
			forward in wg0 to 0.0.0.0/0
			clamp out wg0 family 4
			sysctl net/ipv4/ip_forward=1
			`},
		{"allowed_ips that are its own", meshOf("", map[string]string{"a": ", allowed_ips: [10.0.0.1/32]", "b": ""}), "a", ""},
		{"interface in a namespace of its own", meshOf("    hub: a\n", map[string]string{"a": ", netns: inner, networks: [10.1.0.0/16]", "b": "", "d": ""}), "a", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := derive(t, tt.text, tt.node)
			delete(s.Sysctl, sendRedirects)
			if diff := cmp.Diff(unindent(tt.want), lines(s, "forward", "clamp", "sysctl")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestObjects: every object of the packet filter is named once a node.
func TestObjects(t *testing.T) {
	text := meshOf("    hub: a\n", map[string]string{
		"a": ", networks: [10.1.0.0/16, 10.3.0.0/16], allowed_ips: {d: [0.0.0.0/0, '::/0'], b: [10.9.0.0/16]}",
		"b": ", networks: [10.2.0.0/16]", "d": "",
	}) + "nat: {a: [{source: [10.0.0.0/24], out: auto}, {source: [10.0.0.0/24, 10.9.0.0/16], out: eth0}]}\nfirewall: {a: {open_ports: true}}\n"
	n := derive(t, text, "a").Netfilter
	seen := map[string]bool{}
	check := func(object string) {
		if seen[object] || !strings.HasPrefix(object, "nat/a/") {
			t.Errorf("object %q is there twice, or not this node's", object)
		}
		seen[object] = true
	}
	for _, m := range n.Masquerades {
		check(m.Object)
	}
	for _, f := range n.Forwards {
		check(f.Object)
	}
	for _, c := range n.Clamps {
		check(c.Object)
	}
	for _, o := range n.OpenPorts {
		check(o.Object)
	}
	for _, object := range []string{
		"nat/a/rule/10.0.0.0/24->eth0", "nat/a/forward/wg0->wg0", "nat/a/forward/wg0->10.1.0.0/16",
		"nat/a/forward/10.1.0.0/16->wg0", "nat/a/clamp/wg0", "nat/a/open/wg0",
	} {
		if !seen[object] {
			t.Errorf("no object %s", object)
		}
	}
}

func TestFullTunnel(t *testing.T) {
	text := meshOf("    hub: a\n", map[string]string{
		"a": ", allowed_ips: {d: [0.0.0.0/0, '::/0'], b: [0.0.0.0/0]}", "b": ", fwmark: 0x99", "c": "", "d": "",
	})
	tests := []struct{ name, node, want string }{
		{"laptop of both families", "d", `
			  peer a [0.0.0.0/0 ::/0] endpoint 192.0.2.1 51820
			anti-spoof wg0 [10.0.0.4] mark 51820
			anti-spoof wg0 [fd00::4] mark 51820
			sysctl net/ipv4/conf/all/send_redirects=0
			sysctl net/ipv4/conf/all/src_valid_mark=1
			`},
		{"laptop with a mark of its own", "b", `
			  peer a [0.0.0.0/0] endpoint 192.0.2.1 51820
			anti-spoof wg0 [10.0.0.2] mark 153
			sysctl net/ipv4/conf/all/send_redirects=0
			sysctl net/ipv4/conf/all/src_valid_mark=1
			`},
		{"the others as before", "c", `
			  peer a [10.0.0.1/32 10.0.0.2/32 10.0.0.4/32 fd00::1/128 fd00::2/128 fd00::4/128] endpoint 192.0.2.1 51820
			sysctl net/ipv4/conf/all/send_redirects=0
			`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := lines(derive(t, text, tt.node), "  peer", "anti-spoof", "sysctl")
			if diff := cmp.Diff(unindent(tt.want), got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestFullTunnelElsewhere: where routes go to another table, or nowhere, or live in
// another namespace, nothing captures the host's own packets.
func TestFullTunnelElsewhere(t *testing.T) {
	for _, more := range []string{", table: off", ", table: 77", ", netns: inner"} {
		text := meshOf("", map[string]string{"a": ", allowed_ips: {b: [0.0.0.0/0]}", "b": more})
		s := derive(t, text, "b")
		if got := lines(s, "anti-spoof") + s.Sysctl[validMark]; got != "" {
			t.Errorf("%s: got %s", more, got)
		}
	}
}

func TestOpenPorts(t *testing.T) {
	text := meshOf("firewall: {a: {open_ports: true}, b: {open_ports: true}, d: {open_ports: false}}\n",
		map[string]string{"a": "", "b": ", netns: inner", "d": ""})
	tests := []struct{ name, text, node, want string }{
		{"host's own", text, "a", "open udp/51820\ninner wg0\n"},
		{"inside a namespace: the socket stays outside", text, "b", "open udp/51820\n"},
		{"not asked for", text, "d", ""},
		{"port that the kernel chooses", strings.Replace(text, "    listen_port: 51820\n", "", 1), "a", "inner wg0\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// No member has to be dialled for this: the rest of such a topology is not
			// looked at.
			text := strings.ReplaceAll(tt.text, "public_key: pub(", "endpoint: '192.0.2.7:7', public_key: pub(")
			if got := lines(derive(t, text, tt.node), "open", "inner"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAggregate(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""},
		{"10.0.0.1/32", "10.0.0.1/32"},
		{"10.0.0.1/32 10.0.0.0/32 10.0.0.2/32 10.0.0.3/32", "10.0.0.0/30"},
		{"10.0.0.1/32 10.0.0.2/32", "10.0.0.1/32 10.0.0.2/32"},
		{"10.0.0.7/32 10.0.0.0/24 10.0.1.0/24", "10.0.0.0/23"},
		{"0.0.0.0/0 10.0.0.0/8 ::/0 fd00::/8", "0.0.0.0/0 ::/0"},
		{"0.0.0.0/1 128.0.0.0/1 fd00::/128", "0.0.0.0/0 fd00::/128"},
	}
	for _, tt := range tests {
		var in []netip.Prefix
		for _, f := range strings.Fields(tt.in) {
			in = append(in, netip.MustParsePrefix(f))
		}
		if got := join2(aggregate(in)); got != tt.want {
			t.Errorf("aggregate(%s) = %s, want %s", tt.in, got, tt.want)
		}
	}
}
