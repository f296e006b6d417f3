package nat_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/nat"
	"github.com/vpnctl/vpnctl/internal/plan"
)

// randomState draws some of everything that a node can need. Few names and prefixes, so
// that states have much in common.
func randomState(r *rand.Rand) *desired.State {
	var n desired.Netfilter
	object := func(kind string, what any) string { return fmt.Sprintf("nat/linux2/%s/%v", kind, what) }
	each := func(names []string, f func(string)) {
		for _, name := range names {
			if r.IntN(3) == 0 {
				f(name)
			}
		}
	}
	outs := []string{"ens224", "auto", "eth0.100", "nowhere0"}
	each([]string{"10.0.0.0/16", "10.1.0.0/24", "fd00::/48"}, func(source string) {
		m := masquerade(source, outs[r.IntN(len(outs))])
		if r.IntN(2) == 0 {
			m = snat(source, m.Out, map[bool]string{true: "2001:db8::5", false: "203.0.113.5"}[m.Source.Addr().Is6()])
		}
		n.Masquerades = append(n.Masquerades, m)
	})
	each([]string{"10.13.0.0/16", "fd13::/64"}, func(net string) {
		n.Forwards = append(n.Forwards,
			desired.Forward{Object: object("forward", "wg0->"+net), In: "wg0", To: prefix(net)},
			desired.Forward{Object: object("forward", net+"->wg0"), Out: "wg0", From: prefix(net), Answers: r.IntN(2) == 0})
	})
	each([]string{"wg0", "wg1"}, func(name string) {
		n.Clamps = append(n.Clamps, desired.Clamp{Object: object("clamp", name), Interface: name, MSS: 1380 * r.IntN(2),
			Family: []int{0, 4, 6}[r.IntN(3)]})
		n.Inner = append(n.Inner, name)
	})
	each([]string{"10.0.0.1", "fd00::1"}, func(addr string) {
		a := netip.MustParseAddr(addr)
		n.AntiSpoofs = append(n.AntiSpoofs, desired.AntiSpoof{
			Object: object("anti-spoof", "wg0"), Interface: "wg0", Addresses: []netip.Addr{a}, Mark: 51820 * r.IntN(2)})
	})
	each([]string{"udp", "ah", "gre"}, func(proto string) {
		p := desired.OpenPort{Object: object("open", proto), Protocol: proto}
		if proto == "udp" {
			p.Port = 500 + r.IntN(2)
		}
		n.OpenPorts = append(n.OpenPorts, p)
	})
	randomIPsec(r, &n)
	randomPPP(r, &n)
	return state(n)
}

