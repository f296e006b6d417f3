package topology

import (
	"net"
	"net/netip"
	"sort"
	"strconv"

	"github.com/vpnctl/vpnctl/internal/topology/source"
)

// Pos is a place in the topology file.
type Pos = source.Pos

// Topology is one site: its nodes and all tunnels among them. Mappings of the
// file are slices here, sorted by name: nothing derives from their order.
type Topology struct {
	// File is the name that messages use.
	File    string
	Version int
	Site    string

	Nodes     []Node
	WireGuard []Network
	IPsec     []Connection
	L2TP      []L2TP
	PPTP      []PPTP
	NAT       []NATRule
	Firewall  []Firewall

	// HasInlineSecrets says whether a secret's value stands in the file
	// itself, which then should be nobody else's to read.
	HasInlineSecrets bool
}

// Node is a machine that runs vpnctl.
type Node struct {
	Name string
	Pos  Pos
	// Hostname is empty where the file has none.
	Hostname string
	// Addresses are how the others reach it, best first. Without one it only
	// dials out.
	Addresses []Host
}

// Node returns the node of that name, nil where there is none.
func (t *Topology) Node(name string) *Node {
	i := sort.Search(len(t.Nodes), func(i int) bool { return t.Nodes[i].Name >= name })
	if i < len(t.Nodes) && t.Nodes[i].Name == name {
		return &t.Nodes[i]
	}
	return nil
}

// Host is an IP address or a DNS name. The zero Host is neither.
type Host struct {
	Addr netip.Addr
	// Name is a DNS name; empty where Addr is valid.
	Name string
}

// IsZero says whether h is neither address nor name.
func (h Host) IsZero() bool { return h == Host{} }

// String returns the address or the name.
func (h Host) String() string {
	if h.Addr.IsValid() {
		return h.Addr.String()
	}
	return h.Name
}

// Endpoint is a host and a port, the host's name not resolved. The zero
// Endpoint means that there is none.
type Endpoint struct {
	Host Host
	Port uint16
}

// IsZero says whether there is no endpoint.
func (e Endpoint) IsZero() bool { return e == Endpoint{} }

// String returns host:port, an IPv6 address in brackets.
func (e Endpoint) String() string {
	return net.JoinHostPort(e.Host.String(), strconv.Itoa(int(e.Port)))
}

// Range is a range of addresses, both ends in it. It is of one family.
type Range struct {
	From, To netip.Addr
	// Prefix is valid where the file gave the range as a prefix.
	Prefix netip.Prefix
}

// String returns the range as the file writes it.
func (r Range) String() string {
	switch {
	case r.Prefix.IsValid():
		return r.Prefix.String()
	case r.From == r.To:
		return r.From.String()
	}
	return r.From.String() + "-" + r.To.String()
}

// Contains says whether a is in the range.
func (r Range) Contains(a netip.Addr) bool {
	return a.BitLen() == r.From.BitLen() && r.From.Compare(a) <= 0 && a.Compare(r.To) <= 0
}

// NATRule rewrites the source of what leaves a node through one interface.
type NATRule struct {
	Node string
	Pos  Pos
	// Sources are whose packets are meant, masked and sorted.
	Sources []netip.Prefix
	// Out is the interface, or OutAuto.
	Out    string
	OutPos Pos
	// SNAT is the new source; where it is not valid, masquerade.
	SNAT netip.Addr
}

// OutAuto as a rule's Out is the interface of the default route.
const OutAuto = "auto"

// Firewall says what vpnctl opens in one node's own packet filter.
type Firewall struct {
	Node      string
	Pos       Pos
	OpenPorts bool
}
