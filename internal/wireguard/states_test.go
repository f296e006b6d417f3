package wireguard_test

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/wireguard/wireguardtest"
)

func prefixes(text ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(text))
	for i, s := range text {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// state is a desired state of the test's site.
func state(interfaces ...desired.Interface) *desired.State {
	return &desired.State{Site: "hq", Node: "linux1", Interfaces: interfaces}
}

// wg0 is the interface from which the tests vary, with two peers.
func (r *rig) wg0(change ...func(*desired.Interface)) desired.Interface {
	return r.iface("wg0", 51820, change...)
}

func (r *rig) iface(name string, port int, change ...func(*desired.Interface)) desired.Interface {
	i := desired.Interface{
		Name: name, ListenPort: port, MTU: 1420,
		Addresses:  prefixes("10.0.0.1/24"),
		PrivateKey: r.secrets.Key(wireguardtest.Key(1)),
		Peers: []desired.Peer{
			{
				Name: "alice", PublicKey: wireguardtest.Key(100).PublicKey(),
				AllowedIPs: prefixes("10.0.0.2/32", "10.13.0.0/16"),
				Endpoint:   desired.Endpoint{Host: "192.0.2.7", Port: 51820},
			},
			{
				Name: "bob", PublicKey: wireguardtest.Key(101).PublicKey(),
				AllowedIPs: prefixes("10.0.0.3/32", "10.14.0.0/16", "10.15.0.0/16"),
			},
		},
	}
	for _, c := range change {
		c(&i)
	}
	return i
}

// Changes of an interface.

type change = func(*desired.Interface)

func peerN(n int, fn func(p *desired.Peer)) change {
	return func(i *desired.Interface) {
		i.Peers = slices.Clone(i.Peers)
		fn(&i.Peers[n])
	}
}

func allowed(n int, ips ...string) change {
	return peerN(n, func(p *desired.Peer) { p.AllowedIPs = prefixes(ips...) })
}

func endpoint(host string, port int) change {
	return peerN(0, func(p *desired.Peer) { p.Endpoint = desired.Endpoint{Host: host, Port: port} })
}

func addresses(a ...string) change {
	return func(i *desired.Interface) { i.Addresses = prefixes(a...) }
}

func netns(name string) change { return func(i *desired.Interface) { i.Netns = name } }
func port(n int) change        { return func(i *desired.Interface) { i.ListenPort = n } }
func mtu(n int) change         { return func(i *desired.Interface) { i.MTU = n } }
func table(n int) change       { return func(i *desired.Interface) { i.Table.Number = n } }

func (r *rig) psk(n, key int) change {
	return peerN(n, func(p *desired.Peer) { p.PresharedKey = r.secrets.Key(wireguardtest.Key(key)) })
}

func addPeer(name string, key int, ips ...string) change {
	return func(i *desired.Interface) {
		i.Peers = append(slices.Clone(i.Peers), desired.Peer{
			Name: name, PublicKey: wireguardtest.Key(key).PublicKey(), AllowedIPs: prefixes(ips...),
		})
	}
}

func dropPeer(n int) change {
	return func(i *desired.Interface) { i.Peers = slices.Delete(slices.Clone(i.Peers), n, n+1) }
}

func dns(servers []string, search ...string) change {
	return func(i *desired.Interface) { i.DNS, i.Search = servers, search }
}

func hooks(i *desired.Interface) {
	i.Hooks = desired.Hooks{
		PreUp: []string{"pre up " + i.Name}, PostUp: []string{"post up " + i.Name},
		PreDown: []string{"pre down " + i.Name}, PostDown: []string{"post down " + i.Name},
	}
}

// other is a second interface that shares nothing with wg0.
func (r *rig) other(change ...func(*desired.Interface)) desired.Interface {
	i := r.iface("wg1", 51821, addresses("10.1.0.1/24"), allowed(0, "10.1.0.2/32", "10.23.0.0/16"), allowed(1, "10.1.0.3/32"))
	for _, c := range change {
		c(&i)
	}
	return i
}

// named is a state and what it is about.
type named struct {
	name string
	*desired.State
}

// states are the desired states between which the tests move.
func (r *rig) states() []named {
	var out []named
	add := func(name string, interfaces ...desired.Interface) {
		out = append(out, named{name, state(interfaces...)})
	}
	add("empty")
	add("base", r.wg0())
	add("no bob", r.wg0(dropPeer(1)))
	add("no peers", r.wg0(dropPeer(1), dropPeer(0)))
	add("carol", r.wg0(addPeer("carol", 102, "10.0.0.4/32")))
	add("psk", r.wg0(r.psk(0, 200), r.psk(1, 201)))
	add("other psk", r.wg0(r.psk(0, 202)))
	add("keepalive", r.wg0(peerN(0, func(p *desired.Peer) { p.PersistentKeepalive = 25 * time.Second })))
	add("endpoint", r.wg0(endpoint("192.0.2.8", 51820)))
	add("endpoint by name", r.wg0(endpoint("vpn.example.net", 4711)))
	add("moved allowed IP", r.wg0(allowed(0, "10.0.0.2/32"), allowed(1, "10.0.0.3/32", "10.13.0.0/16", "10.14.0.0/16", "10.15.0.0/16")))
	add("swapped allowed IPs", r.wg0(allowed(0, "10.0.0.3/32", "10.14.0.0/16"), allowed(1, "10.0.0.2/32", "10.13.0.0/16")))
	add("fewer allowed IPs", r.wg0(allowed(1, "10.0.0.3/32", "10.15.0.0/16")))
	add("bob's IPs to carol", r.wg0(dropPeer(1), addPeer("carol", 102, "10.0.0.4/32", "10.14.0.0/16")))
	add("alice has a new key", r.wg0(peerN(0, func(p *desired.Peer) { p.PublicKey = wireguardtest.Key(103).PublicKey() })))
	add("listen port", r.wg0(port(51999)))
	add("any port", r.wg0(port(0)))
	add("private key", r.wg0(func(i *desired.Interface) { i.PrivateKey = r.secrets.Key(wireguardtest.Key(2)) }))
	add("fwmark", r.wg0(func(i *desired.Interface) { i.FirewallMark = 0x42 }))
	add("mtu", r.wg0(mtu(1300)))
	add("auto mtu", r.wg0(mtu(0)))
	add("IPv6", r.wg0(addresses("10.0.0.1/24", "fd00::1/64"), allowed(1, "10.0.0.3/32", "fd00:1::/64")))
	add("small mtu", r.wg0(mtu(1200)))
	add("IPv6 again", r.wg0(addresses("10.0.0.1/24", "fd00::1/64"), allowed(1, "10.0.0.3/32", "fd00:1::/64")))
	add("small mtu and other subnet", r.wg0(mtu(1200), addresses("10.9.0.1/24"), allowed(1, "10.9.0.3/32", "10.17.0.0/16")))
	add("only IPv6", r.wg0(addresses("fd00::1/64"), allowed(0, "10.13.0.0/16", "fd00::2/128")))
	add("two addresses", r.wg0(addresses("10.0.0.1/24", "10.0.0.9/24")))
	add("the second address", r.wg0(addresses("10.0.0.9/24")))
	add("full tunnel", r.wg0(allowed(0, "0.0.0.0/0")))
	add("full tunnel for both families", r.wg0(port(0), addresses("10.0.0.1/24", "fd00::1/64"), allowed(0, "0.0.0.0/0", "::/0")))
	add("table off", r.wg0(func(i *desired.Interface) { i.Table.Off = true }))
	add("table", r.wg0(table(1234)))
	add("netns blue", r.wg0(netns("blue")))
	add("netns green", r.wg0(netns("green"), allowed(0, "10.0.0.2/32", "0.0.0.0/0")))
	add("two", r.wg0(), r.other())
	add("two with ports swapped", r.wg0(port(51821)), r.other(port(51820)))
	add("the other has the route", r.wg0(allowed(0, "10.0.0.2/32")), r.other(allowed(0, "10.1.0.2/32", "10.13.0.0/16")))
	add("the other has the port", r.wg0(port(0)), r.other(port(51820)))
	add("only the other", r.other(port(51820), allowed(0, "10.1.0.2/32", "10.13.0.0/16")))
	add("two full tunnels", r.wg0(allowed(0, "0.0.0.0/0")), r.other(allowed(0, "0.0.0.0/0")))
	add("the second full tunnel", r.other(allowed(0, "0.0.0.0/0")))
	add("both full tunnels", r.wg0(allowed(0, "0.0.0.0/0")), r.other(allowed(0, "0.0.0.0/0")))
	add("dns", r.wg0(dns([]string{"10.0.0.53"})))
	add("dns with search", r.wg0(dns([]string{"10.0.0.53", "fd00::53"}, "example.net")))
	add("hooks", r.wg0(hooks))
	add("hooks in a netns", r.wg0(hooks, netns("blue")), r.other())
	var many []change
	for n := range 40 {
		many = append(many, addPeer(fmt.Sprintf("peer%03d", n), 1000+n, fmt.Sprintf("10.100.%d.0/24", n), fmt.Sprintf("10.101.%d.0/24", n), fmt.Sprintf("10.102.%d.0/24", n)))
	}
	add("many", r.wg0(many...))
	add("many with less", r.wg0(append(many, func(i *desired.Interface) {
		for n := range i.Peers {
			i.Peers[n].AllowedIPs = i.Peers[n].AllowedIPs[:1]
		}
	})...))
	return out
}
