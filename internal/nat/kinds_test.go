package nat_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/nat"
	"github.com/vpnctl/vpnctl/internal/nat/nattest"
	"github.com/vpnctl/vpnctl/internal/plan"
)

func contains(s, part string) bool { return strings.Contains(s, part) }

// TestChosenKind: rules go where the host's own rules are, and follow them.
func TestChosenKind(t *testing.T) {
	want := nats(masquerade("10.0.0.0/16", "ens224"))
	for name, c := range map[string]struct {
		kinds []nat.Kind
		owner []nat.Kind
		want  nat.Kind
	}{
		"bare":                       {kinds: []nat.Kind{nat.NFT, nat.Legacy}, want: nat.NFT},
		"bare, legacy by default":    {kinds: []nat.Kind{nat.Legacy, nat.NFT}, want: nat.Legacy},
		"rules in the default":       {kinds: []nat.Kind{nat.NFT, nat.Legacy}, owner: []nat.Kind{nat.NFT}, want: nat.NFT},
		"rules in the other":         {kinds: []nat.Kind{nat.NFT, nat.Legacy}, owner: []nat.Kind{nat.Legacy}, want: nat.Legacy},
		"rules in nft, not default":  {kinds: []nat.Kind{nat.Legacy, nat.NFT}, owner: []nat.Kind{nat.NFT}, want: nat.NFT},
		"rules in both":              {kinds: []nat.Kind{nat.Legacy, nat.NFT}, owner: []nat.Kind{nat.NFT, nat.Legacy}, want: nat.Legacy},
		"rules where no program is":  {kinds: []nat.Kind{nat.NFT}, owner: []nat.Kind{nat.Legacy}, want: nat.NFT},
		"only legacy, which is bare": {kinds: []nat.Kind{nat.Legacy}, want: nat.Legacy},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(c.kinds...)
			for _, k := range c.owner {
				owner(m.Host, k)
			}
			before := m.text()
			m.mustApply(t, want)
			if got, want := string(m.memory["nat/kind"]), fmt.Sprintf(`{"ip":[%q]}`, c.want); got != want {
				t.Errorf("remembers %s, want %s", got, want)
			}
			if !contains(m.Saved(nat.IPv4, c.want), "VPNCTL-POSTROUTING") {
				t.Errorf("not in %s:\n%s", c.want, m)
			}
			m.mustApply(t, nothing())
			if diff := cmp.Diff(before, m.text()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestUnnamedKind: where no name says which kind a program is, it is asked.
func TestUnnamedKind(t *testing.T) {
	for _, k := range []nat.Kind{nat.NFT, nat.Legacy} {
		m := newMachine(k)
		m.Unnamed = true
		m.mustApply(t, nats(masquerade("10.0.0.0/16", "ens224")))
		if got, want := string(m.memory["nat/kind"]), fmt.Sprintf(`{"ip":[%q]}`, k); got != want {
			t.Errorf("remembers %s, want %s", got, want)
		}
	}
}

// TestChangedMeanwhile: the owner is at work between plan and apply, and between apply
// and undo. Where nothing of ours was meant to move, nothing moves.
func TestChangedMeanwhile(t *testing.T) {
	m := newMachine(nat.NFT)
	m.mustApply(t, nats(masquerade("10.0.0.0/16", "ens224")))
	p, err := m.plan(nats(masquerade("10.0.0.0/16", "ens224"), masquerade("10.1.0.0/16", "ens224")))
	if err != nil {
		t.Fatal(err)
	}
	m.journal = nil
	before := m.String()
	m.Do(nat.IPv4, nat.NFT, "filter", "-I FORWARD 1 -i dmz0 -j DROP")
	for _, s := range p.Steps {
		if err := m.do(s.Op.Kind, s.Op.From, s.Op.To); err != nil {
			t.Fatal(err)
		}
		m.journal = append(m.journal, s)
	}
	if got := m.Saved(nat.IPv4, nat.NFT); !contains(got, "-A FORWARD -i dmz0 -j DROP\n-A FORWARD -m comment --comment vpnctl -j VPNCTL-FORWARD\n") {
		t.Errorf("the owner's rule is no longer first:\n%s", got)
	}
	m.Do(nat.IPv4, nat.NFT, "filter", "-A FORWARD -i dmz1 -j DROP")
	if err := m.undo(); err != nil {
		t.Fatal(err)
	}
	m.Do(nat.IPv4, nat.NFT, "filter", "-D FORWARD -i dmz0 -j DROP", "-D FORWARD -i dmz1 -j DROP")
	if diff := cmp.Diff(before, m.String()); diff != "" {
		t.Error(diff)
	}
}

// TestMove: the owner changes to the other kind of iptables, and our rules follow; then
// he removes his rules, and they go back to the default.
func TestMove(t *testing.T) {
	m := newMachine(nat.NFT, nat.Legacy)
	want := nats(masquerade("10.0.0.0/16", "ens224"))
	m.mustApply(t, want)
	m.Flows = []nattest.Flow{flow("10.0.0.1", true)}
	m.Do(nat.IPv4, nat.Legacy, "filter", "-A INPUT -i dmz0 -j DROP")
	wantPlan := `~ nat/linux2/exempt/ipsec (in iptables-legacy, where the host's own rules are)
    nat/POSTROUTING: (none) -> -m policy --dir out --pol ipsec -j ACCEPT
    nft nat/POSTROUTING: -m policy --dir out --pol ipsec -j ACCEPT -> (none)
~ nat/linux2/rule/10.0.0.0/16->ens224 (in iptables-legacy, where the host's own rules are)
    filter/FORWARD:
      (none)
      -> -s 10.0.0.0/16 -o ens224 -j ACCEPT
      -d 10.0.0.0/16 -i ens224 -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
    nat/POSTROUTING: (none) -> -s 10.0.0.0/16 -o ens224 -j MASQUERADE
    nft filter/FORWARD:
      -s 10.0.0.0/16 -o ens224 -j ACCEPT
      -d 10.0.0.0/16 -i ens224 -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
      -> (none)
    nft nat/POSTROUTING: -s 10.0.0.0/16 -o ens224 -j MASQUERADE -> (none)
plan: 0 to create, 2 to update, 0 to delete; 0 disruptive
`
	if diff := cmp.Diff(wantPlan, m.mustApply(t, want)); diff != "" {
		t.Error(diff)
	}
	if s := m.Saved(nat.IPv4, nat.NFT); contains(s, "VPNCTL") {
		t.Errorf("still in nft:\n%s", s)
	}
	if len(m.Flows) != 1 {
		t.Error("the move ended a connection")
	}
	m.Do(nat.IPv4, nat.Legacy, "filter", "-F INPUT")
	m.mustApply(t, want)
	if s := m.Saved(nat.IPv4, nat.Legacy); contains(s, "VPNCTL") || !contains(m.Saved(nat.IPv4, nat.NFT), "VPNCTL") {
		t.Errorf("not back in nft:\n%s", m)
	}
}

// TestLegacyTablesAreNotListed: listing tables of iptables-legacy makes them.
func TestLegacyTablesAreNotListed(t *testing.T) {
	m := newMachine(nat.Legacy)
	if _, err := m.plan(nats(masquerade("10.0.0.0/16", "ens224"))); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"iptables-legacy --version"}, m.Runs); diff != "" {
		t.Error(diff)
	}
}

// TestRuns: how many programs are run. A fork costs more than a thousand rules.
func TestRuns(t *testing.T) {
	m := newMachine(nat.NFT, nat.Legacy)
	both := nats(masquerade("10.0.0.0/16", "ens224"), masquerade("10.1.0.0/16", "ens224"), masquerade("fd00::/48", "ens224"))
	m.mustApply(t, both)
	for name, c := range map[string]struct {
		want *desired.State
		runs []string
	}{
		"nothing to do":      {both, []string{"iptables-nft-save", "ip6tables-nft-save"}},
		"one family changes": {nats(both.Netfilter.Masquerades[0], both.Netfilter.Masquerades[2]), []string{"iptables-nft-save", "ip6tables-nft-save", "iptables-nft --version"}},
	} {
		t.Run(name, func(t *testing.T) {
			m.Runs = nil
			if _, err := m.plan(c.want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.runs, m.Runs); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("writing", func(t *testing.T) {
		m := newMachine(nat.NFT)
		var writes []string
		m.Fault = func(w string) error {
			writes = append(writes, strings.Join(strings.SplitN(w, "\n", 3)[:2], " "))
			return nil
		}
		m.mustApply(t, both)
		want := []string{ // the exemptions, then one for each table
			"iptables-nft-restore *nat", "ip6tables-nft-restore *nat",
			"iptables-nft-restore *nat", "iptables-nft-restore *filter",
			"ip6tables-nft-restore *nat", "ip6tables-nft-restore *filter",
		}
		if diff := cmp.Diff(want, writes); diff != "" {
			t.Error(diff)
		}
	})
}

// TestNoIptables: who needs no rule needs no iptables.
func TestNoIptables(t *testing.T) {
	m := newMachine()
	m.Unprivileged = true
	for _, want := range []*desired.State{nothing(), state(desired.Netfilter{})} {
		p, err := m.plan(want)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Steps)+len(m.Runs) > 0 {
			t.Errorf("plans %v, runs %v", p.Steps, m.Runs)
		}
	}
}

// TestFlushedByHand: what is remembered of rules that are gone is forgotten, in silence.
func TestFlushedByHand(t *testing.T) {
	m := newMachine(nat.NFT)
	before := m.text()
	m.mustApply(t, nats(masquerade("10.0.0.0/16", "ens224")))
	m.Do(nat.IPv4, nat.NFT, "nat", "-F POSTROUTING", "-F VPNCTL-POSTROUTING", "-X VPNCTL-POSTROUTING")
	m.Do(nat.IPv4, nat.NFT, "filter", "-F FORWARD", "-F VPNCTL-FORWARD", "-X VPNCTL-FORWARD")
	if got := m.mustApply(t, nothing()); got != plan.NoChanges {
		t.Error(got)
	}
	if diff := cmp.Diff(before, m.text()); diff != "" {
		t.Error(diff)
	}
}

// TestRefusals: what cannot be had here, and the cure, before anything is written.
func TestRefusals(t *testing.T) {
	rule := nats(masquerade("10.0.0.0/16", "ens224"))
	for name, c := range map[string]struct {
		set  func(m *machine)
		want *desired.State
		err  string
	}{
		"no iptables": {
			set: func(m *machine) { m.Uninstall(nat.NFT) }, want: rule,
			err: "nat/iptables: the program is missing, and the topology needs rules of it; install it: apt install iptables",
		},
		"no ip6tables": {
			set: func(m *machine) { m.Uninstall(nat.NFT) }, want: nats(masquerade("fd00::/48", "ens224")),
			err: "nat/ip6tables: the program is missing, and the topology needs rules of it; install it: apt install iptables",
		},
		"no capability": {
			set: func(m *machine) { m.Unprivileged = true }, want: rule,
			err: "nat/linux2: changing the packet filter needs CAP_NET_ADMIN; run it as root",
		},
		"too old": {
			set: func(m *machine) { m.Version = [3]int{1, 6, 1} }, want: rule,
			err: "nat/iptables-nft: version 1.6.1 has no iptables-nft-restore -w; 1.6.2 has; update iptables",
		},
		"rules cannot be read": {
			set: func(m *machine) { m.Broken = "nf_tables: Protocol not supported" }, want: rule,
			err: "nat/iptables-nft: the rules cannot be read: nf_tables: Protocol not supported; see what iptables-nft-save says",
		},
		"no default route": {
			set:  func(m *machine) { m.Routes = nil },
			want: nats(masquerade("10.0.0.0/16", "auto"), masquerade("fd00::/48", "auto"), masquerade("10.0.0.0/16", "ens224")),
			err: "nat/linux2/rule/10.0.0.0/16->auto: there is no default route; name the interface: `out: eth0`\n" +
				"nat/linux2/rule/fd00::/48->auto: there is no default route; name the interface: `out: eth0`",
		},
		"a default route through the tunnel": {
			set: func(m *machine) { m.Routes[nat.IPv4] = "wg0" },
			want: &desired.State{Site: "hq", Node: "linux2", Interfaces: []desired.Interface{{Name: "wg0"}},
				Netfilter: nats(masquerade("10.0.0.0/16", "auto")).Netfilter},
			err: "nat/linux2/rule/10.0.0.0/16->auto: there is no default route; name the interface: `out: eth0`",
		},
		"a foreign rule leads into a chain that goes": {
			set: func(m *machine) {
				m.apply(rule)
				m.Do(nat.IPv4, nat.NFT, "filter", "-A FORWARD -i dmz0 -j VPNCTL-FORWARD")
			},
			want: nothing(),
			err:  "nat/linux2/chain/filter/FORWARD: a foreign rule leads into it; iptables-nft -t filter -D FORWARD -i dmz0 -j VPNCTL-FORWARD",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(nat.NFT)
			c.set(m)
			before := m.text()
			err := m.apply(c.want)
			if err == nil || err.Error() != c.err || !backend.IsRefusal(err) {
				t.Errorf("got  %v\nwant %s", err, c.err)
			}
			if diff := cmp.Diff(before, m.text()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestOneFamilyRouted: a host with one default route translates one family.
func TestOneFamilyRouted(t *testing.T) {
	m := newMachine(nat.NFT)
	delete(m.Routes, nat.IPv6)
	m.mustApply(t, nats(masquerade("10.0.0.0/16", "auto"), masquerade("fd00::/48", "auto")))
	if got := m.Saved(nat.IPv6, nat.NFT); contains(got, "VPNCTL") || !contains(m.String(), "-s 10.0.0.0/16 -o eth0") {
		t.Error(m)
	}
}

// TestSpoiledTable: iptables-save leaves tables out that nft(8) wrote to. Our own chains
// can be read and changed all the same.
func TestSpoiledTable(t *testing.T) {
	m := newMachine(nat.NFT, nat.Legacy)
	owner(m.Host, nat.NFT)
	before := m.text()
	m.Spoil(nat.IPv4, "filter")
	m.mustApply(t, nats(masquerade("10.0.0.0/16", "ens224")))
	m.Do(nat.IPv4, nat.NFT, "filter", "-D FORWARD -m comment --comment vpnctl -j VPNCTL-FORWARD")
	want := `+ nat/linux2/jump/filter/FORWARD
plan: 1 to create, 0 to update, 0 to delete; 0 disruptive
`
	if diff := cmp.Diff(want, m.mustApply(t, nats(masquerade("10.0.0.0/16", "ens224")))); diff != "" {
		t.Error(diff)
	}
	m.mustApply(t, nats(masquerade("10.1.0.0/16", "ens224")))
	m.mustApply(t, nothing())
	if diff := cmp.Diff(before, m.text()); diff != "" {
		t.Error(diff)
	}
}

// TestSpoiledGuards: of such a table all our chains are seen, those of guards too.
func TestSpoiledGuards(t *testing.T) {
	m := newMachine(nat.NFT)
	owner(m.Host, nat.NFT)
	before := m.text()
	m.Spoil(nat.IPv4, "mangle")
	want := state(desired.Netfilter{
		Guards: []desired.Guard{hqGuard}, Drops: []desired.Drop{{Object: "nat/linux2/drop/l2tp", Port: 1701}},
		Clamps: []desired.Clamp{{Object: "nat/linux2/clamp/wg0", Interface: "wg0"}},
	})
	m.mustApply(t, want)
	m.Do(nat.IPv4, nat.NFT, "mangle", "-D INPUT -m comment --comment vpnctl -j VPNCTL-DROP-INPUT", "-F VPNCTL-GUARD-FORWARD")
	left := `~ nat/linux2/guard/hq
    mangle/GUARD-FORWARD: (none) -> -s 10.10.0.0/24 -d 10.14.0.0/24 -m policy --dir out --pol none -j DROP
+ nat/linux2/jump/mangle/INPUT
plan: 1 to create, 1 to update, 0 to delete; 0 disruptive
`
	if diff := cmp.Diff(left, m.mustApply(t, want)); diff != "" {
		t.Error(diff)
	}
	m.mustApply(t, nothing())
	if diff := cmp.Diff(before, m.text()); diff != "" {
		t.Error(diff)
	}
}

// TestForeignRulesStay: what the owner writes around our jumps stays in its place and
// order, whatever we do between.
func TestForeignRulesStay(t *testing.T) {
	for _, kind := range []nat.Kind{nat.NFT, nat.Legacy} {
		t.Run(string(kind), func(t *testing.T) {
			m, alone := newMachine(kind), nattest.New(kind)
			for i := range 20 {
				m.mustApply(t, nats(masquerade(fmt.Sprintf("10.%d.0.0/16", i), "ens224")))
				for _, h := range []*nattest.Host{m.Host, alone} {
					h.Do(nat.IPv4, kind, "filter", fmt.Sprintf("-A FORWARD -p tcp -m tcp --dport %d -j ACCEPT", i),
						fmt.Sprintf("-I FORWARD 1 -p udp -m udp --dport %d -j DROP", i))
					h.Do(nat.IPv4, kind, "nat", fmt.Sprintf("-I POSTROUTING 1 -s 192.0.2.%d/32 -j MASQUERADE", i))
				}
			}
			m.mustApply(t, nothing())
			if diff := cmp.Diff(alone.String(), m.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestStatusAndKind(t *testing.T) {
	b := nat.New(nattest.New().Config())
	tunnels, err := b.Status(context.Background(), backend.Input{Want: nothing()})
	if b.Kind() != backend.NAT || len(tunnels) > 0 || err != nil {
		t.Errorf("%s has tunnels %v, %v", b.Kind(), tunnels, err)
	}
}
