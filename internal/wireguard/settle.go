package wireguard

import (
	"context"
	"net/netip"
	"slices"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/resolver"
	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// wanted is what the host shall have, with nothing symbolic left in it.
type wanted struct {
	targets []target
	rules   map[string][]rtnl.Rule // by namespace
}

// target is one interface as it shall be, beside what there is of it.
type target struct {
	link
	dns     resolver.Config
	desired *desired.Interface
	have    *observed // nil where there is none yet
	applied *applied
	// restored marks a foreign interface that is given back.
	restored bool
}

// settle turns the desired state into one that can be compared with the host: names
// are resolved, the MTU is computed, and where the topology leaves a choice to the
// kernel or to a peer, what was chosen is what is wanted.
func (b *Backend) settle(ctx context.Context, in backend.Input, h *snapshot) (*wanted, error) {
	w := &wanted{rules: map[string][]rtnl.Rule{}}
	for i := range in.Want.Interfaces {
		w.targets = append(w.targets, newTarget(&in.Want.Interfaces[i], in, h))
	}
	w.addRestored(in, h)
	w.settlePorts()
	var resolved map[string][]netip.Addr
	if !in.Options.Boot { // which never waits for DNS
		resolved = b.resolve(ctx, w.unresolved())
	}
	for i := range w.targets {
		w.targets[i].settleEndpoints(resolved)
	}
	if err := b.settleMTU(w, h); err != nil {
		return nil, err
	}
	w.addRules()
	return w, nil
}

func newTarget(d *desired.Interface, in backend.Input, h *snapshot) target {
	t := target{
		link: link{
			place: place{d.Name, d.Netns}, Alias: aliasOf(in.Want.Site), MTU: d.MTU, Up: true,
			PrivateKey: d.PrivateKey, ListenPort: d.ListenPort, FirewallMark: d.Mark(),
			Addresses: sorted(d.Addresses), Routes: RoutesOf(d),
		},
		dns:     dnsOf(d),
		desired: d,
		applied: appliedTo(in.Applied, d.Name),
	}
	t.have = h.find(t.place)
	t.Peers = make([]peer, len(d.Peers))
	for i := range d.Peers {
		p := &d.Peers[i]
		t.Peers[i] = peer{
			Name: p.Name, PublicKey: publicKey(p.PublicKey), PresharedKey: p.PresharedKey,
			Keepalive: p.PersistentKeepalive, AllowedIPs: sorted(p.AllowedIPs),
		}
	}
	return t
}

// settlePorts leaves interfaces whose port is not the topology's matter the port that
// they have, unless another one is to get it.
func (w *wanted) settlePorts() {
	taken := map[int]bool{}
	for i := range w.targets {
		taken[w.targets[i].ListenPort] = true
	}
	for i := range w.targets {
		t := &w.targets[i]
		if t.ListenPort == 0 && t.have != nil && !taken[t.have.ListenPort] {
			t.ListenPort = t.have.ListenPort
		}
	}
}

// sorted returns the prefixes in the order in which they are compared.
func sorted(prefixes []netip.Prefix) []netip.Prefix {
	if slices.IsSortedFunc(prefixes, comparePrefixes) {
		return prefixes
	}
	return sortPrefixes(slices.Clone(prefixes))
}

// peer returns what there is of the i-th wanted peer, nil if it is not there.
func (t *target) peer(i int) (*peer, liveness) {
	if t.have == nil {
		return nil, liveness{}
	}
	at, ok := t.have.peers[t.Peers[i].PublicKey]
	if !ok {
		return nil, liveness{}
	}
	return &t.have.Peers[at], t.have.live[at]
}

// applied is what the last apply wanted of one interface. Its map is built on first
// use: on most runs nothing asks.
type applied struct {
	iface *desired.Interface
	peers map[publicKey]*desired.Peer
}

// appliedTo finds an interface in what was applied last, by name.
func appliedTo(s *desired.State, name string) *applied {
	if s == nil {
		return &applied{}
	}
	i := slices.IndexFunc(s.Interfaces, func(i desired.Interface) bool { return i.Name == name })
	if i < 0 {
		return &applied{}
	}
	return &applied{iface: &s.Interfaces[i]}
}

// peer finds a peer as the last apply wanted it, nil for none.
func (a *applied) peer(key publicKey) *desired.Peer {
	if a.iface == nil {
		return nil
	}
	if a.peers == nil {
		a.peers = make(map[publicKey]*desired.Peer, len(a.iface.Peers))
		for i := range a.iface.Peers {
			a.peers[publicKey(a.iface.Peers[i].PublicKey)] = &a.iface.Peers[i]
		}
	}
	return a.peers[key]
}

// RoutesOf derives the routes of an interface from its allowed IPs, as wg-quick(8)
// does: a table of its own takes them all, for the connected routes that would make one
// superfluous are in the main table only.
func RoutesOf(d *desired.Interface) []rtnl.Route {
	if d.Table.Off {
		return nil
	}
	table := d.Table.Number
	if table == 0 {
		table = rtnl.MainTable
	}
	count := 0
	for i := range d.Peers {
		count += len(d.Peers[i].AllowedIPs)
	}
	routes := make([]rtnl.Route, 0, count)
	for i := range d.Peers {
		for _, dst := range d.Peers[i].AllowedIPs {
			r := rtnl.Route{Dst: dst, Table: table, Metric: rtnl.DefaultMetric(dst), Protocol: protocol}
			switch {
			case dst.Bits() == 0 && d.Table.Number == 0:
				r.Table = d.RouteTable()
			case table == rtnl.MainTable && connected(d.Addresses, dst):
				continue
			}
			routes = append(routes, r)
		}
	}
	slices.SortFunc(routes, compareRoutes)
	return routes
}

// connected reports whether the subnet of an address covers dst.
func connected(addrs []netip.Prefix, dst netip.Prefix) bool {
	for _, a := range addrs {
		if a.Bits() <= dst.Bits() && a.Contains(dst.Addr()) {
			return true
		}
	}
	return false
}
