package nat_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/lab"
	"github.com/vpnctl/vpnctl/internal/nat"
)

// rulesOf are the rules of a rendered file without comments, as "CHAIN RULE".
func rulesOf(n *desired.Netfilter, f nat.Family) string {
	var b strings.Builder
	for line := range strings.Lines(nat.RenderFile(n, "linux2", f)) {
		rest, ok := strings.CutPrefix(line, "-A VPNCTL-")
		before, after, found := strings.Cut(rest, " -m comment --comment ")
		if !ok || !found {
			continue
		}
		_, target, _ := strings.Cut(after, " -j ")
		b.WriteString(before + " -j " + target)
	}
	return b.String()
}

func TestRenderGuards(t *testing.T) {
	source, dest := prefix("10.10.0.0/24"), prefix("10.14.0.0/24")
	gateway := []netip.Addr{netip.MustParseAddr("192.168.20.20")}
	tests := []struct {
		name   string
		guards []desired.Guard
		v4, v6 string
	}{
		{"far gateway elsewhere", []desired.Guard{{Source: source, Dest: dest, Peers: gateway}}, `
GUARD-FORWARD -s 10.10.0.0/24 -d 10.14.0.0/24 -m policy --dir out --pol none -j DROP
GUARD-OUTPUT -o lo -j RETURN
GUARD-OUTPUT -s 10.10.0.0/24 -d 10.14.0.0/24 -m policy --dir out --pol none -j DROP
`, ""},
		{"far gateway inside", []desired.Guard{{Dest: prefix("192.168.20.0/24"), Peers: gateway}}, `
GUARD-OUTPUT -o lo -j RETURN
GUARD-OUTPUT -d 192.168.20.20/32 -p udp -m udp --sport 500 -j RETURN
GUARD-OUTPUT -d 192.168.20.20/32 -p udp -m udp --sport 4500 -j RETURN
GUARD-OUTPUT -d 192.168.20.20/32 -p esp -j RETURN
GUARD-OUTPUT -d 192.168.20.20/32 -p ah -j RETURN
GUARD-OUTPUT -d 192.168.20.0/24 -m policy --dir out --pol none -j DROP
`, ""},
		{"everything, by a gateway that may be anywhere", []desired.Guard{{Source: prefix("fd10::/64"), Dest: prefix("::/0"), Local: []netip.Prefix{prefix("fd10::/64")}}}, "", `
GUARD-FORWARD -s fd10::/64 -d fd10::/64 -j RETURN
GUARD-FORWARD -s fd10::/64 -m policy --dir out --pol none -j DROP
GUARD-OUTPUT -o lo -j RETURN
GUARD-OUTPUT -d ff02::/16 -j RETURN
GUARD-OUTPUT -d fe80::/10 -j RETURN
GUARD-OUTPUT -p udp -m udp --sport 500 -j RETURN
GUARD-OUTPUT -p udp -m udp --sport 4500 -j RETURN
GUARD-OUTPUT -p esp -j RETURN
GUARD-OUTPUT -m ah -j RETURN
GUARD-OUTPUT -s fd10::/64 -d fd10::/64 -j RETURN
GUARD-OUTPUT -s fd10::/64 -m policy --dir out --pol none -j DROP
`},
		{"route-based, one port", []desired.Guard{{
			Source: source, Dest: dest, Peers: gateway, Interface: "xfrm0", Ports: desired.Ports{Protocol: "tcp", SourcePort: "80", Port: "1024-2048"},
		}}, `
GUARD-FORWARD -s 10.10.0.0/24 -d 10.14.0.0/24 ! -o xfrm0 -p tcp -m tcp --dport 1024:2048 --sport 80 -j DROP
GUARD-OUTPUT -o lo -j RETURN
GUARD-OUTPUT -s 10.10.0.0/24 -d 10.14.0.0/24 ! -o xfrm0 -p tcp -m tcp --dport 1024:2048 --sport 80 -j DROP
`, ""},
		{"what passes is said once", []desired.Guard{
			{Source: source, Dest: dest, Peers: gateway}, {Source: source, Dest: prefix("10.15.0.0/24"), Peers: gateway},
		}, `
GUARD-FORWARD -s 10.10.0.0/24 -d 10.14.0.0/24 -m policy --dir out --pol none -j DROP
GUARD-FORWARD -s 10.10.0.0/24 -d 10.15.0.0/24 -m policy --dir out --pol none -j DROP
GUARD-OUTPUT -o lo -j RETURN
GUARD-OUTPUT -s 10.10.0.0/24 -d 10.14.0.0/24 -m policy --dir out --pol none -j DROP
GUARD-OUTPUT -s 10.10.0.0/24 -d 10.15.0.0/24 -m policy --dir out --pol none -j DROP
`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := desired.Netfilter{Guards: tt.guards}
			for f, want := range map[nat.Family]string{nat.IPv4: tt.v4, nat.IPv6: tt.v6} {
				if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), rulesOf(&n, f)); diff != "" {
					t.Errorf("%s (-want +got)\n%s", f, diff)
				}
			}
		})
	}
}