// randomPPP adds some of what servers and links of PPP need.
func randomPPP(r *rand.Rand, n *desired.Netfilter) {
	peers := [][]netip.Addr{nil, {netip.MustParseAddr("192.0.2.2")}, {netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")}}
	if r.IntN(3) == 0 {
		d := desired.Drop{Object: "nat/linux2/drop/l2tp", Port: 1701, Peers: peers[r.IntN(3)]}
		if d.Peers == nil {
			d.Except = peers[r.IntN(3)]
		}
		n.Drops = append(n.Drops, d)
		n.OpenPorts = append(n.OpenPorts, desired.OpenPort{Object: "nat/linux2/open/l2tp", Protocol: "udp", Port: 1701, Dialled: r.IntN(2) == 0, Family: 4})
	}
	if r.IntN(3) == 0 {
		pool := prefix("192.168.130.0/25")
		run := desired.AddrRange{From: netip.MustParseAddr("192.168.131.100"), To: netip.MustParseAddr("192.168.131.200")}
		n.Forwards = append(n.Forwards, desired.Forward{Object: "nat/linux2/forward/l2tp/office", In: "ppp+", From: pool},
			desired.Forward{Object: "nat/linux2/forward/l2tp/office", Out: "ppp+", ToRange: run, Answers: r.IntN(2) == 0})
		n.Clamps = append(n.Clamps, desired.Clamp{Object: "nat/linux2/clamp/l2tp/office", Interface: "ppp+", Remote: pool})
		n.InnerLinks = append(n.InnerLinks,
			desired.InnerLink{Object: "nat/linux2/inner/l2tp/office", Interface: "ppp+", Remote: pool, Answers: r.IntN(2) == 0},
			desired.InnerLink{Object: "nat/linux2/inner/l2tp/office", Interface: "ppp+", RemoteRange: run},
			desired.InnerLink{Object: "nat/linux2/inner/pptp/legacy", Interface: "ppp+", Remote: prefix("0.0.0.0/0"), Answers: true})
	}
	if r.IntN(3) == 0 {
		n.Helpers = append(n.Helpers, desired.Helper{Object: "nat/linux2/helper/pptp", Name: "pptp", Port: 1723, Source: prefix("10.0.0.0/16")})
	}
}

// randomIPsec adds some of what connections need.
func randomIPsec(r *rand.Rand, n *desired.Netfilter) {
	pairs := [][2]string{{"10.10.0.0/24", "10.14.0.0/24"}, {"10.10.0.0/24", "10.0.0.0/8"}, {"fd10::/64", "::/0"}, {"192.0.2.1/32", "192.0.2.2/32"}}
	peers := [][]netip.Addr{nil, {netip.MustParseAddr("10.14.0.1")}, {netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("fd14::1")}}
	ports := []desired.Ports{{}, {Protocol: "tcp", Port: "80"}, {Protocol: "udp", SourcePort: "1701", Port: "1024-2048"}, {Protocol: "ospf"}, {Protocol: "sctp", Port: "5"}, {Protocol: "ah"}}
	for i, p := range pairs {
		local, remote := prefix(p[0]), prefix(p[1])
		name := fmt.Sprintf("c%d", i)
		if r.IntN(3) == 0 {
			n.Exempts = append(n.Exempts, desired.Exempt{Object: "nat/linux2/exempt/" + name, Source: local, Dest: remote, Ports: ports[r.IntN(len(ports))]})
		}
		if r.IntN(3) == 0 {
			g := desired.Guard{Object: "nat/linux2/guard/" + name, Source: local, Dest: remote, Ports: ports[r.IntN(len(ports))], Peers: peers[r.IntN(len(peers))]}
			switch r.IntN(4) {
			case 0:
				g.Source = netip.Prefix{}
			case 1:
				g.Interface = "xfrm0"
			case 2:
				g.Local = []netip.Prefix{local}
			}
			n.Guards = append(n.Guards, g)
		}
		if r.IntN(3) == 0 {
			n.Forwards = append(n.Forwards, desired.Forward{Object: "nat/linux2/forward/ipsec/" + name, From: local, To: remote, IPsec: "out"})
			n.Clamps = append(n.Clamps, desired.Clamp{Object: "nat/linux2/clamp/ipsec/" + name, Local: local, Remote: remote, MSS: 1366})
			n.InnerIPsec = append(n.InnerIPsec, desired.Inner{Object: "nat/linux2/inner/ipsec/" + name, Local: local, Remote: remote})
		}
	}
}

var seedFlag = flag.Uint64("seed", 0, "seed of the random tests; 0 for another one each time")

// random prints its seed, so that what it found can be found again.
func random(t *testing.T) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// someStates are the empty state and many others.
func someStates(r *rand.Rand, n int) []*desired.State {
	states := []*desired.State{nothing()}
	for len(states) < n {
		states = append(states, randomState(r))
	}
	return states
}

// hosts are hosts with either kind of iptables, and with both, each with the owner's
// rules; and one that is bare.
func hosts() map[string]func() *machine {
	owned := func(in nat.Kind, kinds ...nat.Kind) func() *machine {
		return func() *machine {
			m := newMachine(kinds...)
			owner(m.Host, in)
			return m
		}
	}
	return map[string]func() *machine{
		"nft":          owned(nat.NFT, nat.NFT),
		"legacy":       owned(nat.Legacy, nat.Legacy),
		"both":         owned(nat.NFT, nat.NFT, nat.Legacy),
		"both, legacy": owned(nat.Legacy, nat.NFT, nat.Legacy),
		"bare":         func() *machine { return newMachine(nat.NFT, nat.Legacy) },
		"without IPv6": func() *machine { m := owned(nat.NFT, nat.NFT)(); m.NoIPv6 = true; return m },
	}
}

// TestWalk: from any state to any other, the host ends up as if it had always been so,
// and without us as if we had never been there.
func TestWalk(t *testing.T) {
	for name, host := range hosts() {
		t.Run(name, func(t *testing.T) {
			r := random(t)
			states := someStates(r, 30)
			ends := make([]string, len(states))
			for i, s := range states {
				m := host()
				m.mustApply(t, s)
				ends[i] = m.text()
			}
			m := host()
			if got := m.text(); got != ends[0] {
				t.Fatalf("nothing wanted, and the host changed:\n%s", cmp.Diff(got, ends[0]))
			}
			for range 2 * len(states) {
				i := r.IntN(len(states))
				m.mustApply(t, states[i])
				if diff := cmp.Diff(ends[i], m.text()); diff != "" {
					t.Fatalf("state %d:\n%s", i, diff)
				}
			}
		})
	}
}

// fault lets the k-th write fail, counted from 1.
func (m *machine) fault(k int, err error) (failed *bool) {
	n, failed := 0, new(bool)
	m.Fault = func(string) error {
		if n++; n != k {
			return nil
		}
		*failed = true
		return err
	}
	return failed
}

// TestFaults: whichever write fails, the host is as before; and so it is when the process
// is killed there and another one undoes, or it converges in the next apply.
func TestFaults(t *testing.T) {
	errBroken := errors.New("broken")
	for name, host := range hosts() {
		t.Run(name, func(t *testing.T) {
			r := random(t)
			states := someStates(r, 7)
			for step, to := range append(slices.Clone(states[1:]), states[0]) {
				from := states[r.IntN(len(states))]
				direct := host()
				direct.mustApply(t, to)
				for k := 1; ; k++ {
					m := host()
					m.mustApply(t, from)
					before := m.text()

					failed := m.fault(k, errBroken)
					err := m.apply(to)
					if !*failed {
						break
					}
					if !errors.Is(err, errBroken) {
						t.Fatalf("step %d, write %d: %v", step, k, err)
					}
					if diff := cmp.Diff(before, m.text()); diff != "" {
						t.Fatalf("step %d, write %d failed, after undo:\n%s", step, k, diff)
					}

					m.fault(k, errKilled)
					if err := m.apply(to); !errors.Is(err, errKilled) {
						t.Fatalf("step %d, write %d: %v", step, k, err)
					}
					m.Fault = nil
					m.mustApply(t, to)
					if diff := cmp.Diff(direct.text(), m.text()); diff != "" {
						t.Fatalf("step %d, killed at write %d, applied again:\n%s", step, k, diff)
					}
				}
			}
		})
	}
}

// TestUndoAfterKill: a process that is killed at any write leaves a journal with which
// another one finds the way back.
func TestUndoAfterKill(t *testing.T) {
	for name, host := range hosts() {
		t.Run(name, func(t *testing.T) {
			states := someStates(random(t), 7)
			for i, from := range states {
				to := states[(i+1)%len(states)]
				for k := 1; ; k++ {
					m := host()
					m.mustApply(t, from)
					before := m.text()
					killed := m.fault(k, errKilled)
					if err := m.apply(to); err != nil && !*killed {
						t.Fatal(err)
					}
					m.Fault = nil
					if err := m.undo(); err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(before, m.text()); diff != "" {
						t.Fatalf("state %d, killed at write %d, after undo:\n%s", i, k, diff)
					}
					if !*killed {
						break // everything was done, and undone
					}
				}
			}
		})
	}
}

// TestGuards: at no moment is there a masquerade without the exemption before it, nor an
// accept whose translation is not there yet.
func TestGuards(t *testing.T) {
	m := newMachine(nat.NFT)
	want := nats(masquerade("10.0.0.0/16", "ens224"))
	p, err := m.plan(want)
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	look := func() {
		s := m.String()
		seen = append(seen, fmt.Sprintf("exempt %v, translated %v, let through %v", contains(s, "--pol ipsec"),
			contains(s, "-j MASQUERADE"), contains(s, "-A VPNCTL-FORWARD")))
	}
	for _, p := range []*plan.Plan{p, nil} {
		if p == nil {
			if p, err = m.plan(nothing()); err != nil {
				t.Fatal(err)
			}
		}
		for _, s := range p.Steps {
			if err := m.do(s.Op.Kind, s.Op.From, s.Op.To); err != nil {
				t.Fatal(err)
			}
			look()
		}
	}
	want2 := []string{
		"exempt false, translated false, let through false", // memory
		"exempt true, translated false, let through false",
		"exempt true, translated true, let through false",
		"exempt true, translated true, let through true",
		"exempt true, translated true, let through false",
		"exempt true, translated false, let through false",
		"exempt false, translated false, let through false",
		"exempt false, translated false, let through false", // memory
		"exempt false, translated false, let through false", // conntrack
	}
	if diff := cmp.Diff(want2, seen); diff != "" {
		t.Error(diff)
	}
}

// TestFlush: what is no longer translated ends, and nothing else.
func TestFlush(t *testing.T) {
	m := newMachine(nat.NFT)
	m.mustApply(t, nats(masquerade("10.0.0.0/16", "ens224"), masquerade("fd00::/48", "ens224")))
	for _, source := range []string{"10.0.0.1", "192.168.1.1", "fd00::1", "fd01::1"} {
		m.Flows = append(m.Flows, flow(source, true), flow(source, false))
	}
	m.mustApply(t, nats(snat("fd00::/48", "ens224", "2001:db8::5")))
	var left []string
	for _, f := range m.Flows {
		left = append(left, fmt.Sprint(f.Source, f.Translated))
	}
	want := []string{"10.0.0.1 false", "192.168.1.1 true", "192.168.1.1 false", "fd00::1 false", "fd01::1 true", "fd01::1 false"}
	if diff := cmp.Diff(want, left); diff != "" {
		t.Error(diff)
	}
	if err := nat.New(m.Config()).Handlers()["nat.flush"].Apply(context.Background(), nil, &nat.Flush{Flows: []nat.Flow{{Source: prefix("::/0")}}}); err != nil {
		t.Fatal(err)
	}
	if len(m.Flows) != len(want) {
		t.Errorf("undone, a flush left only %v", m.Flows)
	}
}
