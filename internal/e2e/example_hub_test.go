package e2e

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/lab"
)

// The public keys of examples/wireguard-hub.yaml.
const (
	hubKey  = "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw="
	eastKey = "klClSZMtax6dAsihCyFniTYpAYqedYLbsTfPvgeonj8="
	westKey = "Liz3BD73FQ7hzY8/r+iLc4T401hXum6FJ0O1C6D23kE="
)

// startHubExample builds the network of examples/wireguard-hub.yaml: two sites
// behind routers that translate, with the same addresses inside on purpose,
// and a computer in the network of each.
func startHubExample(t *testing.T) (l *lab.Lab, hub, east, west *node) {
	t.Helper()
	l = lab.Start(t,
		lab.LAN("inet", "hub:eth0 192.95.5.69/24", "nateast:eth0 192.95.5.11/24", "natwest:eth0 192.95.5.12/24"),
		lab.Wire("nateast:in0 172.16.1.1/24", "east:eth0 172.16.1.2/24 via 172.16.1.1"),
		lab.Wire("natwest:in0 172.16.1.1/24", "west:eth0 172.16.1.2/24 via 172.16.1.1"),
		lab.Wire("east:lan0 10.192.124.1/24", "eastpc:eth0 10.192.124.7/24 via 10.192.124.1"),
		lab.Wire("west:lan0 192.168.0.1/16", "westpc:eth0 192.168.7.7/16 via 192.168.0.1"),
	)
	for _, name := range []string{"nateast", "natwest"} {
		h := l.Host(name)
		h.WriteFile("/proc/sys/net/ipv4/ip_forward", "1", 0o644)
		h.Run("iptables", "-t", "nat", "-A", "POSTROUTING", "-o", "eth0", "-j", "MASQUERADE", "--random")
	}
	n := nodes(t, l, program, "hub", "east", "west")
	for _, n := range n {
		n.Run("iptables", "-P", "FORWARD", "DROP")
		n.has(example(t, "wireguard-hub.yaml"))
	}
	return l, n[0], n[1], n[2]
}

// TestExampleHub is the second example: east and west reach each other's
// networks through the hub, which knows no address of theirs.
func TestExampleHub(t *testing.T) {
	l, hub, east, west := startHubExample(t)
	all := []*node{hub, east, west}
	before := make(map[*node]state)
	for _, n := range all {
		before[n] = snapshot(n)
		n.apply()
	}
	// Keepalives alone bring the tunnels up.
	hub.await("handshakes with both sites", func() bool {
		return hub.wgPeer(eastKey).handshake > 0 && hub.wgPeer(westKey).handshake > 0
	})
	eastpc, westpc := l.Host("eastpc"), l.Host("westpc")
	eastpc.Ping("192.168.7.7")
	westpc.Ping("10.192.124.7")
	eastpc.Ping("10.192.122.1")

	want := []string{"10.10.10.230/32", "10.192.122.1/32", "10.192.122.4/32", "192.168.0.0/16"}
	if diff := cmp.Diff(want, east.wgPeer(hubKey).allowedIPs); diff != "" {
		t.Errorf("allowed IPs of the hub on east (-want +got):\n%s", diff)
	}
	if n := len(east.wgPeers()); n != 1 {
		t.Errorf("east has %d peers, want the hub alone", n)
	}
	p := hub.peer("east")
	if p.State != "up" || !strings.HasPrefix(p.Remote, "192.95.5.11:") || p.Endpoint != "" {
		t.Errorf("status of east on the hub: %+v", p)
	}
	if p := hub.peer("phone"); p.State != "idle" {
		t.Errorf("status of the phone, which never called: %+v", p)
	}
	for _, n := range all {
		n.converged()
		n.destroy()
		before[n].same(n, "destroy")
	}
}

// TestRoaming moves a peer to another address: that is no difference. One that
// the topology changes is set.
func TestRoaming(t *testing.T) {
	l, hub, east, _ := startHubExample(t)
	hub.apply()
	east.apply()
	hub.await("a handshake", func() bool { return hub.wgPeer(eastKey).handshake > 0 })
	first := hub.wgPeer(eastKey).endpoint

	// The router forgets, and translates to other ports from now on.
	router := l.Host("nateast")
	router.Run("iptables", "-t", "nat", "-F", "POSTROUTING")
	router.Run("iptables", "-t", "nat", "-A", "POSTROUTING", "-o", "eth0", "-p", "udp", "-j", "SNAT", "--to", "192.95.5.11:40000-40009")
	router.Run("conntrack", "-D", "-p", "udp")
	east.Ping("10.192.122.1")
	roamed := hub.wgPeer(eastKey).endpoint
	if roamed == first || !strings.HasPrefix(roamed, "192.95.5.11:4000") {
		t.Fatalf("endpoint of east on the hub was %s, is %s", first, roamed)
	}
	hub.converged()
	if out := hub.apply(); out != "no changes\n" || hub.wgPeer(eastKey).endpoint != roamed {
		t.Errorf("apply after roaming printed:\n%s", out)
	}

	// The hub moves, and says so in the topology: dialled, handshake or not.
	hub.Run("ip", "addr", "add", "192.95.5.70/24", "dev", "eth0")
	east.has(strings.Replace(example(t, "wireguard-hub.yaml"), "[192.95.5.69]", "[192.95.5.70]", 1))
	if out := east.apply(); !strings.Contains(out, "endpoint: 192.95.5.69:51820 -> 192.95.5.70:51820\n") {
		t.Errorf("apply of another endpoint printed:\n%s", out)
	}
	if got := east.wgPeer(hubKey).endpoint; got != "192.95.5.70:51820" {
		t.Errorf("endpoint of the hub on east is %s", got)
	}
	east.Ping("10.192.122.1")
	east.converged()
}
