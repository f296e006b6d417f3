//go:build vm

package ipsec_test

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/lab"
)

// plan is the text of a plan that is not carried out.
func (g *gateway) plan(want *desired.State) string {
	g.t.Helper()
	j := g.do(job{Want: want, Dry: true})
	if j.Err != "" {
		g.t.Fatal(j.Err)
	}
	return j.Plan
}

func (g *gateway) status() []backend.Tunnel {
	g.t.Helper()
	j := g.do(job{Want: g.applied, Look: true})
	if j.Err != "" {
		g.t.Fatal(j.Err)
	}
	return j.Rows
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// pair is two gateways with a network behind each.
type pair struct {
	t    *testing.T
	a, b *gateway
	r    *rig
}

func newPair(t *testing.T) *pair {
	l := lab.Start(t, lab.Wire("a:eth0 192.168.10.10/16", "b:eth0 192.168.20.20/16"))
	r := newRig(t)
	p := &pair{t: t, r: r, a: newGateway(t, l.Host("a"), r.secrets), b: newGateway(t, l.Host("b"), r.secrets)}
	for n := range 4 {
		p.a.Run("ip", "addr", "add", fmt.Sprintf("10.10.%d.1/24", n), "dev", "lo")
		p.b.Run("ip", "addr", "add", fmt.Sprintf("10.14.%d.1/24", n), "dev", "lo")
	}
	return p
}

// tunnel is the n-th connection, between the n-th networks.
func (p *pair) tunnel(name string, n int, change ...func(c *desired.Connection)) func(i *desired.IPsec) {
	return func(i *desired.IPsec) {
		net(p.r, name, append([]func(c *desired.Connection){func(c *desired.Connection) {
			c.Local.ID, c.Remote.ID = "a-"+name, "b-"+name
			c.Children[0].LocalTS = []string{fmt.Sprintf("10.10.%d.0/24", n)}
			c.Children[0].RemoteTS = []string{fmt.Sprintf("10.14.%d.0/24", n)}
		}}, change...)...)(i)
		i.Secrets[len(i.Secrets)-1].Owners = []string{"a-" + name, "b-" + name}
		i.Routes = append(i.Routes, desired.SelectorRoute{Dst: prefix(fmt.Sprintf("10.14.%d.0/24", n)), Peer: "192.168.20.20"})
	}
}

// mirror is the state of the other end, which waits.
func mirror(s *desired.State) *desired.State {
	out := state()
	for _, c := range s.IPsec.Connections {
		c.LocalAddrs, c.RemoteAddrs = []string{"192.168.20.20"}, []string{"192.168.10.10"}
		c.Local, c.Remote = c.Remote, c.Local
		children := append([]desired.Child(nil), c.Children...)
		for k := range children {
			ch := &children[k]
			ch.LocalTS, ch.RemoteTS = ch.RemoteTS, ch.LocalTS
			ch.Initiate, ch.DPDAction = desired.InitiateNever, "clear"
		}
		c.Children = children
		out.IPsec.Connections = append(out.IPsec.Connections, c)
	}
	out.IPsec.Secrets = s.IPsec.Secrets
	for _, r := range s.IPsec.Routes {
		r.Dst, r.Peer = prefix(strings.Replace(r.Dst.String(), "10.14.", "10.10.", 1)), "192.168.10.10"
		out.IPsec.Routes = append(out.IPsec.Routes, r)
	}
	return out
}

// apply applies on both, the end that waits first, and returns what the other planned
// while all was up.
func (p *pair) apply(s *desired.State) (planOfA string) {
	p.t.Helper()
	planOfA = p.a.plan(s)
	p.b.apply(mirror(s))
	p.a.apply(s)
	return planOfA
}

// number is that of the connection's IKE_SA on a.
func (p *pair) number(name string) string {
	p.t.Helper()
	out := p.a.Run("swanctl", "--list-sas", "--raw", "--ike", name)
	m := regexp.MustCompile(`uniqueid=(\d+)`).FindStringSubmatch(out)
	if m == nil {
		p.t.Fatalf("%s has no SA: %s", name, out)
	}
	return m[1]
}

func (p *pair) row(name string) backend.Tunnel {
	p.t.Helper()
	for _, row := range p.a.status() {
		if row.Name == name {
			return row
		}
	}
	p.t.Fatalf("no row of %s", name)
	return backend.Tunnel{}
}

// TestTunnelsOnTheKernel holds what a change costs, with packets.
func TestTunnelsOnTheKernel(t *testing.T) {
	p := newPair(t)
	one := state(p.tunnel("net", 0))
	p.apply(one)
	p.a.Ping("10.14.0.1", "-I", "10.10.0.1")
	if row := p.row("net"); row.State != backend.Up || row.IPsec == nil ||
		!strings.Contains(row.IPsec.IKE, "AES_CBC_128/HMAC_SHA2_256_128") || row.Remote != "192.168.20.20:4500" {
		t.Errorf("status is %+v %+v", row, row.IPsec)
	}
	ike := p.number("net")

	pinging := p.a.PingLoop("10.14.0.1", "-I", "10.10.0.1")
	p.apply(state(p.tunnel("net", 0), p.tunnel("bee", 1)))
	p.a.Ping("10.14.1.1", "-I", "10.10.1.1")
	bee := p.number("bee")

	// A changed child is made anew in the IKE_SA that it has.
	text := p.apply(state(p.tunnel("net", 0), p.tunnel("bee", 1, esp("aes256-sha256"))))
	if want := "! replaces CHILD_SA bee: interrupts 1 tunnel (bee 192.168.20.20)"; !strings.Contains(text, want) {
		t.Errorf("plan has no %q:\n%s", want, text)
	}
	p.a.Ping("10.14.1.1", "-I", "10.10.1.1")
	if got := p.number("bee"); got != bee {
		t.Errorf("the IKE_SA of a changed child is %s, was %s", got, bee)
	}
	if row := p.row("bee"); !strings.Contains(row.IPsec.Child, "AES_CBC_256") {
		t.Errorf("the changed child has %s", row.IPsec.Child)
	}

	text = p.apply(state(p.tunnel("net", 0), p.tunnel("bee", 1, esp("aes256-sha256"), proposals("aes256-sha256-modp2048"))))
	if want := "! replaces IKE_SA bee: interrupts 1 tunnel (bee 192.168.20.20)"; !strings.Contains(text, want) {
		t.Errorf("plan has no %q:\n%s", want, text)
	}
	p.a.Ping("10.14.1.1", "-I", "10.10.1.1")
	if got := p.number("bee"); got == bee {
		t.Error("the IKE_SA of a changed connection is the one from before")
	}
	if text := p.apply(state(p.tunnel("net", 0), p.tunnel("bee", 1, esp("aes256-sha256"), proposals("aes256-sha256-modp2048")))); text != "no changes\n" {
		t.Errorf("applied again: %s", text)
	}

	p.apply(one)
	if out := p.a.Run("swanctl", "--list-sas", "--raw"); strings.Contains(out, "bee") {
		t.Errorf("a removed connection has SAs: %s", out)
	}
	if loss := pinging.Stop(); loss.Lost > 0 {
		t.Errorf("while another tunnel came, changed and went: %s", loss)
	}
	if got := p.number("net"); got != ike {
		t.Errorf("the IKE_SA of an unchanged connection is %s, was %s", got, ike)
	}

	p.a.apply(state())
	p.b.apply(state())
	if out := p.a.Run("ip", "xfrm", "policy"); strings.Contains(out, "10.10.") {
		t.Errorf("policies are left:\n%s", out)
	}
}

// TestReasonsOnTheKernel holds that what is wrong reads differently, soon after apply.
func TestReasonsOnTheKernel(t *testing.T) {
	p := newPair(t)
	nobody := func(c *desired.Connection) { c.RemoteAddrs = []string{"192.168.20.99"} }
	good := state(p.tunnel("psk", 0), p.tunnel("ike", 1), p.tunnel("child", 2), p.tunnel("ts", 3), p.tunnel("dead", 3, nobody))
	// One SA with several connections would answer for all of them.
	other := mirror(good)
	for i := range other.IPsec.Connections {
		c := &other.IPsec.Connections[i]
		switch c.Name {
		case "ike":
			c.Proposals = []string{"aes256-sha384-modp3072"}
		case "child":
			c.Children[0].Proposals = []string{"aes256-sha384"}
		case "ts":
			c.Children[0].LocalTS = []string{"10.77.0.0/24"}
		}
	}
	other.IPsec.Secrets = append([]desired.CharonSecret(nil), other.IPsec.Secrets...)
	psk(p.r, "psk", "another one")(&other.IPsec)
	// Proposals of IKE are chosen before ids are known: of the address alone.
	other.IPsec.Connections = only(other.IPsec.Connections, "ike")
	p.b.apply(other)
	p.a.apply(state(p.tunnel("ike", 1)))
	p.reason("ike", "no IKE proposal chosen: the peer takes none of aes128-sha256-modp2048")

	all := mirror(good)
	all.IPsec.Connections = without(all.IPsec.Connections, "ike")
	for i := range all.IPsec.Connections {
		c := &all.IPsec.Connections[i]
		switch c.Name {
		case "child":
			c.Children[0].Proposals = []string{"aes256-sha384"}
		case "ts":
			c.Children[0].LocalTS = []string{"10.77.0.0/24"}
		}
	}
	all.IPsec.Secrets = other.IPsec.Secrets
	p.b.apply(all)
	begun := time.Now()
	p.a.apply(state(p.tunnel("psk", 0), p.tunnel("child", 2), p.tunnel("ts", 3), p.tunnel("dead", 3, nobody)))
	p.reason("psk", "authentication failed: the peer refuses our id, key or PSK (AUTHENTICATION_FAILED)")
	p.reason("child", "no ESP or AH proposal chosen: the peer takes none of aes128-sha256")
	p.reason("ts", "traffic selectors do not match the peer's (TS_UNACCEPTABLE)")
	p.reason("dead", "no answer from the peer")
	t.Logf("reasons are known after %s", time.Since(begun))
}

// reason awaits why a tunnel is down; the first attempt of one counts as connecting.
func (p *pair) reason(name, want string) {
	p.t.Helper()
	p.a.Eventually(30*time.Second, func() error {
		row := p.row(name)
		if row.State != backend.Down || row.Reason != want {
			return fmt.Errorf("%s is %s: %q, want %q", name, row.State, row.Reason, want)
		}
		return nil
	})
}

func only(conns []desired.Connection, name string) (out []desired.Connection) {
	for _, c := range conns {
		if c.Name == name {
			out = append(out, c)
		}
	}
	return out
}

func without(conns []desired.Connection, name string) (out []desired.Connection) {
	for _, c := range conns {
		if c.Name != name {
			out = append(out, c)
		}
	}
	return out
}

// TestUndoOnTheKernel holds that an undone apply leaves its tunnel up, with the settings
// from before.
func TestUndoOnTheKernel(t *testing.T) {
	p := newPair(t)
	p.apply(state(p.tunnel("net", 0)))
	p.a.Ping("10.14.0.1", "-I", "10.10.0.1")
	for _, change := range []func(c *desired.Connection){esp("aes256-sha256"), proposals("aes256-sha256-modp2048")} {
		if j := p.a.do(job{Want: state(p.tunnel("net", 0, change)), Undo: true}); j.Err != "" {
			t.Fatal(j.Err)
		}
		if row := p.row("net"); row.State != backend.Up || !strings.Contains(row.IPsec.Child, "AES_CBC_128") {
			t.Errorf("the tunnel is %s %+v", row.State, row.IPsec)
		}
		p.a.Ping("10.14.0.1", "-I", "10.10.0.1")
	}
	if text := p.a.plan(state(p.tunnel("net", 0))); text != "no changes\n" {
		t.Errorf("after undo there is to do:\n%s", text)
	}
	// The whole of it undone, charon and all.
	if j := p.a.do(job{Want: state(), Undo: true}); j.Err != "" {
		t.Fatal(j.Err)
	}
	p.a.Ping("10.14.0.1", "-I", "10.10.0.1")
}

// TestRouteBasedOnTheKernel sends packets over an XFRM link.
func TestRouteBasedOnTheKernel(t *testing.T) {
	p := newPair(t)
	byRoute := func(c *desired.Connection) { c.IfID = 7 }
	s := state(p.tunnel("net", 0, byRoute), link("xfrm0", 7, "10.14.0.0/24"))
	s.IPsec.Routes = nil
	other := mirror(s)
	link("xfrm0", 9, "10.10.0.0/24")(&other.IPsec)
	other.IPsec.Connections[0].IfID = 9
	p.b.apply(other)
	p.a.apply(s)
	p.a.Ping("10.14.0.1", "-I", "10.10.0.1")
	if out := p.a.Run("ip", "-s", "link", "show", "xfrm0"); !regexp.MustCompile(`TX:.*\n\s*[1-9]`).MatchString(out) {
		t.Errorf("nothing went over the link:\n%s", out)
	}
	p.a.apply(state())
	if out, err := p.a.Try("ip", "link", "show", "xfrm0"); err == nil {
		t.Errorf("the link is left: %s", out)
	}
}
