// Package desired says what one host shall be: the value types of everything that
// a host can hold of ours, and Derive, which computes them from a topology.
//
// It is pure: no file, no socket, no clock. What only the host knows (the MTU of
// "auto", the egress interface of "auto", what a DNS name resolves to) stays
// symbolic here and is settled by the backend that plans it. Every slice is sorted,
// so that nothing depends on the order of the file.
package desired

import (
	"io/fs"
	"net/netip"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/vpnctl/vpnctl/internal/secret"
)

// State is all that one node of a topology shall hold. The zero State with Site set
// is what `destroy` wants: nothing of ours.
type State struct {
	Site string `json:"site"`
	Node string `json:"node"`

	Interfaces []Interface `json:"interfaces,omitempty"`
	IPsec      IPsec       `json:"ipsec"`
	PPP        PPP         `json:"ppp"`
	Netfilter  Netfilter   `json:"netfilter"`

	// Sysctl maps a key in its path form below /proc/sys, with slashes
	// ("net/ipv4/conf/eth0.100/rp_filter"), to its value: a dotted form could not
	// carry an interface name that has dots.
	Sysctl map[string]string `json:"sysctl,omitempty"`

	// Files are whole files of ours that belong to no daemon, sorted by path.
	Files []File `json:"files,omitempty"`

	// Modules are those of the kernel that nobody else would load in time, sorted.
	Modules []string `json:"modules,omitempty"`
}

// File is a whole file; it holds no secret.
type File struct {
	Path string      `json:"path"`
	Data []byte      `json:"data"`
	Mode fs.FileMode `json:"mode"` // permission bits
}

// Interface is one WireGuard interface; see wg(8) and wg-quick(8).
type Interface struct {
	Name      string         `json:"name"`
	Netns     string         `json:"netns,omitempty"` // name below /run/netns; "" is the host's own
	Addresses []netip.Prefix `json:"addresses,omitempty"`
	MTU       int            `json:"mtu,omitempty"` // bytes; 0: computed from the routes to the endpoints, as wg-quick(8) does

	PrivateKey   secret.ID   `json:"private_key"`
	PublicKey    wgtypes.Key `json:"public_key"`
	ListenPort   int         `json:"listen_port,omitempty"` // 0: the kernel chooses, and keeps its choice
	FirewallMark int         `json:"fwmark,omitempty"`

	Peers []Peer `json:"peers,omitempty"` // sorted by name

	Table  Table    `json:"table"`
	DNS    []string `json:"dns,omitempty"`        // addresses, in the order of the topology: resolvers try them so
	Search []string `json:"dns_search,omitempty"` // search domains, likewise
	Hooks  Hooks    `json:"hooks"`
}

// Peer is one [Peer] of an interface. Two peers of one interface never share a name,
// a public key or an allowed IP.
type Peer struct {
	Name                string         `json:"name"`
	PublicKey           wgtypes.Key    `json:"public_key"`
	PresharedKey        secret.ID      `json:"preshared_key,omitempty"` // "" for none
	Endpoint            Endpoint       `json:"endpoint"`
	AllowedIPs          []netip.Prefix `json:"allowed_ips,omitempty"` // masked, sorted
	PersistentKeepalive time.Duration  `json:"persistent_keepalive,omitempty"`
}

// Endpoint is where a peer is dialled: an address or a DNS name, and a UDP port.
// The zero Endpoint means that the peer is not dialled; it calls.
type Endpoint struct {
	Host string `json:"host,omitempty"`
	Port int    `json:"port,omitempty"`
}

// IsZero reports whether there is nothing to dial.
func (e Endpoint) IsZero() bool { return e.Host == "" }

// Table says where the routes to allowed IPs go; wg-quick(8), Table.
type Table struct {
	Off    bool `json:"off,omitempty"`    // no routes at all
	Number int  `json:"number,omitempty"` // this table; 0 is auto: main, and policy routing for a default route
}

// Hooks are shell lines around the life of an interface, %i already expanded. They
// run when vpnctl brings it up or down, never because a line changed.
type Hooks struct {
	PreUp    []string `json:"pre_up,omitempty"`
	PostUp   []string `json:"post_up,omitempty"`
	PreDown  []string `json:"pre_down,omitempty"`
	PostDown []string `json:"post_down,omitempty"`
}

// DefaultMark is the mark and table of full-tunnel policy routing on an interface
// without a listen port (contract, WireGuard).
const DefaultMark = 51820

// FullTunnel reports whether a peer's allowed IPs hold a default route that the
// interface's table setting turns into policy routing, for the given family.
func (i *Interface) FullTunnel(v6 bool) bool {
	if i.Table.Off || i.Table.Number != 0 {
		return false
	}
	for _, p := range i.Peers {
		for _, a := range p.AllowedIPs {
			if a.Bits() == 0 && a.Addr().Is6() == v6 {
				return true
			}
		}
	}
	return false
}

// Mark is the firewall mark that the interface's own packets carry: what the topology
// sets, else for a full tunnel the listen port, else DefaultMark; 0 for none.
func (i *Interface) Mark() int {
	switch {
	case i.FirewallMark != 0:
		return i.FirewallMark
	case !i.FullTunnel(false) && !i.FullTunnel(true):
		return 0
	case i.ListenPort != 0:
		return i.ListenPort
	}
	return DefaultMark
}

// RouteTable is the table of full-tunnel policy routing: the listen port, else
// DefaultMark (contract, WireGuard: mark and table are the same number).
func (i *Interface) RouteTable() int {
	if i.ListenPort != 0 {
		return i.ListenPort
	}
	return DefaultMark
}
