package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/vpnctl/vpnctl/internal/lab"
)

// fullTunnel sends everything of a laptop through the hub, which translates.
const fullTunnel = `
version: 1
site: full
nodes:
  hub: {addresses: [{{.}}]}
  laptop: {}
wireguard:
  wg0:
    listen_port: 51820
    hub: hub
    members:
      hub: {addresses: [10.66.0.1/24, "fd66::1/64"], allowed_ips: {laptop: [0.0.0.0/0, "::/0"]}, {{pair "hub"}}}
      laptop: {addresses: [10.66.0.2/24, "fd66::2/64"], {{pair "laptop"}}}
nat:
  hub:
    - {source: [10.66.0.0/24, "fd66::/64"], out: auto}
`

// TestFullTunnel has the endpoint on a far network and strict reverse path
// filtering, the case in which nothing may be missing.
func TestFullTunnel(t *testing.T) {
	for _, tt := range []struct{ name, endpoint string }{
		{"outer IPv4", "203.0.113.2"},
		{"outer IPv6", `"2001:db8:1::2"`},
	} {
		t.Run(tt.name, func(t *testing.T) { testFullTunnel(t, tt.endpoint) })
	}
}

func testFullTunnel(t *testing.T, endpoint string) {
	l := lab.Start(t,
		lab.Wire("laptop:eth0 198.51.100.2/24 2001:db8::2/64 via 198.51.100.1 via 2001:db8::1", "isp:eth0 198.51.100.1/24 2001:db8::1/64"),
		lab.Wire("isp:eth1 203.0.113.1/24 2001:db8:1::1/64", "hub:eth0 203.0.113.2/24 2001:db8:1::2/64"),
		lab.Wire("hub:eth1 192.0.2.2/24 2001:db8:2::2/64 via 192.0.2.1 via 2001:db8:2::1", "transit:eth0 192.0.2.1/24 2001:db8:2::1/64"),
		lab.Wire("transit:eth1 192.88.99.1/24 2001:db8:3::1/64", "world:eth0 192.88.99.9/24 2001:db8:3::9/64 via 192.88.99.1 via 2001:db8:3::1"),
	)
	for _, router := range []string{"isp", "transit"} {
		l.Host(router).WriteFile("/proc/sys/net/ipv4/ip_forward", "1", 0o644)
		l.Host(router).WriteFile("/proc/sys/net/ipv6/conf/all/forwarding", "1", 0o644)
	}
	// The hub comes first: WireGuard tries again after five seconds only.
	n := nodes(t, l, program, "hub", "laptop")
	hub, laptop := n[0], n[1]
	hub.Run("ip", "route", "add", "198.51.100.0/24", "via", "203.0.113.1")
	hub.Run("ip", "-6", "route", "add", "2001:db8::/64", "via", "2001:db8:1::1")
	for _, key := range []string{"all", "eth0"} {
		laptop.WriteFile("/proc/sys/net/ipv4/conf/"+key+"/rp_filter", "1", 0o644)
	}
	k := make(keys)
	text := k.topology(t, strings.Replace(fullTunnel, "{{.}}", endpoint, 1))
	before := map[*node]state{laptop: snapshot(laptop), hub: snapshot(hub)}
	laptop.Unreachable("192.88.99.9")
	for _, n := range n {
		n.has(text)
		n.apply()
	}
	world := l.Host("world")
	seen := world.Capture("eth0", "icmp or icmp6")
	laptop.Ping("192.88.99.9")
	laptop.Ping("2001:db8:3::9")
	// Translated, by the address of the way out in each family.
	seen.Await("192.0.2.2 > 192.88.99.9: ICMP echo request")
	seen.Await("2001:db8:2::2 > 2001:db8:3::9: ICMP6, echo request")
	seen.Stop()
	// More specific routes of the owner's go on to count.
	if out := laptop.Run("ip", "route", "get", "198.51.100.1"); !strings.Contains(out, "dev eth0") {
		t.Errorf("route to the gateway: %s", out)
	}
	for n, was := range before {
		n.converged()
		n.destroy()
		was.same(n, "destroy")
	}
}

// TestNetns puts an interface where nothing else is: what runs there has the
// tunnel and no other way.
func TestNetns(t *testing.T) {
	l := lab.Start(t, lab.Wire("box:eth0 10.20.0.1/24", "srv:eth0 10.20.0.2/24"))
	n := nodes(t, l, program, "box", "srv")
	box := n[0]
	text := make(keys).topology(t, `
version: 1
site: netns
nodes:
  box: {addresses: [10.20.0.1]}
  srv: {addresses: [10.20.0.2]}
wireguard:
  wg0:
    listen_port: 51820
    members:
      box: {addresses: [10.21.0.1/24], netns: inner, {{pair "box"}}}
      srv: {addresses: [10.21.0.2/24], allowed_ips: [0.0.0.0/0], {{pair "srv"}}}
`)
	before := snapshot(box)
	for _, n := range n {
		n.has(text)
		n.apply()
	}
	box.Eventually(20*time.Second, func() error {
		_, err := box.Try("ip", "netns", "exec", "inner", "ping", "-c1", "-W2", "10.21.0.2")
		return err
	})
	if out := box.Run("ip", "-o", "link"); strings.Contains(out, "wg0") {
		t.Errorf("interface shows outside:\n%s", out)
	}
	if out := box.Run("ip", "-n", "inner", "-o", "link"); !strings.Contains(out, "wg0") {
		t.Errorf("interface is not inside:\n%s", out)
	}
	if out := box.Run("ss", "-Huln"); !strings.Contains(out, ":51820") {
		t.Errorf("socket is not outside:\n%s", out)
	}
	if out := box.Run("ip", "netns", "exec", "inner", "ss", "-Huln"); strings.Contains(out, ":51820") {
		t.Errorf("socket is inside:\n%s", out)
	}
	if p := box.peer("srv"); p.State != "up" {
		t.Errorf("status: %+v", p)
	}
	box.converged()
	if out := box.apply(); out != "no changes\n" {
		t.Errorf("second apply printed:\n%s", out)
	}
	box.destroy()
	before.same(box, "destroy")
}
