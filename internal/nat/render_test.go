package nat_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/nat"
)

func TestRenderFile(t *testing.T) {
	for name, c := range map[string]struct {
		netfilter desired.Netfilter
		v4, v6    string
	}{
		"nothing": {},
		"masquerade": {
			netfilter: desired.Netfilter{Masquerades: []desired.Masquerade{masquerade("10.0.0.0/16", "ens224")}},
			v4: `*nat
:VPNCTL-POSTROUTING - [0:0]
-A VPNCTL-POSTROUTING -m policy --dir out --pol ipsec -m comment --comment nat/linux2/exempt/ipsec -j ACCEPT
-A VPNCTL-POSTROUTING -s 10.0.0.0/16 -o ens224 -m comment --comment "nat/linux2/rule/10.0.0.0/16->ens224" -j MASQUERADE
-I POSTROUTING 1 -m comment --comment vpnctl -j VPNCTL-POSTROUTING
COMMIT
*filter
:VPNCTL-FORWARD - [0:0]
-A VPNCTL-FORWARD -s 10.0.0.0/16 -o ens224 -m comment --comment "nat/linux2/rule/10.0.0.0/16->ens224" -j ACCEPT
-A VPNCTL-FORWARD -d 10.0.0.0/16 -i ens224 -m conntrack --ctstate ESTABLISHED,RELATED -m comment --comment "nat/linux2/rule/10.0.0.0/16->ens224" -j ACCEPT
-I FORWARD 1 -m comment --comment vpnctl -j VPNCTL-FORWARD
COMMIT
`,
		},
		"snat on the default route, IPv6": {
			netfilter: desired.Netfilter{Masquerades: []desired.Masquerade{snat("fd00::/48", "auto", "2001:db8::5")}},
			v6: `# auto: the interface of the default route
*nat
:VPNCTL-POSTROUTING - [0:0]
-A VPNCTL-POSTROUTING -m policy --dir out --pol ipsec -m comment --comment nat/linux2/exempt/ipsec -j ACCEPT
-A VPNCTL-POSTROUTING -s fd00::/48 -o auto -m comment --comment "nat/linux2/rule/fd00::/48->auto" -j SNAT --to-source 2001:db8::5
-I POSTROUTING 1 -m comment --comment vpnctl -j VPNCTL-POSTROUTING
COMMIT
*filter
:VPNCTL-FORWARD - [0:0]
-A VPNCTL-FORWARD -s fd00::/48 -o auto -m comment --comment "nat/linux2/rule/fd00::/48->auto" -j ACCEPT
-A VPNCTL-FORWARD -d fd00::/48 -i auto -m conntrack --ctstate ESTABLISHED,RELATED -m comment --comment "nat/linux2/rule/fd00::/48->auto" -j ACCEPT
-I FORWARD 1 -m comment --comment vpnctl -j VPNCTL-FORWARD
COMMIT
`,
		},
		"forward": {
			netfilter: desired.Netfilter{Forwards: []desired.Forward{
				{Object: "nat/linux2/forward/a", In: "wg0", To: prefix("10.13.0.0/16")},
				{Object: "nat/linux2/forward/b", Out: "wg0", From: prefix("10.13.0.0/16"), Answers: true},
				{Object: "nat/linux2/forward/c", In: "wg0", Out: "wg0", Family: 6},
				{Object: "nat/linux2/forward/d", In: "wg0", From: prefix("0.0.0.0/0"), To: prefix("0.0.0.0/0")},
			}},
			v4: `*filter
:VPNCTL-FORWARD - [0:0]
-A VPNCTL-FORWARD -d 10.13.0.0/16 -i wg0 -m comment --comment nat/linux2/forward/a -j ACCEPT
-A VPNCTL-FORWARD -s 10.13.0.0/16 -o wg0 -m conntrack --ctstate ESTABLISHED,RELATED -m comment --comment nat/linux2/forward/b -j ACCEPT
-A VPNCTL-FORWARD -i wg0 -m comment --comment nat/linux2/forward/d -j ACCEPT
-I FORWARD 1 -m comment --comment vpnctl -j VPNCTL-FORWARD
COMMIT
`,
			v6: `*filter
:VPNCTL-FORWARD - [0:0]
-A VPNCTL-FORWARD -i wg0 -o wg0 -m comment --comment nat/linux2/forward/c -j ACCEPT
-I FORWARD 1 -m comment --comment vpnctl -j VPNCTL-FORWARD
COMMIT
`,
		},
		"clamp": {
			netfilter: desired.Netfilter{Clamps: []desired.Clamp{
				{Object: "nat/linux2/clamp/wg0", Interface: "wg0"}, {Object: "nat/linux2/clamp/odd", Interface: "odd$0", MSS: 1380},
			}},
			v4: clamps, v6: clamps,
		},
		"clamp of one family": {
			netfilter: desired.Netfilter{Clamps: []desired.Clamp{{Object: "nat/linux2/clamp/wg0", Interface: "wg0", Family: 6}}},
			v6: `*mangle
:VPNCTL-FORWARD - [0:0]
-A VPNCTL-FORWARD -o wg0 -p tcp -m tcp --tcp-flags RST,SYN SYN -m comment --comment nat/linux2/clamp/wg0 -j TCPMSS --clamp-mss-to-pmtu
-A VPNCTL-FORWARD -i wg0 -p tcp -m tcp --tcp-flags RST,SYN SYN -m comment --comment nat/linux2/clamp/wg0 -j TCPMSS --clamp-mss-to-pmtu
-I FORWARD 1 -m comment --comment vpnctl -j VPNCTL-FORWARD
COMMIT
`,
		},
		"clamp of what policies protect": {
			netfilter: desired.Netfilter{Clamps: []desired.Clamp{
				{Object: "nat/linux2/clamp/ipsec/hq", Local: prefix("10.10.0.0/24"), Remote: prefix("10.14.0.0/24"), MSS: 1366},
			}},
			v4: `*mangle
:VPNCTL-FORWARD - [0:0]
-A VPNCTL-FORWARD -s 10.10.0.0/24 -d 10.14.0.0/24 -p tcp -m policy --dir out --pol ipsec -m tcp --tcp-flags RST,SYN SYN -m comment --comment nat/linux2/clamp/ipsec/hq -j TCPMSS --set-mss 1366
-A VPNCTL-FORWARD -s 10.14.0.0/24 -d 10.10.0.0/24 -p tcp -m policy --dir in --pol ipsec -m tcp --tcp-flags RST,SYN SYN -m comment --comment nat/linux2/clamp/ipsec/hq -j TCPMSS --set-mss 1366
-I FORWARD 1 -m comment --comment vpnctl -j VPNCTL-FORWARD
COMMIT
`,
		},
		"anti-spoof": {
			netfilter: desired.Netfilter{AntiSpoofs: []desired.AntiSpoof{{
				Object: "nat/linux2/anti-spoof/wg0", Interface: "wg0", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Mark: 51820,
			}}},
			v4: `*raw
:VPNCTL-PREROUTING - [0:0]
-A VPNCTL-PREROUTING -d 10.0.0.1/32 ! -i wg0 -m addrtype ! --src-type LOCAL -m comment --comment nat/linux2/anti-spoof/wg0 -j DROP
-I PREROUTING 1 -m comment --comment vpnctl -j VPNCTL-PREROUTING
COMMIT
*mangle
:VPNCTL-POSTROUTING - [0:0]
-A VPNCTL-POSTROUTING -p udp -m mark --mark 0xca6c -m comment --comment nat/linux2/anti-spoof/wg0 -j CONNMARK --save-mark
:VPNCTL-PREROUTING - [0:0]
-A VPNCTL-PREROUTING -p udp -m comment --comment nat/linux2/anti-spoof/wg0 -j CONNMARK --restore-mark
-I POSTROUTING 1 -m comment --comment vpnctl -j VPNCTL-POSTROUTING
-I PREROUTING 1 -m comment --comment vpnctl -j VPNCTL-PREROUTING
COMMIT
`,
		},
		"open ports": {
			netfilter: desired.Netfilter{
				OpenPorts: []desired.OpenPort{
					{Object: "nat/linux2/open/wg0", Protocol: "udp", Port: 51820}, {Object: "nat/linux2/open/ah", Protocol: "ah"},
				},
				Inner: []string{"wg0"},
			},
			v4: opened("-p ah"), v6: opened("-m ah"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			for f, want := range map[nat.Family]string{nat.IPv4: c.v4, nat.IPv6: c.v6} {
				if diff := cmp.Diff(want, nat.RenderFile(&c.netfilter, "linux2", f)); diff != "" {
					t.Errorf("%s:\n%s", f, diff)
				}
			}
		})
	}
}

