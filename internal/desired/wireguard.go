package desired

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/topology"
)

// network is one WireGuard network as its member sees it.
type network struct {
	*topology.Network
	self *topology.Member
	pair map[string]*secret.Ref // the preshared keys that the pair of self and another has
}

// networks returns the networks that the node is a member of.
func (d *deriver) networks() []network {
	var found []network
	for i := range d.WireGuard {
		n := &d.WireGuard[i]
		at := slices.IndexFunc(n.Members, func(m topology.Member) bool { return m.Node == d.node })
		if at < 0 {
			continue
		}
		found = append(found, network{Network: n, self: &n.Members[at], pair: pairKeys(n, d.node)})
	}
	return found
}

func pairKeys(n *topology.Network, node string) map[string]*secret.Ref {
	keys := map[string]*secret.Ref{}
	for _, k := range n.PresharedKeys {
		switch node {
		case k.Between[0]:
			keys[k.Between[1]] = k.Key
		case k.Between[1]:
			keys[k.Between[0]] = k.Key
		}
	}
	return keys
}

// wireguard derives an interface.
func (d *deriver) wireguard(n *network) Interface {
	m := n.self
	i := Interface{
		Name: n.Name, Netns: m.NetNS, Addresses: sortPrefixes(slices.Clone(m.Addresses)), MTU: m.MTU,
		PrivateKey: d.privateKey(m), PublicKey: m.PublicKey, ListenPort: int(m.ListenPort), FirewallMark: int(m.FwMark),
		Table:  Table{Off: m.Table.Off, Number: int(m.Table.Number)},
		Search: slices.Clone(m.DNS.Search),
		Hooks: Hooks{
			PreUp: expand(m.Hooks.PreUp, n.Name), PostUp: expand(m.Hooks.PostUp, n.Name),
			PreDown: expand(m.Hooks.PreDown, n.Name), PostDown: expand(m.Hooks.PostDown, n.Name),
		},
		Peers: slices.Concat(d.memberPeers(n), d.foreignPeers(n)),
	}
	for _, a := range m.DNS.Servers {
		i.DNS = append(i.DNS, a.String())
	}
	slices.SortFunc(i.Peers, func(a, b Peer) int { return cmp.Compare(a.Name, b.Name) })
	return i
}

// expand puts the interface's name where wg-quick(8) does.
func expand(lines []string, name string) []string {
	var out []string
	for _, l := range lines {
		out = append(out, strings.ReplaceAll(l, "%i", name))
	}
	return out
}

// memberPeers derives the peers that are members: all in a mesh; in a star the hub, and
// on the hub all.
func (d *deriver) memberPeers(n *network) []Peer {
	carried := n.carried()
	var peers []Peer
	for i := range n.Members {
		x := &n.Members[i]
		if x.Node == d.node || (n.Hub != "" && n.Hub != d.node && n.Hub != x.Node) {
			continue
		}
		allowed, ok := override(x.AllowedIPs, d.node)
		if !ok {
			allowed = slices.Concat(hostPrefixes(x.Addresses), x.Networks, carried[x.Node])
		}
		peers = append(peers, Peer{
			Name: x.Node, PublicKey: x.PublicKey, PresharedKey: d.presharedKey(n, x.Node, nil),
			Endpoint: d.endpoint(x), AllowedIPs: normal(allowed), PersistentKeepalive: n.self.PersistentKeepalive,
		})
	}
	return peers
}

// foreignPeers derives the peers on which vpnctl does not run and which are this
// member's own.
func (d *deriver) foreignPeers(n *network) []Peer {
	var peers []Peer
	for i := range n.Network.Peers {
		p := &n.Network.Peers[i]
		if !n.via(p, d.node) {
			continue
		}
		allowed, ok := override(p.AllowedIPs, d.node)
		if !ok {
			allowed = slices.Concat(hostPrefixes(p.Addresses), p.Networks)
		}
		keepalive := n.self.PersistentKeepalive
		if p.PersistentKeepalive != nil {
			keepalive = *p.PersistentKeepalive
		}
		peers = append(peers, Peer{
			Name: p.Name, PublicKey: p.PublicKey, PresharedKey: d.presharedKey(n, p.Name, p.PresharedKey),
			Endpoint: endpointOf(p.Endpoint), AllowedIPs: normal(allowed), PersistentKeepalive: keepalive,
		})
	}
	return peers
}

// via reports whether a member has a foreign peer as its own. That of a peer which does
// not say it is answered without its list: in a mesh that names every member, and asking
// it for each peer would be quadratic.
func (n *network) via(p *topology.Peer, member string) bool {
	if p.ViaPos.Line == 0 {
		return n.Hub == "" || n.Hub == member
	}
	return slices.Contains(p.Via, member)
}

// carrier is the member through which self reaches what is not its own: a foreign peer
// through the hub, or through the first that has it where there is no hub, or self is
// it. Members have only the hub for that.
func (n *network) carrier(p *topology.Peer) string {
	if n.Hub != "" && n.Hub != n.self.Node {
		return n.Hub
	}
	return p.Via[0]
}

// carried returns what self reaches through each of its peers beyond what that peer is
// and owns itself; never what self has itself.
func (n *network) carried() map[string][]netip.Prefix {
	self := n.self.Node
	own := map[netip.Prefix]bool{}
	for _, p := range slices.Concat(hostPrefixes(n.self.Addresses), n.self.Networks) {
		own[p] = true
	}
	carried := map[string][]netip.Prefix{}
	add := func(by string, prefixes []netip.Prefix) {
		for _, p := range prefixes {
			if !own[p] {
				carried[by] = append(carried[by], p)
			}
		}
	}
	for i := range n.Members {
		x := &n.Members[i]
		if n.Hub != "" && n.Hub != self && x.Node != self && x.Node != n.Hub {
			add(n.Hub, announced(x.AllowedIPs, x.Addresses, x.Networks))
		}
	}
	for i := range n.Network.Peers {
		if p := &n.Network.Peers[i]; !n.via(p, self) {
			add(n.carrier(p), announced(p.AllowedIPs, p.Addresses, p.Networks))
		}
	}
	return carried
}

// announced is what everybody reaches a member or peer by who does not hold it as a peer:
// the hub passes on what every member would hold, but not what one of them holds alone
// (a default route of one laptop must not become everybody's).
func announced(replaced []topology.AllowedIPs, addresses, networks []netip.Prefix) []netip.Prefix {
	for _, a := range replaced {
		if a.On == "" {
			return a.Prefixes
		}
	}
	return slices.Concat(hostPrefixes(addresses), networks)
}

// override finds what the topology says that a member holds, in place of what it would
// derive; an entry of its own goes before that of all.
func override(replaced []topology.AllowedIPs, on string) ([]netip.Prefix, bool) {
	for _, name := range []string{on, ""} {
		for _, a := range replaced {
			if a.On == name {
				return a.Prefixes, true
			}
		}
	}
	return nil, false
}

// endpoint is where a member is dialled.
func (d *deriver) endpoint(x *topology.Member) Endpoint {
	if !x.Endpoint.IsZero() {
		return endpointOf(x.Endpoint)
	}
	// Without a port of its own the kernel chooses one, and nobody can know which.
	node := d.Node(x.Node)
	if node == nil || len(node.Addresses) == 0 || x.ListenPort == 0 {
		return Endpoint{}
	}
	return Endpoint{Host: node.Addresses[0].String(), Port: int(x.ListenPort)}
}

func endpointOf(e topology.Endpoint) Endpoint {
	if e.IsZero() {
		return Endpoint{}
	}
	return Endpoint{Host: e.Host.String(), Port: int(e.Port)}
}
