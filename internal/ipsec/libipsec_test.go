package ipsec_test

import (
	"strings"
	"testing"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/lab"
)

// otherEnd is the other end of a state of net.
func otherEnd(i *desired.IPsec) {
	for n := range i.Connections {
		c := &i.Connections[n]
		c.LocalAddrs, c.RemoteAddrs = c.RemoteAddrs, c.LocalAddrs
		c.Local, c.Remote = c.Remote, c.Local
		for k := range c.Children {
			ch := &c.Children[k]
			ch.LocalTS, ch.RemoteTS = ch.RemoteTS, ch.LocalTS
		}
	}
}

// TestLibipsec: on a kernel without ESP, charon encrypts itself, and nothing is in clear on
// the wire. On one that has it, the test pretends that it has not.
func TestLibipsec(t *testing.T) {
	r := newRig(t)
	l := lab.Start(t, lab.Wire("a:eth0 192.168.10.10/16", "b:eth0 192.168.20.20/16"))
	a, b := newGateway(t, l.Host("a"), r.secrets), newGateway(t, l.Host("b"), r.secrets)
	a.libipsec, b.libipsec = true, true
	a.Run("ip", "addr", "add", "10.10.0.1/24", "dev", "lo")
	b.Run("ip", "addr", "add", "10.14.0.1/24", "dev", "lo")
	seen := a.Capture("eth0")
	b.apply(state(net(r, "a", initiate(desired.InitiateNever)), otherEnd))
	a.apply(state(net(r, "a")))
	a.Run("ping", "-c", "3", "-i", "0.2", "-W", "2", "-I", "10.10.0.1", "10.14.0.1")
	seen.Await("192.168.10.10.4500 > 192.168.20.20.4500: UDP-encap: ESP")
	if text := seen.Stop(); strings.Contains(text, "10.10.0.1") || strings.Contains(text, "10.14.0.1") {
		t.Errorf("in clear on the wire:\n%s", text)
	}
	rows := a.do(job{Want: a.applied, Look: true}).Rows
	if len(rows) != 1 || short(rows[0]) != "a/a up" || rows[0].Backend != "libipsec" || rows[0].Interface != "ipsec0" {
		t.Errorf("status is %+v", rows)
	}
	a.apply(state())
	b.apply(state())
	for _, g := range []*gateway{a, b} {
		if out, err := g.Try("ls", "/etc/strongswan.d/vpnctl.conf"); err == nil {
			t.Errorf("after all there is %s", out)
		}
	}
}
