package lockout_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/lockout"
	"github.com/vpnctl/vpnctl/internal/management"
	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// The operators' places: one on the internet, one behind a peer of wg0, one behind a
// tunnel of IPsec, one on the host's own network.
const (
	internet  = "203.0.113.9 50000 198.51.100.2 22"
	internet6 = "2001:db8:9::9 50000 2001:db8::2 22"
	inside    = "10.0.0.10 50000 10.0.0.1 22"
	behind    = "10.14.0.5 50000 10.10.0.1 22"
	neighbour = "198.51.100.77 50000 198.51.100.2 22"
)

func prefixes(s ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range s {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func key(n byte) wgtypes.Key { return wgtypes.Key{n} }

// applied is what was applied last: a hub with two peers, and a tunnel to a branch.
func applied() *desired.State {
	return &desired.State{
		Site: "hq", Node: "gw",
		Interfaces: []desired.Interface{{
			Name: "wg0", PublicKey: key(1), ListenPort: 51820, Addresses: prefixes("10.0.0.1/24"),
			Peers: []desired.Peer{
				{Name: "laptop", PublicKey: key(2), AllowedIPs: prefixes("10.0.0.10/32")},
				{Name: "office", PublicKey: key(3), AllowedIPs: prefixes("10.0.0.3/32", "10.20.0.0/16"),
					Endpoint: desired.Endpoint{Host: "192.0.2.30", Port: 51820}},
			},
		}},
		IPsec: desired.IPsec{Connections: []desired.Connection{tunnelTo("branch", "10.10.0.0/24", "10.14.0.0/24", "192.0.2.40")}},
	}
}

func tunnelTo(name, local, remote, peer string) desired.Connection {
	return desired.Connection{
		Name: name, LocalAddrs: []string{"198.51.100.2"}, RemoteAddrs: []string{peer},
		Children: []desired.Child{{Name: name, LocalTS: []string{local}, RemoteTS: []string{remote}, Hold: "trap"}},
	}
}

const (
	eth0 = 2
	lan0 = 3
	wg0  = 4
	wg9  = 5
)

// observed is a host on which that is applied, beside a foreign tunnel.
func observed() *lockout.Observed {
	route := func(dst string, table, index, protocol int, gateway string) rtnl.Route {
		r := rtnl.Route{Dst: netip.MustParsePrefix(dst), Table: table, Index: index, Protocol: protocol}
		r.Metric = rtnl.DefaultMetric(r.Dst)
		if gateway != "" {
			r.Gateway = netip.MustParseAddr(gateway)
		}
		return r
	}
	o := &lockout.Observed{
		Links: []rtnl.Link{{Index: 1, Name: "lo"}, {Index: eth0, Name: "eth0"}, {Index: lan0, Name: "lan0"},
			{Index: wg0, Name: "wg0", Kind: "wireguard", Alias: "vpnctl:hq"}, {Index: wg9, Name: "wg9", Kind: "wireguard"}},
		Routes: []rtnl.Route{
			route("0.0.0.0/0", 254, eth0, 4, "198.51.100.1"), route("::/0", 254, eth0, 4, "2001:db8::1"),
			route("198.51.100.0/24", 254, eth0, 2, ""), route("2001:db8::/64", 254, eth0, 2, ""), route("10.10.0.0/24", 254, lan0, 2, ""),
			route("10.0.0.0/24", 254, wg0, 2, ""), route("10.20.0.0/16", 254, wg0, 118, ""),
			route("172.16.0.0/12", 254, wg9, 4, ""),
		},
		Tunnels: []lockout.Tunnel{
			{Name: "wg0", Key: key(1).String(), Port: 51820, Peers: []lockout.Peer{
				{Key: key(2).String(), AllowedIPs: prefixes("10.0.0.10/32"), Endpoint: netip.MustParseAddrPort("203.0.113.50:40000")},
				{Key: key(3).String(), AllowedIPs: prefixes("10.0.0.3/32", "10.20.0.0/16"), Endpoint: netip.MustParseAddrPort("192.0.2.30:51820")},
			}},
			{Name: "wg9", Key: key(9).String(), Port: 51829, Peers: []lockout.Peer{
				{Key: key(10).String(), AllowedIPs: prefixes("172.16.0.0/12"), Endpoint: netip.MustParseAddrPort("192.0.2.90:51820")},
			}},
		},
		Policies: []lockout.Policy{{Src: netip.MustParsePrefix("10.10.0.0/24"), Dst: netip.MustParsePrefix("10.14.0.0/24"), Remote: netip.MustParseAddr("192.0.2.40")}},
	}
	for i, a := range []string{"127.0.0.1/8", "198.51.100.2/24", "10.10.0.1/24", "10.0.0.1/24", "172.16.0.1/32"} {
		o.Addrs = append(o.Addrs, rtnl.Addr{Index: i + 1, Prefix: netip.MustParsePrefix(a)})
	}
	o.Addrs = append(o.Addrs, rtnl.Addr{Index: eth0, Prefix: netip.MustParsePrefix("2001:db8::2/64")})
	for _, v6 := range []bool{false, true} {
		o.Rules = append(o.Rules, rtnl.Rule{IPv6: v6, Table: 255}, rtnl.Rule{IPv6: v6, Priority: 32766, Table: 254}, rtnl.Rule{IPv6: v6, Priority: 32767, Table: 253})
	}
	return o
}

func update(object string) backend.Change {
	return backend.Change{Action: backend.Update, Object: object}
}

func TestAnalyse(t *testing.T) {
	iface := func(s *desired.State) *desired.Interface { return &s.Interfaces[0] }
	tests := []struct {
		name string
		from string
		want func(s *desired.State)
		// applied is what was applied beside.
		applied func(s *desired.State)
		// plan is what of it matters.
		plan []backend.Change
		host func(o *lockout.Observed)
		// object is what is refused, "" for nothing, and words are what is said.
		object, words string
	}{
		{name: "nothing changes", from: internet, want: func(*desired.State) {}},
		{name: "nothing changes for a peer", from: inside, want: func(*desired.State) {}},
		{name: "nothing changes behind IPsec", from: behind, want: func(*desired.State) {}},
		{
			name: "a route captures", from: internet,
			want: func(s *desired.State) {
				iface(s).Peers[1].AllowedIPs = prefixes("10.0.0.3/32", "203.0.113.0/24")
			},
			plan: []backend.Change{update("wireguard/wg0/peer/office"), update("route/203.0.113.0/24")}, object: "route/203.0.113.0/24",
			words: "with 203.0.113.9 goes through eth0 via 198.51.100.1, and would go through wg0, to peer office at 192.0.2.30:51820, through eth0 via 198.51.100.1",
		},
		{
			name: "a route that is none of its", from: internet,
			want: func(s *desired.State) { iface(s).Peers[1].AllowedIPs = prefixes("10.0.0.3/32", "203.0.114.0/24") },
		},
		{
			name: "a route captures a peer's endpoint", from: inside,
			want: func(s *desired.State) { iface(s).Peers[1].AllowedIPs = prefixes("10.0.0.3/32", "203.0.113.0/24") },
			plan: []backend.Change{update("route/203.0.113.0/24")}, object: "route/203.0.113.0/24", words: "would go through wg0, to peer laptop at 203.0.113.50:40000, through wg0",
		},
		{
			name: "full tunnel", from: internet,
			want: func(s *desired.State) { iface(s).Peers[1].AllowedIPs = prefixes("0.0.0.0/0") },
			plan: []backend.Change{update("rule/ipv4/lookup-51820")}, object: "rule/ipv4/lookup-51820", words: "would go through wg0, to peer office",
		},
		{
			name: "full tunnel of IPv6", from: internet6,
			want:   func(s *desired.State) { iface(s).Peers[1].AllowedIPs = prefixes("::/0") },
			object: "route/::/0/table/51820", words: "would go through wg0",
		},
		{
			name: "full tunnel of the other family", from: internet,
			want: func(s *desired.State) { iface(s).Peers[1].AllowedIPs = prefixes("::/0") },
		},
		{
			name: "full tunnel spares the neighbour", from: neighbour,
			want: func(s *desired.State) { iface(s).Peers[1].AllowedIPs = prefixes("0.0.0.0/0") },
		},
		{
			name: "full tunnel spares who came by the tunnel", from: inside,
			want: func(s *desired.State) { iface(s).Peers[1].AllowedIPs = prefixes("0.0.0.0/0") },
		},
		{
			name: "full tunnel in no table", from: internet,
			want: func(s *desired.State) {
				iface(s).Peers[1].AllowedIPs, iface(s).Table.Off = prefixes("0.0.0.0/0"), true
			},
		},
		{
			name: "a foreign rule keeps its own way", from: internet,
			want: func(s *desired.State) { iface(s).Peers[1].AllowedIPs = prefixes("0.0.0.0/0") },
			host: func(o *lockout.Observed) {
				o.Rules = append(o.Rules, rtnl.Rule{Priority: 100, Table: 254, Src: netip.MustParsePrefix("198.51.100.2/32")})
			},
		},
		{
			name: "a peer is removed", from: inside,
			want: func(s *desired.State) { iface(s).Peers = iface(s).Peers[1:] },
			plan: []backend.Change{update("wireguard/wg0/peer/laptop")}, object: "wireguard/wg0/peer/laptop", words: "would go nowhere: wg0 has no peer for 10.0.0.10",
		},
		{
			name: "another peer is removed", from: inside,
			want: func(s *desired.State) { iface(s).Peers = iface(s).Peers[:1] },
		},
		{
			name: "an allowed IP moves", from: inside,
			want: func(s *desired.State) {
				iface(s).Peers[0].AllowedIPs, iface(s).Peers[1].AllowedIPs = nil, prefixes("10.0.0.0/24")
			},
			object: "wireguard/wg0/peer/office", words: "to peer office",
		},
		{
			name: "a wider allowed IP beside it", from: inside,
			want: func(s *desired.State) { iface(s).Peers[1].AllowedIPs = prefixes("10.0.0.0/24") },
		},
		{
			name: "the interface goes", from: inside, want: func(s *desired.State) { s.Interfaces = nil },
			object: "wireguard/wg0", words: "would go nowhere: this host has no address 10.0.0.1",
		},
		{
			name: "the interface goes to a namespace", from: inside, want: func(s *desired.State) { iface(s).Netns = "blue" },
			object: "wireguard/wg0", words: "this host has no address 10.0.0.1",
		},
		{
			name: "the address goes", from: inside, want: func(s *desired.State) { iface(s).Addresses = prefixes("10.0.0.2/24") },
			object: "wireguard/wg0", words: "this host has no address 10.0.0.1",
		},
		{
			name: "an address comes", from: inside, want: func(s *desired.State) { iface(s).Addresses = prefixes("10.0.0.1/24", "10.0.1.1/24") },
		},
		{
			name: "the operator's address is taken", from: internet,
			want:   func(s *desired.State) { iface(s).Addresses = prefixes("10.0.0.1/24", "203.0.113.9/32") },
			object: "wireguard/wg0", words: "would be this host itself",
		},
		{
			name: "a subnet captures", from: internet,
			want:   func(s *desired.State) { iface(s).Addresses = prefixes("10.0.0.1/24", "203.0.113.1/24") },
			object: "wireguard/wg0", words: "wg0 has no peer for 203.0.113.9",
		},
		{
			name: "a key changes", from: inside, want: func(s *desired.State) { iface(s).Peers[0].PublicKey = key(7) },
			object: "wireguard/wg0/peer/laptop", words: "nobody knows where peer laptop of wg0 is",
		},
		{
			name: "the own key changes", from: inside, want: func(s *desired.State) { iface(s).PublicKey = key(7) },
			plan: []backend.Change{update("wireguard/wg0")}, object: "wireguard/wg0",
		},
		{
			name: "a preshared key comes", from: inside, want: func(s *desired.State) { iface(s).Peers[0].PresharedKey = "x" },
			object: "wireguard/wg0/peer/laptop",
		},
		{
			name: "the port changes", from: inside, want: func(s *desired.State) { iface(s).ListenPort = 51900 },
			plan: []backend.Change{update("wireguard/wg0")}, object: "wireguard/wg0",
		},
		{
			name: "the port is the kernel's choice", from: inside, want: func(s *desired.State) { iface(s).ListenPort = 0 },
		},
		{
			name: "the topology gives a roamed peer an endpoint", from: inside,
			want:   func(s *desired.State) { iface(s).Peers[0].Endpoint = desired.Endpoint{Host: "192.0.2.99", Port: 1} },
			object: "wireguard/wg0/peer/laptop", words: "at 192.0.2.99:1",
		},
		{
			name: "the topology gives a roamed peer a name", from: inside,
			want: func(s *desired.State) {
				iface(s).Peers[0].Endpoint = desired.Endpoint{Host: "laptop.example.net", Port: 1}
			},
		},
		{
			name: "harmless changes", from: inside,
			want: func(s *desired.State) {
				iface(s).MTU, iface(s).FirewallMark = 1300, 77
				iface(s).Peers = append(iface(s).Peers, desired.Peer{Name: "new", PublicKey: key(8), AllowedIPs: prefixes("10.0.0.8/32", "10.99.0.0/16")})
				s.Interfaces = append(s.Interfaces, desired.Interface{Name: "wg1", PublicKey: key(11), Addresses: prefixes("10.1.0.1/24")})
			},
		},
		{
			name: "a name that a foreign tunnel has goes on", from: "172.16.5.5 1 172.16.0.1 22",
			want: func(s *desired.State) { s.Interfaces = nil },
		},
		{
			name: "a selector captures", from: internet,
			want: func(s *desired.State) {
				s.IPsec.Connections = append(s.IPsec.Connections, tunnelTo("all", "0.0.0.0/0", "203.0.113.0/24", "192.0.2.60"))
			},
			plan: []backend.Change{update("ipsec/all")}, object: "ipsec/all", words: "would go into IPsec all, through eth0",
		},
		{
			name: "a selector of another source", from: internet,
			want: func(s *desired.State) {
				s.IPsec.Connections = append(s.IPsec.Connections, tunnelTo("all", "10.10.0.0/24", "203.0.113.0/24", "192.0.2.60"))
			},
		},
		{
			name: "a selector of another port", from: internet,
			want: func(s *desired.State) {
				s.IPsec.Connections = append(s.IPsec.Connections, tunnelTo("web", "0.0.0.0/0[tcp/443]", "203.0.113.0/24", "192.0.2.60"))
			},
		},
		{
			name: "a selector of this port", from: internet,
			want: func(s *desired.State) {
				s.IPsec.Connections = append(s.IPsec.Connections, tunnelTo("ssh", "0.0.0.0/0[tcp/22]", "203.0.113.0/24", "192.0.2.60"))
			},
			object: "ipsec/ssh/child/ssh",
		},
		{
			name: "a transport captures the far host", from: "192.0.2.60 50000 198.51.100.2 22",
			want: func(s *desired.State) {
				c := tunnelTo("ah", "dynamic", "dynamic", "192.0.2.60")
				c.Children[0].LocalTS, c.Children[0].RemoteTS, c.Children[0].Mode = nil, nil, "transport"
				s.IPsec.Connections = append(s.IPsec.Connections, c)
			},
			object: "ipsec/ah/child/ah",
		},
		{
			name: "a selector captures WireGuard", from: inside,
			want: func(s *desired.State) {
				s.IPsec.Connections = append(s.IPsec.Connections, tunnelTo("all", "0.0.0.0/0", "203.0.113.0/24", "192.0.2.60"))
			},
			object: "ipsec/all/child/all", words: "to peer laptop at 203.0.113.50:40000, into IPsec all",
		},
		{
			name: "what no child holds captures nothing", from: internet,
			want: func(s *desired.State) {
				c := tunnelTo("roadwarriors", "0.0.0.0/0", "dynamic", "%any")
				c.Children[0].Hold, c.Server = "none", true
				s.IPsec.Connections = append(s.IPsec.Connections, c)
			},
		},
		{
			name: "a bypass spares", from: neighbour,
			want: func(s *desired.State) {
				s.IPsec.Connections = append(s.IPsec.Connections, tunnelTo("all", "198.51.100.0/24", "0.0.0.0/0", "192.0.2.60"))
				s.IPsec.Bypasses = []desired.Bypass{{Name: "b", LocalTS: []string{"198.51.100.0/24"}}}
			},
		},
		{
			name: "a tunnel goes", from: behind, want: func(s *desired.State) { s.IPsec.Connections = nil },
			plan: []backend.Change{update("ipsec/branch")}, object: "ipsec/branch", words: "goes into IPsec branch, through eth0 via 198.51.100.1, and would go through eth0",
		},
		{
			name: "a tunnel gets another peer", from: behind,
			want: func(s *desired.State) { s.IPsec.Connections[0].RemoteAddrs = []string{"192.0.2.41"} },
			plan: []backend.Change{{Action: backend.Update, Object: "ipsec/branch", Impact: backend.Impact{What: "replaces IKE_SA branch: interrupts 1 tunnel",
				Sessions: []backend.Session{{Protocol: backend.IPsec, Name: "branch", Peer: "branch", Address: "192.0.2.40"}}}}},
			object: "ipsec/branch", words: "and this replaces IKE_SA branch: interrupts 1 tunnel",
		},
		{
			name: "a selector no longer has the operator", from: behind,
			want:   func(s *desired.State) { s.IPsec.Connections[0].Children[0].RemoteTS = []string{"10.14.1.0/24"} },
			object: "ipsec/branch/child/branch",
		},
		{
			name: "an agreed part of a selector stays", from: behind, want: func(*desired.State) {},
			host: func(o *lockout.Observed) { o.Policies[0].Dst = netip.MustParsePrefix("10.14.0.0/28") },
		},
		{
			name: "another tunnel's session ends", from: behind, want: func(*desired.State) {},
			plan: []backend.Change{{Object: "ipsec/other", Impact: backend.Impact{What: "ends 1 tunnel",
				Sessions: []backend.Session{{Protocol: backend.IPsec, Name: "other", Peer: "other", Address: "192.0.2.50"}}}}},
		},
		{
			name: "a link of IPsec captures", from: internet,
			want: func(s *desired.State) {
				s.IPsec.Links = []desired.XFRMLink{{Name: "xfrm0", IfID: 7, Routes: prefixes("203.0.113.0/24")}}
			},
			plan: []backend.Change{update("route/203.0.113.0/24")}, object: "route/203.0.113.0/24", words: "would go through xfrm0",
		},
		{
			name: "selectors of a link capture nothing by themselves", from: internet,
			want: func(s *desired.State) {
				c := tunnelTo("routed", "0.0.0.0/0", "0.0.0.0/0", "192.0.2.60")
				c.IfID = 7
				s.IPsec.Connections = append(s.IPsec.Connections, c)
				s.IPsec.Links = []desired.XFRMLink{{Name: "xfrm0", IfID: 7, Routes: prefixes("10.99.0.0/16")}}
			},
		},
		{
			name: "a client's tunnel is for his virtual address", from: internet,
			want: func(s *desired.State) {
				c := tunnelTo("dial", "dynamic", "0.0.0.0/0", "192.0.2.60")
				c.VIPs = []string{"0.0.0.0"}
				s.IPsec.Connections = append(s.IPsec.Connections, c)
			},
		},
		{
			name: "the link of IPsec that carries him is interrupted", from: "10.30.0.5 50000 198.51.100.2 22", want: linked, host: linkUp,
			plan: []backend.Change{{Object: "ipsec/routed", Impact: backend.Impact{What: "replaces IKE_SA routed: interrupts 1 tunnel",
				Sessions: []backend.Session{{Protocol: backend.IPsec, Name: "routed", Peer: "routed", Address: "192.0.2.60"}}}}},
			object: "ipsec/routed", words: "goes through xfrm0, and this replaces",
		},
		{
			name: "the link of IPsec that carries him goes", from: "10.30.0.5 50000 198.51.100.2 22", want: func(*desired.State) {}, host: linkUp,
			plan: []backend.Change{update("link/xfrm0")}, object: "link/xfrm0", words: "goes through xfrm0, and would go through eth0",
		},
		{
			name: "a session of PPP that carries him stays", from: "10.40.0.5 50000 198.51.100.2 22", host: sessionUp,
			want: func(s *desired.State) {
				s.PPP.Links = []desired.PPPLink{{PPPTunnel: desired.PPPTunnel{Protocol: desired.L2TP, Name: "office"}, Server: "192.0.2.70", Routes: prefixes("10.40.0.0/16")}}
			},
		},
		{
			name: "a session of PPP that carries him goes", from: "10.40.0.5 50000 198.51.100.2 22", host: sessionUp, want: func(*desired.State) {},
			object: "route/10.40.0.0/16", words: "goes through ppp0, and would go through eth0",
		},
		{
			name: "a guard drops", from: internet, want: guarded("", nil), plan: []backend.Change{update("nat/gw/guard/x")},
			object: "nat/gw/guard/x", words: "would go nowhere: it would be dropped",
		},
		{name: "a guard that stands already", from: internet, want: guarded("", nil)},
		{name: "a guard of the link that it takes", from: internet, want: guarded("eth0", nil), plan: []backend.Change{update("nat/gw/guard/x")}},
		{name: "a guard that spares its own", from: internet, want: guarded("", prefixes("203.0.113.0/24")), plan: []backend.Change{update("nat/gw/guard/x")}},
		{
			name: "spoofed addresses are dropped", from: "203.0.113.9 50000 10.0.0.1 22",
			want: func(s *desired.State) {
				s.Netfilter.AntiSpoofs = []desired.AntiSpoof{{Object: "nat/gw/spoof/wg0", Interface: "wg0", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}}
			},
			plan: []backend.Change{update("nat/gw/spoof/wg0")}, object: "nat/gw/spoof/wg0",
		},
		{
			name: "a session of PPP captures", from: internet,
			want: func(s *desired.State) {
				s.PPP.Links = []desired.PPPLink{{PPPTunnel: desired.PPPTunnel{Protocol: desired.L2TP, Name: "office"}, Server: "192.0.2.70", Routes: prefixes("203.0.113.0/24")}}
			},
			plan: []backend.Change{update("l2tp/office")}, object: "l2tp/office", words: "would go through l2tp/office",
		},
		{
			name: "a network behind who dials in captures", from: internet,
			want: func(s *desired.State) {
				s.PPP.Servers = []desired.PPPServer{{PPPTunnel: desired.PPPTunnel{Protocol: desired.L2TP, Name: "office"},
					Networks: []desired.PPPNetworks{{User: "ann", Prefixes: prefixes("203.0.113.0/24")}}}}
			},
			plan: []backend.Change{update("l2tp/office/user/ann")}, object: "l2tp/office/user/ann", words: "would go through l2tp/office/user/ann",
		},
		{
			name: "a default route of PPP captures", from: internet,
			want: func(s *desired.State) {
				s.PPP.Links = []desired.PPPLink{{PPPTunnel: desired.PPPTunnel{Protocol: desired.PPTP, Name: "legacy"}, Server: "192.0.2.70", DefaultRoute: true}}
			},
			plan: []backend.Change{update("pptp/legacy")}, object: "pptp/legacy",
		},
		{
			name: "a default route of PPP spares its server", from: "192.0.2.70 50000 198.51.100.2 22",
			want: func(s *desired.State) {
				s.PPP.Links = []desired.PPPLink{{PPPTunnel: desired.PPPTunnel{Protocol: desired.PPTP, Name: "legacy"}, Server: "192.0.2.70", DefaultRoute: true}}
			},
		},
		{
			name: "the operator's own session ends", from: "192.168.130.50 50000 198.51.100.2 22", want: func(*desired.State) {},
			host: func(o *lockout.Observed) {
				o.Links = append(o.Links, rtnl.Link{Index: 9, Name: "ppp0"})
				o.Routes = append(o.Routes, rtnl.Route{Dst: netip.MustParsePrefix("192.168.130.50/32"), Table: 254, Index: 9, Protocol: 2})
			},
			plan: []backend.Change{{Object: "l2tp/office", Impact: backend.Impact{What: "restarts xl2tpd: drops 1 session",
				Sessions: []backend.Session{{Protocol: backend.L2TP, Name: "office", User: "user2", Address: "192.168.130.50"}}}}},
			object: "l2tp/office", words: "and this restarts xl2tpd: drops 1 session",
		},
		{
			name: "another user's session ends", from: "192.168.130.50 50000 198.51.100.2 22", want: func(*desired.State) {},
			plan: []backend.Change{{Object: "l2tp/office", Impact: backend.Impact{Sessions: []backend.Session{{Protocol: backend.L2TP, Name: "office", User: "user1", Address: "192.168.130.51"}}}}},
		},
		{name: "destroy from outside", from: internet, want: func(s *desired.State) { *s = desired.State{Site: "hq", Node: "gw"} }},
		{
			name: "destroy from a peer", from: inside, want: func(s *desired.State) { *s = desired.State{Site: "hq", Node: "gw"} },
			object: "wireguard/wg0",
		},
		{
			name: "a port is closed", from: inside, want: opened("wg0"), applied: opened("wg0", 51820), host: closed,
			object: "nat/gw/open/51820", words: "it would be dropped",
		},
		{
			name: "a port is closed on an open host", from: inside, want: opened("wg0"), applied: opened("wg0", 51820),
		},
		{
			name: "another port is closed", from: inside, want: opened("wg0", 51820), applied: opened("wg0", 51820, 51830), host: closed,
		},
		{
			name: "an interface is closed", from: inside, want: opened("", 51820), applied: opened("wg0", 51820), host: closed,
			object: "nat/gw/inner/wg0", words: "it would be dropped",
		},
		{
			name: "IPsec is closed", from: behind, applied: openedESP, want: func(*desired.State) {}, host: closed,
			object: "nat/gw/open/esp", words: "it would be dropped",
		},
		{
			name: "somebody else's connection", from: "203.0.113.9 50000 192.168.77.1 22",
			want: func(s *desired.State) { iface(s).Peers[1].AllowedIPs = prefixes("0.0.0.0/0") },
		},
		{
			name: "the host itself", from: "127.0.0.1 50000 127.0.0.1 22",
			want: func(s *desired.State) { iface(s).Peers[1].AllowedIPs = prefixes("0.0.0.0/0") },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, ok := management.Parse(tt.from)
			if !ok {
				t.Fatal(tt.from)
			}
			before, want, o := applied(), applied(), observed()
			if tt.applied != nil {
				tt.applied(before)
			}
			tt.want(want)
			if tt.host != nil {
				tt.host(o)
			}
			found := lockout.Analyse(c, o, &lockout.Question{Want: want, Applied: before, Changes: tt.plan})
			if tt.object == "" {
				for _, r := range found {
					t.Errorf("refused: %s", r)
				}
				return
			}
			if !slices.ContainsFunc(found, func(r *backend.Refusal) bool {
				return r.Object == tt.object && strings.Contains(r.Reason, tt.words)
			}) {
				t.Errorf("found %v, want %s: … %s", found, tt.object, tt.words)
			}
		})
	}
}

// linked is route-based, and linkUp and sessionUp are hosts where that, or a session of PPP,
// is up.
func linked(s *desired.State) {
	c := tunnelTo("routed", "0.0.0.0/0", "10.30.0.0/16", "192.0.2.60")
	c.IfID = 7
	s.IPsec.Connections = append(s.IPsec.Connections, c)
	s.IPsec.Links = []desired.XFRMLink{{Name: "xfrm0", IfID: 7, Routes: prefixes("10.30.0.0/16")}}
}

func linkUp(o *lockout.Observed) {
	o.Links = append(o.Links, rtnl.Link{Index: 9, Name: "xfrm0", Kind: "xfrm", Alias: "vpnctl:hq"})
	o.Routes = append(o.Routes, rtnl.Route{Dst: netip.MustParsePrefix("10.30.0.0/16"), Table: 254, Index: 9, Protocol: 118})
}

func sessionUp(o *lockout.Observed) {
	o.Links = append(o.Links, rtnl.Link{Index: 9, Name: "ppp0"})
	o.Routes = append(o.Routes, rtnl.Route{Dst: netip.MustParsePrefix("10.40.0.0/16"), Table: 254, Index: 9, Protocol: 118})
}

// opened opens ports, and an interface.
func opened(inner string, ports ...int) func(s *desired.State) {
	return func(s *desired.State) {
		if inner != "" {
			s.Netfilter.Inner = []string{inner}
		}
		for _, p := range ports {
			s.Netfilter.OpenPorts = append(s.Netfilter.OpenPorts, desired.OpenPort{Object: fmt.Sprintf("nat/gw/open/%d", p), Protocol: "udp", Port: p})
		}
	}
}

func openedESP(s *desired.State) {
	s.Netfilter.OpenPorts = []desired.OpenPort{{Object: "nat/gw/open/esp", Protocol: "esp"}}
}

func closed(o *lockout.Observed) { o.Closed = func() bool { return true } }

// guarded guards the operator's network.
func guarded(link string, local []netip.Prefix) func(s *desired.State) {
	return func(s *desired.State) {
		s.Netfilter.Guards = []desired.Guard{{Object: "nat/gw/guard/x", Source: netip.MustParsePrefix("198.51.100.0/24"),
			Dest: netip.MustParsePrefix("203.0.113.0/24"), Interface: link, Local: local}}
	}
}