func TestRenderExempts(t *testing.T) {
	n := desired.Netfilter{
		Exempts: []desired.Exempt{
			{Source: prefix("10.10.0.0/24"), Dest: prefix("10.14.0.0/24")},
			{Source: prefix("10.10.0.0/24"), Dest: prefix("10.15.0.0/24"), Ports: desired.Ports{Protocol: "udp", Port: "53"}},
			{Source: prefix("10.10.0.0/24")},
			{},
			{Dest: prefix("fd14::/64")},
		},
		Masquerades: []desired.Masquerade{masquerade("10.10.0.0/24", "eth0")},
		InnerIPsec:  []desired.Inner{{Local: prefix("10.10.0.0/24")}},
		Forwards:    []desired.Forward{{From: prefix("10.14.0.0/24"), To: prefix("10.10.0.0/24"), IPsec: "in"}},
	}
	want := `POSTROUTING -m policy --dir out --pol ipsec -j ACCEPT
POSTROUTING -s 10.10.0.0/24 -d 10.14.0.0/24 -j ACCEPT
POSTROUTING -s 10.10.0.0/24 -d 10.15.0.0/24 -p udp -m udp --dport 53 -j ACCEPT
POSTROUTING -s 10.10.0.0/24 -o eth0 -j MASQUERADE
FORWARD -s 10.10.0.0/24 -o eth0 -j ACCEPT
FORWARD -d 10.10.0.0/24 -i eth0 -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
FORWARD -s 10.14.0.0/24 -d 10.10.0.0/24 -m policy --dir in --pol ipsec -j ACCEPT
INPUT -d 10.10.0.0/24 -m policy --dir in --pol ipsec -j ACCEPT
OUTPUT -s 10.10.0.0/24 -m policy --dir out --pol ipsec -j ACCEPT
`
	if diff := cmp.Diff(want, rulesOf(&n, nat.IPv4)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff("POSTROUTING -m policy --dir out --pol ipsec -j ACCEPT\n", rulesOf(&n, nat.IPv6)); diff != "" {
		t.Errorf("IPv6 (-want +got)\n%s", diff)
	}
}

// TestRenderPPP: what keeps L2TP inside IPsec comes before the guards, and what these let
// pass does not pass it by.
func TestRenderPPP(t *testing.T) {
	one, two := netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")
	pool := prefix("192.168.130.0/25")
	pool2 := desired.AddrRange{From: netip.MustParseAddr("192.168.131.100"), To: netip.MustParseAddr("192.168.131.200")}
	tests := []struct {
		name, want string
		netfilter  desired.Netfilter
	}{
		{"all but some", `
DROP-INPUT -s 192.0.2.2/32 -p udp -m udp --dport 1701 -j RETURN
DROP-INPUT -s 192.0.2.3/32 -p udp -m udp --dport 1701 -j RETURN
DROP-INPUT -p udp -m policy --dir in --pol none -m udp --dport 1701 -j DROP
DROP-OUTPUT -d 192.0.2.2/32 -p udp -m udp --sport 1701 -j RETURN
DROP-OUTPUT -d 192.0.2.3/32 -p udp -m udp --sport 1701 -j RETURN
DROP-OUTPUT -p udp -m policy --dir out --pol none -m udp --sport 1701 -j DROP
`, desired.Netfilter{Drops: []desired.Drop{{Port: 1701, Except: []netip.Addr{one, two}}}}},
		{"one alone", `
DROP-INPUT -s 192.0.2.2/32 -p udp -m policy --dir in --pol none -m udp --dport 1701 -j DROP
DROP-OUTPUT -d 192.0.2.2/32 -p udp -m policy --dir out --pol none -m udp --sport 1701 -j DROP
`, desired.Netfilter{Drops: []desired.Drop{{Port: 1701, Peers: []netip.Addr{one}}}}},
		{"sessions", `
FORWARD -s 192.168.130.0/25 -i ppp+ -j ACCEPT
FORWARD -d 192.168.130.0/25 -o ppp+ -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
FORWARD -i ppp+ -m iprange --src-range 192.168.131.100-192.168.131.200 -j ACCEPT
FORWARD -o ppp+ -m conntrack --ctstate ESTABLISHED,RELATED -m iprange --dst-range 192.168.131.100-192.168.131.200 -j ACCEPT
INPUT -p udp -m udp --dport 1701 -j ACCEPT
INPUT -p tcp -m conntrack --ctstate ESTABLISHED,RELATED -m tcp --sport 1723 -j ACCEPT
INPUT -s 192.168.130.0/25 -i ppp+ -j ACCEPT
INPUT -i ppp+ -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
INPUT -i ppp+ -m iprange --src-range 192.168.131.100-192.168.131.200 -j ACCEPT
OUTPUT -p udp -m udp --sport 1701 -j ACCEPT
OUTPUT -p tcp -m tcp --dport 1723 -j ACCEPT
OUTPUT -d 192.168.130.0/25 -o ppp+ -j ACCEPT
OUTPUT -o ppp+ -j ACCEPT
OUTPUT -o ppp+ -m iprange --dst-range 192.168.131.100-192.168.131.200 -j ACCEPT
`, desired.Netfilter{
			Forwards: []desired.Forward{{In: "ppp+", From: pool}, {Out: "ppp+", To: pool, Answers: true},
				{In: "ppp+", FromRange: pool2}, {Out: "ppp+", ToRange: pool2, Answers: true}},
			OpenPorts:  []desired.OpenPort{{Protocol: "udp", Port: 1701, Family: 4}, {Protocol: "tcp", Port: 1723, Dialled: true, Family: 4}},
			InnerLinks: []desired.InnerLink{{Interface: "ppp+", Remote: pool}, {Interface: "ppp+", Remote: prefix("0.0.0.0/0"), Answers: true}, {Interface: "ppp+", RemoteRange: pool2}},
		}},
		{"a clamp, a helper", `
PREROUTING -s 10.0.0.0/16 -p tcp -m tcp --dport 1723 -j CT --helper pptp
FORWARD -d 192.168.130.0/25 -o ppp+ -p tcp -m tcp --tcp-flags RST,SYN SYN -j TCPMSS --clamp-mss-to-pmtu
FORWARD -s 192.168.130.0/25 -i ppp+ -p tcp -m tcp --tcp-flags RST,SYN SYN -j TCPMSS --clamp-mss-to-pmtu
`, desired.Netfilter{
			Clamps:  []desired.Clamp{{Interface: "ppp+", Remote: pool}},
			Helpers: []desired.Helper{{Name: "pptp", Port: 1723, Source: prefix("10.0.0.0/16")}},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(strings.TrimPrefix(tt.want, "\n"), rulesOf(&tt.netfilter, nat.IPv4)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if got := rulesOf(&tt.netfilter, nat.IPv6); got != "" {
				t.Errorf("IPv6: %s", got)
			}
		})
	}
}

// TestRealDrop: on a real kernel, what comes to the port and leaves from it in clear is
// dropped even where the owner accepts everything and has talked before, but for the peers
// that are meant to.
func TestRealDrop(t *testing.T) {
	g := newGateway(t)
	far := g.lab.Host("far")
	for _, chain := range []string{"INPUT", "OUTPUT"} {
		g.Run("iptables", "-A", chain, "-m", "conntrack", "--ctstate", "ESTABLISHED", "-j", "ACCEPT")
	}
	here, there := socketOn(t, g.Host, "192.0.2.1:1701"), socketOn(t, far, "192.0.2.2:1701")
	hereElse, thereElse := socketOn(t, g.Host, "192.0.2.1:1702"), socketOn(t, far, "192.0.2.2:1702")
	drop := func(peers, except []netip.Addr) *desired.State {
		return state(desired.Netfilter{Drops: []desired.Drop{{Object: "nat/linux2/drop/l2tp", Port: 1701, Peers: peers, Except: except}}})
	}
	peer, other := []netip.Addr{netip.MustParseAddr("192.0.2.2")}, []netip.Addr{netip.MustParseAddr("192.0.2.9")}
	for _, tt := range []struct {
		name    string
		want    *desired.State
		dropped bool
	}{
		{"nothing", nothing(), false},
		{"everybody", drop(nil, nil), true},
		{"another is excepted", drop(nil, other), true},
		{"the peer is excepted", drop(nil, peer), false},
		{"another is meant", drop(other, nil), false},
		{"the peer is meant", drop(peer, nil), true},
		{"nothing again", nothing(), false},
	} {
		g.apply(tt.want)
		for _, way := range []struct{ from, to, fromElse, toElse *net.UDPConn }{{there, here, thereElse, hereElse}, {here, there, hereElse, thereElse}} {
			if dropped := lost(t, way.from, way.to, way.fromElse, way.toElse); dropped != tt.dropped {
				t.Errorf("%s: from %s: dropped %t", tt.name, way.from.LocalAddr(), dropped)
			}
		}
	}
}

// TestRealHelper: on a real kernel, conntrack follows PPTP that is masqueraded, and no other
// connection.
func TestRealHelper(t *testing.T) {
	g := newGateway(t, lab.Wire("gw:lan0 10.10.0.1/24", "pc:eth0 10.10.0.10/24 via 10.10.0.1"))
	g.Run("sysctl", "-qw", "net.ipv4.ip_forward=1")
	want := nats(masquerade("10.10.0.0/24", "eth0"))
	want.Netfilter.Helpers = []desired.Helper{{Object: "nat/linux2/helper/pptp", Name: "pptp", Port: 1723, Source: prefix("10.10.0.0/24")}}
	g.apply(want)
	pc, far := g.lab.Host("pc"), g.lab.Host("far")
	for port, helped := range map[string]bool{"1723": true, "1724": false} {
		var accepted net.Listener
		if err := far.Do(func() (err error) {
			accepted, err = net.Listen("tcp4", "192.0.2.2:"+port)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = accepted.Close() })
		var c net.Conn
		if err := pc.Do(func() (err error) {
			c, err = net.DialTimeout("tcp4", "192.0.2.2:"+port, 10*time.Second)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		tracked := g.Run("conntrack", "-L", "-p", "tcp", "--dport", port)
		if !strings.Contains(tracked, "dst=192.0.2.1 ") || strings.Contains(tracked, "helper=pptp") != helped {
			t.Errorf("port %s: %s", port, tracked)
		}
	}
}

// socketOn opens a port of a host of the lab.
func socketOn(t *testing.T, h *lab.Host, addr string) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	if err := h.Do(func() (err error) {
		c, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr)))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// lost sends a packet, and behind it on the same wire another one that arrives, and
// reports whether the first did not.
func lost(t *testing.T, from, to, fromElse, toElse *net.UDPConn) bool {
	t.Helper()
	if _, err := from.WriteTo([]byte("x"), to.LocalAddr()); err != nil && !errors.Is(err, unix.EPERM) {
		t.Fatal(err)
	}
	if _, err := fromElse.WriteTo([]byte("x"), toElse.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 9)
	_ = toElse.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, _, err := toElse.ReadFrom(b); err != nil {
		t.Fatalf("the packet behind it: %v", err)
	}
	_ = to.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	_, _, err := to.ReadFrom(b)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return err != nil
}

// TestGuardsFrame: guards and exemptions are set before everything else, and taken away
// after everything else.
func TestGuardsFrame(t *testing.T) {
	n := desired.Netfilter{
		Drops:  []desired.Drop{{Object: "nat/linux2/drop/l2tp", Port: 1701}},
		Guards: []desired.Guard{hqGuard}, Exempts: []desired.Exempt{{Object: "nat/linux2/exempt/hq", Source: hqGuard.Source, Dest: hqGuard.Dest}},
		Masquerades: []desired.Masquerade{masquerade("10.10.0.0/24", "eth0")},
		Clamps:      []desired.Clamp{{Object: "nat/linux2/clamp/wg0", Interface: "wg0"}},
		Helpers:     []desired.Helper{{Object: "nat/linux2/helper/pptp", Name: "pptp", Port: 1723, Source: hqGuard.Source}},
	}
	m := newMachine(nat.NFT)
	phases := func(want *desired.State) []string {
		p, err := m.plan(want)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, s := range p.Steps {
			for _, c := range s.Changes {
				first := s.Phase == backend.PhaseGuard || s.Phase == backend.PhaseUnguard
				if guards := strings.Contains(c.Object, "/drop/") || strings.Contains(c.Object, "/guard/") || strings.Contains(c.Object, "/exempt/"); guards != first {
					t.Errorf("%s is in phase %d", c.Object, s.Phase)
				}
				out = append(out, c.Object)
			}
		}
		return out
	}
	up := phases(state(n))
	m.mustApply(t, state(n))
	down := phases(nothing())
	for _, objects := range [][]string{up, down} {
		for _, object := range []string{"nat/linux2/drop/l2tp", "nat/linux2/helper/pptp", "nat/linux2/guard/hq", "nat/linux2/exempt/hq", "nat/linux2/rule/10.10.0.0/24->eth0", "nat/linux2/clamp/wg0"} {
			if !slices.Contains(objects, object) {
				t.Errorf("no %s in %v", object, objects)
			}
		}
	}
}

// TestRealGuard: on a real kernel, what a guard covers leaves neither from the host nor
// through it, even where the owner accepts everything; the rest does.
func TestRealGuard(t *testing.T) {
	g := newGateway(t, lab.Wire("gw:lan0 10.10.0.1/24", "pc:eth0 10.10.0.10/24 via 10.10.0.1"))
	g.Run("sysctl", "-qw", "net.ipv4.ip_forward=1")
	far, pc := g.lab.Host("far"), g.lab.Host("pc")
	for _, a := range []string{"10.14.0.10/32", "10.15.0.10/32"} {
		far.Run("ip", "addr", "add", a, "dev", "lo")
	}
	far.Run("ip", "route", "add", "10.10.0.0/24", "via", "192.0.2.1")
	for _, chain := range []string{"FORWARD", "OUTPUT"} {
		g.Run("iptables", "-A", chain, "-j", "ACCEPT")
	}
	others := func() {
		pc.Ping("10.15.0.10")  // another subnet
		g.Ping("10.14.0.10")   // from an address that is not among the local ones
		g.Ping("10.10.0.1")    // the host itself
		far.Ping("10.10.0.10") // an answer to a subnet that nobody guards
	}
	open := func() {
		others()
		pc.Ping("10.14.0.10")
		g.Ping("10.14.0.10", "-I", "10.10.0.1")
	}
	open()
	g.apply(state(desired.Netfilter{Guards: []desired.Guard{hqGuard}}))
	pc.Unreachable("10.14.0.10")
	g.Unreachable("10.14.0.10", "-I", "10.10.0.1")
	others()
	g.apply(nothing())
	open()
}
