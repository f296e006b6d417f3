//go:build vm

package ipsec_test

import (
	"errors"
	"fmt"
	gonet "net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/lab"
	"github.com/vpnctl/vpnctl/internal/nat"
)

const l2tpSite = `
version: 1
site: office
nodes: {vpn: {addresses: [10.13.0.101]}, c1: {addresses: [10.13.0.105]}, c2: {}, c3: {}}
l2tp:
  office:
    server: vpn
    local_ip: 192.168.130.1
    pools: [192.168.130.100-192.168.130.200]
    ipsec: {psk: {value: shared key}, ike_proposals: [aes128-sha256-modp2048], esp_proposals: [aes128-sha256]}
    users: {user1: {password: {value: word}}}
    clients: {c1: {user: user1}, c2: {user: user1}, c3: {user: user1}}
`

// TestL2TPOnTheKernel: nodes dial the server's IPsec, two of them behind one NAT. What is
// protected passes the rules that drop the rest, and on the wire there is nothing else.
func TestL2TPOnTheKernel(t *testing.T) {
	l := lab.Start(t,
		lab.LAN("out", "vpn:eth0 10.13.0.101/24", "c1:eth0 10.13.0.105/24", "n:out0 10.13.0.110/24"),
		lab.LAN("in", "n:in0 10.77.0.1/24", "c2:eth0 10.77.0.2/24 via 10.77.0.1", "c3:eth0 10.77.0.3/24 via 10.77.0.1"))
	n := l.Host("n")
	n.Run("sysctl", "-qw", "net.ipv4.ip_forward=1")
	n.Run("iptables", "-t", "nat", "-A", "POSTROUTING", "-o", "out0", "-j", "MASQUERADE")
	r := newRig(t)
	hosts := map[string]*gateway{}
	for _, name := range []string{"vpn", "c1", "c2", "c3"} {
		hosts[name] = newGateway(t, l.Host(name), r.secrets)
	}
	vpn, c1, c2, c3 := hosts["vpn"], hosts["c1"], hosts["c2"], hosts["c3"]
	server, stranger := udpOn(t, vpn.Host, "10.13.0.101:1701"), udpOn(t, n, "10.13.0.110:1701")
	vpn.Run("iptables", "-A", "INPUT", "-m", "conntrack", "--ctstate", "ESTABLISHED", "-j", "ACCEPT")
	if !reaches(t, stranger, server) || !reaches(t, server, stranger) {
		t.Fatal("in clear nothing passes even before")
	}

	start := func(name string) {
		s := l2tpState(t, r, l2tpSite, name)
		hosts[name].Input(nat.RenderFile(&s.Netfilter, name, nat.IPv4), "iptables-restore", "-n")
		hosts[name].apply(s)
	}
	start("vpn")
	if reaches(t, stranger, server) || reaches(t, server, stranger) {
		t.Error("L2TP in clear passes")
	}
	seen := vpn.Capture("eth0", "udp or esp")
	start("c1")
	start("c2")
	for _, c := range []*gateway{c1, c2} {
		c.l2tpUp(1)
	}
	vpn.l2tpUp(2)
	one, two := udpOn(t, c1.Host, "10.13.0.105:1701"), udpOn(t, c2.Host, "10.77.0.2:1701")
	back := func(from *gonet.UDPConn, at netip.AddrPort, why string) {
		t.Helper()
		if err := send(server, at); err != nil || !receives(t, from) {
			t.Errorf("%s: no answer: %v", why, err)
		}
	}
	for _, c := range []*gonet.UDPConn{one, two} {
		if !reaches(t, c, server) {
			t.Errorf("from %s nothing comes", c.LocalAddr())
		}
	}
	back(one, netip.MustParseAddrPort("10.13.0.105:1701"), "c1")
	back(two, netip.MustParseAddrPort("10.13.0.110:1701"), "c2, behind the NAT")
	seen.Await("ESP")
	if out := seen.Stop(); strings.Contains(out, ".1701") {
		t.Errorf("in clear on the wire:\n%s", out)
	}

	// Another one behind the same NAT is known by its own id, and pushes nobody out.
	start("c3")
	c3.l2tpUp(1)
	vpn.l2tpUp(3)

	selectors := map[string]int{}
	for _, row := range vpn.status() {
		selectors[fmt.Sprint(row.Addresses)]++
	}
	if selectors["[10.13.0.105/32[udp/l2f]]"] != 1 || selectors["[10.13.0.110/32[udp/l2f]]"] != 2 {
		t.Errorf("the clients' selectors are %v: of two with one port behind a NAT, status must tell", selectors)
	}

	// The server's charon gone, its guard stays.
	vpn.apply(state())
	if reaches(t, stranger, server) {
		t.Error("L2TP in clear passes without charon")
	}
}

// l2tpUp awaits so many SAs below L2TP.
func (g *gateway) l2tpUp(n int) {
	g.t.Helper()
	g.Eventually(60*time.Second, func() error {
		up := 0
		for _, row := range g.status() {
			if row.State == backend.Up && row.Carries == "l2tp/office" {
				up++
			}
		}
		if up != n {
			return fmt.Errorf("%s has %d SAs below L2TP, want %d", g.Name(), up, n)
		}
		return nil
	})
}

// udpOn opens a port of a host of the lab.
func udpOn(t *testing.T, h *lab.Host, addr string) *gonet.UDPConn {
	t.Helper()
	var c *gonet.UDPConn
	if err := h.Do(func() (err error) {
		c, err = gonet.ListenUDP("udp4", gonet.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr)))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func send(from *gonet.UDPConn, to netip.AddrPort) error {
	_, err := from.WriteToUDPAddrPort([]byte("x"), to)
	return err
}

// reaches reports whether a packet from one port arrives at another. What a filter drops
// on its way out is an error to the sender.
func reaches(t *testing.T, from, to *gonet.UDPConn) bool {
	t.Helper()
	addr := to.LocalAddr().(*gonet.UDPAddr).AddrPort()
	if err := send(from, addr); errors.Is(err, unix.EPERM) {
		return false
	} else if err != nil {
		t.Fatal(err)
	}
	return receives(t, to)
}

func receives(t *testing.T, c *gonet.UDPConn) bool {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(3 * time.Second))
	_, _, err := c.ReadFrom(make([]byte, 9))
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return err == nil
}
