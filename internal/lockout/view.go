package lockout

import (
	"net/netip"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// view is a host as a packet finds it, now or then. Objects are those of the plan; what is
// foreign has none.
type view struct {
	addrs    []address
	routes   []route
	rules    []rtnl.Rule // sorted by priority
	tunnels  []Tunnel
	policies []Policy
	filters  []filter
	// sessions are what a link of IPsec carries, by its name.
	sessions map[string][]string
}

// address is one of the host's own.
type address struct {
	netip.Addr
	dev    string
	object string
}

// route is a route by the name of its link.
type route struct {
	rtnl.Route
	dev     string
	objects []string
}

// Tunnel is a WireGuard interface.
type Tunnel struct {
	Name  string
	Key   string // public
	Port  int
	Mark  int
	Peers []Peer
}

// Peer is one of a Tunnel.
type Peer struct {
	Name       string // as the topology calls it, "" for a stray one
	Key        string // public
	Preshared  string // a fingerprint
	Endpoint   netip.AddrPort
	AllowedIPs []netip.Prefix
}

// Policy is one of IPsec, for packets that leave.
type Policy struct {
	Src, Dst netip.Prefix // not valid: any
	desired.Ports
	// Remote is where what it protects is sent; not valid where that is not known.
	Remote netip.Addr
	// Pass means that it protects nothing: it spares packets from other policies.
	Pass bool
	// Connection and Child are whose it is; "" is somebody else's.
	Connection, Child string
}

// filter drops packets.
type filter struct {
	object string
	drops  func(p packet, dev string) bool
}

// packet is what is followed.
type packet struct {
	src          netip.Addr // not valid: one of the link's by which it leaves
	dst          netip.Addr
	proto        string
	sport, dport uint16
	mark         int
}
