package e2e

import (
	"strings"
	"testing"

	"github.com/vpnctl/vpnctl/internal/lab"
)

const libipsecSite = `version: 1
site: userspace
nodes:
  gw-a: {addresses: [192.168.10.10]}
  gw-b: {addresses: [192.168.20.20]}
ipsec:
  net:
    ends:
      gw-a: {subnets: [10.10.0.0/24]}
      gw-b: {subnets: [10.14.0.0/24]}
    start_action: start
    auth: {psk: {value: a long enough shared key of net}}
`

// TestAnyKernel joins two networks on whatever kernel this is. One without ESP does not
// matter: charon encrypts itself there, and what it shall protect is as little seen in
// clear, before the other end has anything as afterwards.
func TestAnyKernel(t *testing.T) {
	l := lab.Start(t,
		lab.Wire("gw-a:eth0 192.168.10.10/24 via 192.168.10.1", "r:ra 192.168.10.1/24"),
		lab.Wire("gw-b:eth0 192.168.20.20/24 via 192.168.20.1", "r:rb 192.168.20.1/24"),
		lab.Wire("ha:eth0 10.10.0.10/24 via 10.10.0.1", "gw-a:lan0 10.10.0.1/24"),
		lab.Wire("hb:eth0 10.14.0.10/24 via 10.14.0.1", "gw-b:lan0 10.14.0.1/24"),
	)
	gateways := nodes(t, l, program, "gw-a", "gw-b")
	a, b, ha, hb, r := gateways[0], gateways[1], l.Host("ha"), l.Host("hb"), l.Host("r")
	// The router between knows the way: what a gateway lets out in clear arrives.
	r.Run("sh", "-ec", `sysctl -qw net.ipv4.ip_forward=1
		ip route add 10.10.0.0/24 via 192.168.10.10
		ip route add 10.14.0.0/24 via 192.168.20.20`)
	backend := "libipsec"
	if _, err := a.Try("ip", "xfrm", "state", "add", "src", "127.0.0.2", "dst", "127.0.0.1", "proto", "esp", "spi", "0x1000", "mode", "tunnel",
		"enc", "cbc(aes)", "0x000102030405060708090a0b0c0d0e0f", "auth", "hmac(sha1)", "0x000102030405060708090a0b0c0d0e0f10111213"); err == nil {
		backend = "kernel"
		a.Run("ip", "xfrm", "state", "flush")
	}
	before := map[*node]state{}
	for _, n := range gateways {
		// An owner's firewall, and a masquerade of his that takes everything. Some plugins
		// leave their sockets behind, and charon a setting of the kernel's.
		n.Run("sh", "-ec", `iptables -P FORWARD DROP
			iptables -t nat -A POSTROUTING -s 10.0.0.0/8 -j MASQUERADE
			sed -i 's/load = yes/load = no/' /etc/strongswan.d/charon/error-notify.conf /etc/strongswan.d/charon/lookip.conf
			sysctl -qw net.core.xfrm_acq_expires=165`)
		n.has(libipsecSite)
		before[n] = snapshot(n)
	}
	seen := r.Capture("any")
	a.apply()
	ha.Unreachable("10.14.0.10") // the other end has nothing yet
	b.apply()
	for _, n := range gateways {
		n.await("the tunnel is up on "+n.Name(), func() bool {
			s := n.status()
			return len(s.Tunnels) == 1 && s.Tunnels[0].State == "up" && s.Tunnels[0].Backend == backend
		})
	}
	ha.Ping("10.14.0.10")
	hb.Ping("10.10.0.10")
	for _, n := range gateways {
		if out := n.apply(); out != "no changes\n" {
			t.Errorf("a second apply on %s printed:\n%s", n.Name(), out)
		}
		n.converged()
	}
	a.Run("ping", "-n", "-c1", "-W2", "192.168.20.20") // behind all others
	seen.Await("192.168.20.20 > 192.168.10.10: ICMP echo reply")
	for line := range strings.Lines(seen.Stop()) {
		if strings.Contains(line, "10.14.0.10") || strings.Contains(line, "10.10.0.10") {
			t.Fatalf("in clear on the wire: %s", line)
		}
	}
	for n, was := range before {
		n.destroy()
		was.same(n, "destroy")
	}
}