const clamps = `*mangle
:VPNCTL-FORWARD - [0:0]
-A VPNCTL-FORWARD -o wg0 -p tcp -m tcp --tcp-flags RST,SYN SYN -m comment --comment nat/linux2/clamp/wg0 -j TCPMSS --clamp-mss-to-pmtu
-A VPNCTL-FORWARD -i wg0 -p tcp -m tcp --tcp-flags RST,SYN SYN -m comment --comment nat/linux2/clamp/wg0 -j TCPMSS --clamp-mss-to-pmtu
-A VPNCTL-FORWARD -o "odd$0" -p tcp -m tcp --tcp-flags RST,SYN SYN -m comment --comment nat/linux2/clamp/odd -j TCPMSS --set-mss 1380
-A VPNCTL-FORWARD -i "odd$0" -p tcp -m tcp --tcp-flags RST,SYN SYN -m comment --comment nat/linux2/clamp/odd -j TCPMSS --set-mss 1380
-I FORWARD 1 -m comment --comment vpnctl -j VPNCTL-FORWARD
COMMIT
`

// opened is the filter table of "open ports", with what AH is in a family.
func opened(ah string) string {
	return `*filter
:VPNCTL-INPUT - [0:0]
-A VPNCTL-INPUT -p udp -m udp --dport 51820 -m comment --comment nat/linux2/open/wg0 -j ACCEPT
-A VPNCTL-INPUT ` + ah + ` -m comment --comment nat/linux2/open/ah -j ACCEPT
-A VPNCTL-INPUT -i wg0 -m comment --comment nat/linux2/inner/wg0 -j ACCEPT
:VPNCTL-OUTPUT - [0:0]
-A VPNCTL-OUTPUT -p udp -m udp --sport 51820 -m comment --comment nat/linux2/open/wg0 -j ACCEPT
-A VPNCTL-OUTPUT ` + ah + ` -m comment --comment nat/linux2/open/ah -j ACCEPT
-A VPNCTL-OUTPUT -o wg0 -m comment --comment nat/linux2/inner/wg0 -j ACCEPT
-I INPUT 1 -m comment --comment vpnctl -j VPNCTL-INPUT
-I OUTPUT 1 -m comment --comment vpnctl -j VPNCTL-OUTPUT
COMMIT
`
}
