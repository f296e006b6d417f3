package desired

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// wg prints a state's interfaces alone.
func wg(s *State) string {
	var b strings.Builder
	for i := range s.Interfaces {
		showInterface(&b, &s.Interfaces[i])
	}
	return b.String()
}

const twoPhones = `    peers:
      phone: {addresses: [10.0.0.10/32], public_key: pub(phone)%s}
      tablet: {addresses: [10.0.0.11/32], public_key: pub(tablet), via: [d], networks: [10.11.0.0/24]}
`

func phones(more string) string { return strings.Replace(twoPhones, "%s", more, 1) }

func TestAllowedIPs(t *testing.T) {
	mesh := func(network string, members map[string]string) string {
		text := meshOf(network, members) // IPv4 is enough here
		for _, m := range []string{"1", "2", "3", "4"} {
			text = strings.ReplaceAll(text, `, "fd00::`+m+`/64"`, "")
		}
		return text
	}
	members := map[string]string{"a": "", "b": ", networks: [10.2.0.0/16]", "c": "", "d": ""}
	open := map[string]string{"a": "", "b": ", networks: [10.2.0.0/16]", "d": ""}
	with := func(base map[string]string, name, more string) map[string]string {
		out := map[string]string{name: base[name] + more}
		for k, v := range base {
			if k != name {
				out[k] = v
			}
		}
		return out
	}
	tests := []struct {
		name, text, node, want string
	}{
		{"hub with foreign peers, hub", mesh("    hub: a\n"+phones(""), members), "a", `
			peer b [10.0.0.2/32 10.2.0.0/16] endpoint b.example.net 51820
			peer c [10.0.0.3/32]
			peer d [10.0.0.4/32 10.0.0.11/32 10.11.0.0/24] endpoint 2001:db8::d 51820
			peer phone [10.0.0.10/32]
			`},
		{"hub with foreign peers, spoke", mesh("    hub: a\n"+phones(""), members), "c", `
			peer a [10.0.0.1/32 10.0.0.2/32 10.0.0.4/32 10.0.0.10/32 10.0.0.11/32 10.2.0.0/16 10.11.0.0/24] endpoint 192.0.2.1 51820
			`},
		{"hub with foreign peers, spoke that has one", mesh("    hub: a\n"+phones(""), members), "d", `
			peer a [10.0.0.1/32 10.0.0.2/32 10.0.0.3/32 10.0.0.10/32 10.2.0.0/16] endpoint 192.0.2.1 51820
			peer tablet [10.0.0.11/32 10.11.0.0/24]
			`},
		{"hub and spoke have one peer, hub", mesh("    hub: a\n"+phones(", via: [a, b]"), members), "a", `
			peer b [10.0.0.2/32 10.2.0.0/16] endpoint b.example.net 51820
			peer c [10.0.0.3/32]
			peer d [10.0.0.4/32 10.0.0.11/32 10.11.0.0/24] endpoint 2001:db8::d 51820
			peer phone [10.0.0.10/32]
			`},
		{"hub and spoke have one peer, spoke", mesh("    hub: a\n"+phones(", via: [a, b]"), members), "b", `
			peer a [10.0.0.1/32 10.0.0.3/32 10.0.0.4/32 10.0.0.11/32 10.11.0.0/24] endpoint 192.0.2.1 51820
			peer phone [10.0.0.10/32]
			`},
		{"mesh with foreign peers", mesh(phones(""), open), "a", `
			peer b [10.0.0.2/32 10.2.0.0/16] endpoint b.example.net 51820
			peer d [10.0.0.4/32 10.0.0.11/32 10.11.0.0/24] endpoint 2001:db8::d 51820
			peer phone [10.0.0.10/32]
			`},
		{"mesh, a foreign peer by the first of two", mesh(phones(", via: [d, b]"), open), "a", `
			peer b [10.0.0.2/32 10.2.0.0/16] endpoint b.example.net 51820
			peer d [10.0.0.4/32 10.0.0.10/32 10.0.0.11/32 10.11.0.0/24] endpoint 2001:db8::d 51820
			`},
		{"mesh, second of two", mesh(phones(", via: [d, b]"), open), "b", `
			peer a [10.0.0.1/32] endpoint 192.0.2.1 51820
			peer d [10.0.0.4/32 10.0.0.11/32 10.11.0.0/24] endpoint 2001:db8::d 51820
			peer phone [10.0.0.10/32]
			`},
		{"list replaces what all hold", mesh("", with(open, "b", ", allowed_ips: [10.99.0.0/16]")), "a", `
			peer b [10.99.0.0/16] endpoint b.example.net 51820
			peer d [10.0.0.4/32] endpoint 2001:db8::d 51820
			`},
		{"list replaces what all hold, through the hub too", mesh("    hub: a\n", with(open, "b", ", allowed_ips: [10.99.0.0/16]")), "d", `
			peer a [10.0.0.1/32 10.99.0.0/16] endpoint 192.0.2.1 51820
			`},
		{"empty list", mesh("", with(open, "b", ", allowed_ips: []")), "a", `
			peer b [] endpoint b.example.net 51820
			peer d [10.0.0.4/32] endpoint 2001:db8::d 51820
			`},
		{"mapping counts on one member", mesh("", with(open, "b", ", allowed_ips: {a: [10.99.0.7/16]}")), "a", `
			peer b [10.99.0.0/16] endpoint b.example.net 51820
			peer d [10.0.0.4/32] endpoint 2001:db8::d 51820
			`},
		{"mapping does not count on others", mesh("", with(open, "b", ", allowed_ips: {a: [10.99.0.0/16]}")), "d", `
			peer a [10.0.0.1/32] endpoint 192.0.2.1 51820
			peer b [10.0.0.2/32 10.2.0.0/16] endpoint b.example.net 51820
			`},
		{"what the hub alone holds is not passed on", mesh("    hub: a\n", with(open, "b", ", allowed_ips: {a: [0.0.0.0/0]}")), "d", `
			peer a [10.0.0.1/32 10.0.0.2/32 10.2.0.0/16] endpoint 192.0.2.1 51820
			`},
		{"mapping on the hub replaces all that it carries", mesh("    hub: a\n", with(open, "a", ", allowed_ips: {d: [0.0.0.0/0]}")), "d", `
			peer a [0.0.0.0/0] endpoint 192.0.2.1 51820
			`},
		{"own list does not come back from the hub", mesh("    hub: a\n", with(open, "b", ", allowed_ips: [10.99.0.0/16]")), "b", `
			peer a [10.0.0.1/32 10.0.0.4/32] endpoint 192.0.2.1 51820
			`},
		{"two own a network and the hub takes the one, the other", mesh("    hub: a\n", with(open, "d", ", networks: [10.2.0.0/16], allowed_ips: {a: [10.0.0.4/32]}")), "d", `
			peer a [10.0.0.1/32 10.0.0.2/32] endpoint 192.0.2.1 51820
			`},
		{"two own a network and the hub takes the one, the one", mesh("    hub: a\n", with(open, "d", ", networks: [10.2.0.0/16], allowed_ips: {a: [10.0.0.4/32]}")), "b", `
			peer a [10.0.0.1/32 10.0.0.4/32] endpoint 192.0.2.1 51820
			`},
		{"foreign peer's own list", mesh(phones(", allowed_ips: [10.77.0.0/24]"), open), "b", `
			peer a [10.0.0.1/32] endpoint 192.0.2.1 51820
			peer d [10.0.0.4/32 10.0.0.11/32 10.11.0.0/24] endpoint 2001:db8::d 51820
			peer phone [10.77.0.0/24]
			`},
		{"foreign peer's list on one member", mesh(phones(", allowed_ips: {b: [10.77.0.0/24]}"), open), "a", `
			peer b [10.0.0.2/32 10.2.0.0/16] endpoint b.example.net 51820
			peer d [10.0.0.4/32 10.0.0.11/32 10.11.0.0/24] endpoint 2001:db8::d 51820
			peer phone [10.0.0.10/32]
			`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := wg(derive(t, tt.text, tt.node))
			_, got, _ = strings.Cut(got, "\n") // without the interface
			want := strings.ReplaceAll("\n"+unindent(tt.want), "\npeer", "\n  peer")[1:]
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestEndpoints(t *testing.T) {
	tests := []struct{ name, member, node, want string }{
		{"first address of the node", "", "{addresses: [192.0.2.1, 192.0.2.2]}", " endpoint 192.0.2.1 51820"},
		{"DNS name of the node", "", "{addresses: [a.example.net]}", " endpoint a.example.net 51820"},
		{"own endpoint first", ", endpoint: 'a.example.org:7'", "{addresses: [192.0.2.1]}", " endpoint a.example.org 7"},
		{"own endpoint over IPv6", ", endpoint: '[2001:db8::1]:7'", "{}", " endpoint 2001:db8::1 7"},
		{"own port", ", listen_port: 4500", "{addresses: [192.0.2.1]}", " endpoint 192.0.2.1 4500"},
		{"node without address", "", "{}", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(meshOf("", map[string]string{"a": tt.member, "b": ""}), "a: {addresses: [192.0.2.1]}", "a: "+tt.node, 1)
			got := wg(derive(t, text, "b"))
			if want := "  peer a [10.0.0.1/32 fd00::1/128]" + tt.want + "\n"; !strings.Contains(got, want) {
				t.Errorf("got %swant %s", got, want)
			}
		})
	}
}

// TestEndpointWithoutPort: the port that the kernel chooses is nobody's to know.
func TestEndpointWithoutPort(t *testing.T) {
	text := strings.Replace(meshOf("", map[string]string{"a": "", "b": ", listen_port: 51820"}), "    listen_port: 51820\n", "", 1)
	if got, want := wg(derive(t, text, "b")), "  peer a [10.0.0.1/32 fd00::1/128]\n"; !strings.HasSuffix(got, want) {
		t.Errorf("got %swant %s", got, want)
	}
}

func TestPresharedKeys(t *testing.T) {
	const foreign = "    peers:\n" +
		"      phone: {addresses: [10.0.0.10/32], public_key: pub(phone), preshared_key: {value: psk(phone)}}\n" +
		"      tablet: {addresses: [10.0.0.11/32], public_key: pub(tablet), preshared_key: {value: psk(tablet)}}\n" +
		"      watch: {addresses: [10.0.0.12/32], public_key: pub(watch)}\n"
	const pairs = "    preshared_keys:\n" +
		"      - {between: [b, a], value: psk(ab)}\n" +
		"      - {between: [a, tablet], value: psk(at)}\n" +
		"      - {between: [b, d], value: psk(bd)}\n"
	const network = "    preshared_key: {value: psk(all)}\n"
	tests := []struct {
		name, network string
		want          map[string]string // on a
	}{
		{"none", "", map[string]string{"b": "", "d": ""}},
		{"network's", network, map[string]string{"b": "all", "d": "all"}},
		{"peer's", foreign, map[string]string{"b": "", "d": "", "phone": "phone", "tablet": "tablet", "watch": ""}},
		{"peer's before network's", network + foreign, map[string]string{"b": "all", "d": "all", "phone": "phone", "tablet": "tablet", "watch": "all"}},
		{"pair's before all", network + foreign + pairs, map[string]string{"b": "ab", "d": "all", "phone": "phone", "tablet": "at", "watch": "all"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := derive(t, meshOf(tt.network, map[string]string{"a": "", "b": "", "d": ""}), "a")
			got := map[string]string{}
			want := map[string]string{}
			for _, p := range s.Interfaces[0].Peers {
				got[p.Name] = string(p.PresharedKey)
			}
			for name, word := range tt.want {
				if want[name] = ""; word != "" {
					want[name] = expandKeys("psk(" + word + ")")
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestInterface(t *testing.T) {
	const network = "    mtu: 1380\n    persistent_keepalive: 25s\n" +
		"    peers:\n" +
		"      phone: {addresses: [10.0.0.10/32], public_key: pub(phone), persistent_keepalive: 7s, endpoint: 'phone.example:9'}\n" +
		"      tablet: {addresses: [10.0.0.11/32], public_key: pub(tablet), persistent_keepalive: off}\n"
	text := meshOf(network, map[string]string{
		"b": ", listen_port: 4500, mtu: 1412, fwmark: 0x10, table: 77, netns: inner, dns: [10.0.0.53, example.net, 'fd00::53'], " +
			"hooks: {pre_up: ['echo %i'], post_up: ['a %i', 'b %i%i'], pre_down: ['c'], post_down: ['d']}",
		"d": ", addresses: [10.0.0.44/24, 10.0.0.4/24], table: off, mtu: auto, persistent_keepalive: off",
	})
	text = strings.Replace(text, `d: {addresses: [10.0.0.4/24, "fd00::4/64"], `, "d: {", 1)
	tests := []struct{ node, want string }{
		{"b", `
			interface wg0 10.0.0.2/24 fd00::2/64 port 4500 mtu 1412 fwmark 16 netns inner table {false 77} dns 10.0.0.53,fd00::53,example.net
			  peer d [10.0.0.4/32 10.0.0.44/32] endpoint 2001:db8::d 51820 keepalive 25s
			  peer phone [10.0.0.10/32] endpoint phone.example 9 keepalive 7s
			  peer tablet [10.0.0.11/32]
			`},
		{"d", `
			interface wg0 10.0.0.4/24 10.0.0.44/24 port 51820 table {true 0}
			  peer b [10.0.0.2/32 fd00::2/128] endpoint b.example.net 4500
			  peer phone [10.0.0.10/32] endpoint phone.example 9 keepalive 7s
			  peer tablet [10.0.0.11/32]
			`},
	}
	for _, tt := range tests {
		s := derive(t, text, tt.node)
		hooks := s.Interfaces[0].Hooks
		s.Interfaces[0].Hooks = Hooks{}
		if diff := cmp.Diff(unindent(tt.want), wg(s)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", tt.node, diff)
		}
		want := Hooks{}
		if tt.node == "b" {
			want = Hooks{PreUp: []string{"echo wg0"}, PostUp: []string{"a wg0", "b wg0wg0"}, PreDown: []string{"c"}, PostDown: []string{"d"}}
		}
		if diff := cmp.Diff(want, hooks); diff != "" {
			t.Errorf("%s hooks (-want +got)\n%s", tt.node, diff)
		}
		if key := keyOf("priv " + tt.node); s.Interfaces[0].PublicKey != key.PublicKey() || string(s.Interfaces[0].PrivateKey) != key.String() {
			t.Errorf("%s: has another's keys", tt.node)
		}
	}
}
