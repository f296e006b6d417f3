package nat_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/nat"
	"github.com/vpnctl/vpnctl/internal/nat/nattest"
	"github.com/vpnctl/vpnctl/internal/plan"
)

// hqGuard guards a tunnel between two subnets.
var hqGuard = desired.Guard{Object: "nat/linux2/guard/hq", Source: prefix("10.10.0.0/24"), Dest: prefix("10.14.0.0/24"),
	Peers: []netip.Addr{netip.MustParseAddr("192.168.20.20")}}

// TestPlan: from one state, by somebody's hand, to another.
func TestPlan(t *testing.T) {
	for name, c := range map[string]struct {
		first *desired.State
		drift func(h *nattest.Host)
		then  *desired.State
		want  string
	}{
		"first rule": {
			then: nats(masquerade("10.0.0.0/16", "ens224")),
			want: `+ nat/linux2/exempt/ipsec
    nat/POSTROUTING: -m policy --dir out --pol ipsec -j ACCEPT
+ nat/linux2/rule/10.0.0.0/16->ens224
    filter/FORWARD:
      -s 10.0.0.0/16 -o ens224 -j ACCEPT
      -d 10.0.0.0/16 -i ens224 -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
    nat/POSTROUTING: -s 10.0.0.0/16 -o ens224 -j MASQUERADE
plan: 2 to create, 0 to update, 0 to delete; 0 disruptive
`,
		},
		"auto": {
			then: nats(masquerade("10.0.0.0/16", "auto"), masquerade("fd00::/48", "auto")),
			want: `+ nat/linux2/exempt/ipsec
    nat/POSTROUTING: -m policy --dir out --pol ipsec -j ACCEPT
    nat6/POSTROUTING: -m policy --dir out --pol ipsec -j ACCEPT
+ nat/linux2/rule/10.0.0.0/16->auto
    filter/FORWARD:
      -s 10.0.0.0/16 -o eth0 -j ACCEPT
      -d 10.0.0.0/16 -i eth0 -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
    nat/POSTROUTING: -s 10.0.0.0/16 -o eth0 -j MASQUERADE
+ nat/linux2/rule/fd00::/48->auto
    filter6/FORWARD:
      -s fd00::/48 -o eth0 -j ACCEPT
      -d fd00::/48 -i eth0 -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
    nat6/POSTROUTING: -s fd00::/48 -o eth0 -j MASQUERADE
plan: 3 to create, 0 to update, 0 to delete; 0 disruptive
`,
		},
		"the default route moved": {
			first: nats(masquerade("10.0.0.0/16", "auto")),
			drift: func(h *nattest.Host) { h.Routes[nat.IPv4] = "eth1" },
			then:  nats(masquerade("10.0.0.0/16", "auto")),
			want: `~ nat/linux2/rule/10.0.0.0/16->auto
    filter/FORWARD:
      -s 10.0.0.0/16 -o eth0 -j ACCEPT
      -d 10.0.0.0/16 -i eth0 -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
      -> -s 10.0.0.0/16 -o eth1 -j ACCEPT
      -d 10.0.0.0/16 -i eth1 -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
    nat/POSTROUTING: -s 10.0.0.0/16 -o eth0 -j MASQUERADE -> -s 10.0.0.0/16 -o eth1 -j MASQUERADE
plan: 0 to create, 1 to update, 0 to delete; 0 disruptive
`,
		},
		"another target": {
			first: nats(masquerade("10.0.0.0/16", "ens224")),
			then:  nats(snat("10.0.0.0/16", "ens224", "203.0.113.5")),
			want: `~ nat/linux2/rule/10.0.0.0/16->ens224
    nat/POSTROUTING: -s 10.0.0.0/16 -o ens224 -j MASQUERADE -> -s 10.0.0.0/16 -o ens224 -j SNAT --to-source 203.0.113.5
plan: 0 to create, 1 to update, 0 to delete; 0 disruptive
`,
		},
		"one of two goes": {
			first: nats(masquerade("10.0.0.0/16", "ens224"), masquerade("10.1.0.0/16", "ens224")),
			then:  nats(masquerade("10.1.0.0/16", "ens224")),
			want: `- nat/linux2/rule/10.0.0.0/16->ens224
plan: 0 to create, 0 to update, 1 to delete; 0 disruptive
`,
		},
		"the last one goes": {
			first: nats(masquerade("10.0.0.0/16", "ens224")),
			then:  nothing(),
			want: `- nat/linux2/rule/10.0.0.0/16->ens224
- nat/linux2/exempt/ipsec
plan: 0 to create, 0 to update, 2 to delete; 0 disruptive
`,
		},
		"in another order": {
			first: nats(masquerade("10.0.0.0/16", "ens224"), masquerade("10.1.0.0/16", "ens224")),
			then:  nats(masquerade("10.1.0.0/16", "ens224"), masquerade("10.0.0.0/16", "ens224")),
			want: `~ nat/linux2/chain/nat/POSTROUTING
    order: nat/linux2/rule/10.0.0.0/16->ens224 -> nat/linux2/rule/10.1.0.0/16->ens224
~ nat/linux2/chain/filter/FORWARD
    order: nat/linux2/rule/10.0.0.0/16->ens224 -> nat/linux2/rule/10.1.0.0/16->ens224
plan: 0 to create, 2 to update, 0 to delete; 0 disruptive
`,
		},
		"a jump is missing": {
			first: nats(masquerade("10.0.0.0/16", "ens224")),
			drift: by(nat.IPv4, "nat", "-D POSTROUTING -m comment --comment vpnctl -j VPNCTL-POSTROUTING"),
			then:  nats(masquerade("10.0.0.0/16", "ens224")),
			want: `+ nat/linux2/jump/nat/POSTROUTING
plan: 1 to create, 0 to update, 0 to delete; 0 disruptive
`,
		},
		"a jump twice": {
			first: nats(masquerade("10.0.0.0/16", "ens224")),
			drift: by(nat.IPv4, "filter", "-A FORWARD -m comment --comment vpnctl -j VPNCTL-FORWARD"),
			then:  nats(masquerade("10.0.0.0/16", "ens224")),
			want: `~ nat/linux2/jump/filter/FORWARD
    place: 1; 2 -> 1
plan: 0 to create, 1 to update, 0 to delete; 0 disruptive
`,
		},
		"a jump from the wrong chain": {
			first: nats(masquerade("10.0.0.0/16", "ens224")),
			drift: by(nat.IPv4, "filter", "-A INPUT -m comment --comment vpnctl -j VPNCTL-FORWARD"),
			then:  nats(masquerade("10.0.0.0/16", "ens224")),
			want: `- nat/linux2/jump/filter/INPUT
plan: 0 to create, 0 to update, 1 to delete; 0 disruptive
`,
		},
		"foreign rules came before a jump": {
			first: nats(masquerade("10.0.0.0/16", "ens224")),
			drift: func(h *nattest.Host) {
				h.Do(nat.IPv4, nat.NFT, "filter", "-I FORWARD -j DROP")
				h.Do(nat.IPv4, nat.NFT, "nat", "-I POSTROUTING -o lo -j ACCEPT")
			},
			then: nats(masquerade("10.0.0.0/16", "ens224")),
			want: plan.NoChanges,
		},
		"a foreign masquerade came before the exemption": {
			first: nats(masquerade("10.0.0.0/16", "ens224")),
			drift: by(nat.IPv4, "nat", "-I POSTROUTING 1 -o eth9 -j MASQUERADE"),
			then:  nats(masquerade("10.0.0.0/16", "ens224")),
			want: `~ nat/linux2/jump/nat/POSTROUTING
    place: 2 -> 1
plan: 0 to create, 1 to update, 0 to delete; 0 disruptive
`,
		},
		"a foreign masquerade in a chain before the exemption": {
			first: nats(masquerade("10.0.0.0/16", "ens224")),
			drift: by(nat.IPv4, "nat", ":THEIRS - [0:0]", "-A THEIRS -j SNAT --to-source 192.0.2.1", "-I POSTROUTING -o lo -j ACCEPT", "-I POSTROUTING -j THEIRS"),
			then:  nats(masquerade("10.0.0.0/16", "ens224")),
			want: `~ nat/linux2/jump/nat/POSTROUTING
    place: 3 -> 1
plan: 0 to create, 1 to update, 0 to delete; 0 disruptive
`,
		},
		"a stray rule": {
			first: nats(masquerade("10.0.0.0/16", "ens224")),
			drift: by(nat.IPv4, "filter", "-A VPNCTL-FORWARD -s 192.0.2.0/24 -j DROP"),
			then:  nats(masquerade("10.0.0.0/16", "ens224")),
			want: `- nat/linux2/stray/filter/FORWARD
plan: 0 to create, 0 to update, 1 to delete; 0 disruptive
`,
		},
		"a stray chain": {
			first: nats(masquerade("10.0.0.0/16", "ens224")),
			drift: by(nat.IPv4, "filter", ":VPNCTL-OLD - [0:0]"),
			then:  nats(masquerade("10.0.0.0/16", "ens224")),
			want: `- nat/linux2/chain/filter/OLD
plan: 0 to create, 0 to update, 1 to delete; 0 disruptive
`,
		},
		"some rules of an object are missing": {
			first: nats(masquerade("10.0.0.0/16", "ens224")),
			drift: by(nat.IPv4, "filter", "-F VPNCTL-FORWARD"),
			then:  nats(masquerade("10.0.0.0/16", "ens224")),
			want: `~ nat/linux2/rule/10.0.0.0/16->ens224
    filter/FORWARD:
      (none)
      -> -s 10.0.0.0/16 -o ens224 -j ACCEPT
      -d 10.0.0.0/16 -i ens224 -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
plan: 0 to create, 1 to update, 0 to delete; 0 disruptive
`,
		},
		"a guard that somebody flushed": {
			first: state(desired.Netfilter{Guards: []desired.Guard{hqGuard}}),
			drift: by(nat.IPv4, "mangle", "-F VPNCTL-GUARD-FORWARD"),
			then:  state(desired.Netfilter{Guards: []desired.Guard{hqGuard}}),
			want: `~ nat/linux2/guard/hq
    mangle/GUARD-FORWARD: (none) -> -s 10.10.0.0/24 -d 10.14.0.0/24 -m policy --dir out --pol none -j DROP
plan: 0 to create, 1 to update, 0 to delete; 0 disruptive
`,
		},
		"a guard to which nothing leads": {
			first: state(desired.Netfilter{Guards: []desired.Guard{hqGuard}}),
			drift: by(nat.IPv4, "mangle", "-D OUTPUT -m comment --comment vpnctl -j VPNCTL-GUARD-OUTPUT"),
			then:  state(desired.Netfilter{Guards: []desired.Guard{hqGuard}}),
			want: `+ nat/linux2/jump/mangle/OUTPUT
plan: 1 to create, 0 to update, 0 to delete; 0 disruptive
`,
		},
		"running connections": {
			first: nats(masquerade("10.0.0.0/16", "ens224"), masquerade("10.1.0.0/16", "ens224")),
			drift: func(h *nattest.Host) {
				h.Flows = []nattest.Flow{flow("10.0.0.1", true), flow("10.0.0.2", true), flow("10.0.0.3", false), flow("10.1.0.1", true)}
			},
			then: nats(masquerade("10.1.0.0/16", "ens224")),
			want: `- nat/linux2/rule/10.0.0.0/16->ens224
    ! ends 2 translated connections of 10.0.0.0/16
plan: 0 to create, 0 to update, 1 to delete; 1 disruptive
`,
		},
		"running connections that IPsec takes over": {
			first: nats(masquerade("10.10.0.0/16", "ens224")),
			drift: func(h *nattest.Host) {
				to := func(dest string) nattest.Flow {
					f := flow("10.10.0.1", true)
					f.Dest = netip.MustParseAddr(dest)
					return f
				}
				h.Flows = []nattest.Flow{to("10.14.0.1"), to("10.14.0.2"), to("192.0.2.9")}
			},
			then: state(desired.Netfilter{
				Masquerades: []desired.Masquerade{masquerade("10.10.0.0/16", "ens224")},
				Exempts:     []desired.Exempt{{Object: "nat/linux2/exempt/hq", Source: prefix("10.10.0.0/16"), Dest: prefix("10.14.0.0/16")}},
			}),
			want: `+ nat/linux2/exempt/hq
    nat/POSTROUTING: -s 10.10.0.0/16 -d 10.14.0.0/16 -j ACCEPT
    ! ends 2 translated connections of 10.10.0.0/16 to 10.14.0.0/16
plan: 1 to create, 0 to update, 0 to delete; 1 disruptive
`,
		},
		"running connections that a wider rule goes on to translate": {
			first: nats(masquerade("10.0.0.0/16", "ens224")),
			drift: func(h *nattest.Host) { h.Flows = []nattest.Flow{flow("10.0.0.1", true)} },
			then:  nats(masquerade("10.0.0.0/8", "ens224")),
			want: `- nat/linux2/rule/10.0.0.0/16->ens224
+ nat/linux2/rule/10.0.0.0/8->ens224
    filter/FORWARD:
      -s 10.0.0.0/8 -o ens224 -j ACCEPT
      -d 10.0.0.0/8 -i ens224 -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
    nat/POSTROUTING: -s 10.0.0.0/8 -o ens224 -j MASQUERADE
plan: 1 to create, 0 to update, 1 to delete; 0 disruptive
`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(nat.NFT, nat.Legacy)
			if c.first != nil {
				m.mustApply(t, c.first)
			}
			if c.drift != nil {
				c.drift(m.Host)
			}
			if diff := cmp.Diff(c.want, m.mustApply(t, c.then)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func by(f nat.Family, table string, lines ...string) func(*nattest.Host) {
	return func(h *nattest.Host) { h.Do(f, nat.NFT, table, lines...) }
}

func flow(source string, translated bool) nattest.Flow {
	return nattest.Flow{Source: netip.MustParseAddr(source), Translated: translated}
}
