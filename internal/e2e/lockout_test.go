package e2e

import (
	"strings"
	"testing"

	"github.com/vpnctl/vpnctl/internal/lab"
)

// managed is a gateway that an operator reaches both by the network and by its tunnel. The
// office is not there: what goes to it is lost.
const managed = `
version: 1
site: managed
nodes:
  gw: {addresses: [198.51.100.2]}
  op: {addresses: [203.0.113.9]}
wireguard:
  wg0:
    listen_port: 51820
    members:
      gw: {addresses: [10.66.0.1/24], {{pair "gw"}}}
      op: {addresses: [10.66.0.2/24], {{pair "op"}}}
    peers:
      office: {addresses: [10.66.0.3/32], via: [gw], endpoint: "198.51.100.1:51820", public_key: {{public "office"}}}
`

// TestLockout takes the operator's connection away in every way that WireGuard has: each is
// refused, and was refused for a reason.
func TestLockout(t *testing.T) {
	l := lab.Start(t,
		lab.Wire("gw:eth0 198.51.100.2/24 via 198.51.100.1", "r:r0 198.51.100.1/24"),
		lab.Wire("op:eth0 203.0.113.9/24 via 203.0.113.1", "r:r1 203.0.113.1/24"),
	)
	l.Host("r").WriteFile("/proc/sys/net/ipv4/ip_forward", "1", 0o644)
	n := nodes(t, l, program, "gw", "op")
	gw, op := n[0], n[1]
	k := make(keys)
	text := k.topology(t, managed)
	for _, n := range n {
		n.has(text)
		n.apply()
	}
	allowed := func(prefixes string) string {
		return strings.Replace(text, "via: [gw],", "via: [gw], allowed_ips: ["+prefixes+"],", 1)
	}
	const outside, inside = "203.0.113.9 198.51.100.2", "10.66.0.2 10.66.0.1"
	for _, tt := range []struct{ name, way, topology, object string }{
		{"route", outside, allowed("203.0.113.0/24"), "route/203.0.113.0/24"},
		{"full tunnel", outside, allowed("0.0.0.0/0"), "route/0.0.0.0/0/table/51820"},
		{"subnet", outside, strings.Replace(text, "10.66.0.1/24", "10.66.0.1/24, 203.0.113.1/24", 1), "wireguard/wg0"},
		{"peer", inside, strings.Replace(text, "{addresses: [10.66.0.2/24]", "{allowed_ips: [10.66.9.2/32], addresses: [10.66.0.2/24]", 1), "wireguard/wg0/peer/op"},
		{"address", inside, strings.Replace(text, "10.66.0.1/24", "10.66.0.9/24", 1), "wireguard/wg0"},
		{"key", inside, k.topology(t, strings.Replace(managed, `pair "gw"`, `pair "other"`, 1)), "wireguard/wg0"},
	} {
		if lab.InVM() && tt.name != "full tunnel" && tt.name != "peer" {
			continue // the machine is slow, and its routes are those of any kernel
		}
		t.Run(tt.name, func(t *testing.T) {
			gw, op := gw.in(t), op.in(t)
			by, to, _ := strings.Cut(tt.way, " ")
			o := logIn(t, op.Host, by, gw, to)
			o.alive("before")
			gw.has(tt.topology)
			o.refuses(tt.object, "apply", siteFile)
			gw.has(text)
			gw.apply()
		})
	}
	if !lab.InVM() { // see above
		t.Run("firewall", func(t *testing.T) {
			gw, op := gw.in(t), op.in(t)
			gw.has(text + "firewall:\n  gw: {open_ports: true}\n")
			gw.apply()
			gw.Run("sh", "-ec", "iptables -A INPUT -p tcp -s 203.0.113.0/24 -j ACCEPT; iptables -P INPUT DROP")
			defer gw.Run("sh", "-ec", "iptables -P INPUT ACCEPT; iptables -D INPUT -p tcp -s 203.0.113.0/24 -j ACCEPT")
			logIn(t, op.Host, "203.0.113.9", gw, "198.51.100.2").alive("by the owner's rule")
			o := logIn(t, op.Host, "10.66.0.2", gw, "10.66.0.1")
			gw.has(text)
			o.refuses("nat/gw/inner/wg0", "apply", siteFile)
		})
	}
	t.Run("harmless", func(t *testing.T) {
		gw, op := gw.in(t), op.in(t)
		harmless := strings.NewReplacer("via: [gw],", "via: [gw], persistent_keepalive: 25s, allowed_ips: [10.66.0.3/32, 203.0.114.0/24],",
			"10.66.0.1/24", "10.66.0.1/24, 10.67.0.1/24", "    listen_port", "    mtu: 1380\n    listen_port").Replace(text)
		outside, inside := logIn(t, op.Host, "203.0.113.9", gw, "198.51.100.2"), logIn(t, op.Host, "10.66.0.2", gw, "10.66.0.1")
		for _, topology := range []string{harmless, text} {
			gw.has(topology)
			outside.allows("apply", siteFile)
			inside.alive("after a harmless change")
		}
		gw.has(harmless)
		inside.allows("apply", siteFile)
		inside.refuses("wireguard/wg0", "destroy", "--yes")
		gw.apply()
		outside.allows("destroy", "--yes")
	})
}
