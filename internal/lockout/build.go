package lockout

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/rtnl"
	"github.com/vpnctl/vpnctl/internal/wireguard"
)

// protocol marks routes and rules as vpnctl's (contract, section 3).
const protocol = 118

// Observed is what was read of a host.
type Observed struct {
	Links    []rtnl.Link
	Addrs    []rtnl.Addr
	Routes   []rtnl.Route
	Rules    []rtnl.Rule
	Tunnels  []Tunnel // all of WireGuard, without the names of peers
	Policies []Policy // without the names of connections
	// Closed reports whether the host's own packet filter lets in nothing by itself. It
	// takes a while, and is hardly ever asked; nil is never.
	Closed func() bool
}

// builder makes both views of what was observed.
type builder struct {
	*Observed
	*Question
	names map[int]string
	// ours are the links whose content is the wanted state's matter.
	ours map[string]bool
	// peers are those of the last apply; there may be ten thousand.
	peers map[peerKey]*desired.Peer
}

// peerKey is an interface's name and a peer's public key.
type peerKey struct {
	iface string
	key   string
}

func newBuilder(o *Observed, q *Question) *builder {
	b := &builder{Observed: o, Question: q, names: map[int]string{}, ours: map[string]bool{}, peers: map[peerKey]*desired.Peer{}}
	for _, l := range o.Links {
		b.names[l.Index] = l.Name
		wanted := slices.ContainsFunc(q.Want.Interfaces, func(i desired.Interface) bool { return i.Name == l.Name && i.Netns == "" })
		b.ours[l.Name] = wanted || l.Alias == "vpnctl:"+q.Want.Site && !b.restored(l.Name)
	}
	if q.Applied != nil {
		for i := range q.Applied.Interfaces {
			d := &q.Applied.Interfaces[i]
			for j := range d.Peers {
				b.peers[peerKey{d.Name, d.Peers[j].PublicKey.String()}] = &d.Peers[j]
			}
		}
	}
	return b
}

// restored reports whether a link of ours was somebody else's before, and becomes so again:
// what it has is near enough to what it will have.
func (b *builder) restored(name string) bool {
	_, ok := b.Memory[wireguard.AdoptMemory+name]
	return ok
}

// now is the host as it is.
func (b *builder) now() *view {
	v := &view{rules: sortRules(b.Rules), tunnels: b.named(), policies: b.classified(), sessions: b.sessions()}
	for _, a := range b.Addrs {
		v.addrs = append(v.addrs, b.address(a))
	}
	for _, r := range b.Routes {
		v.routes = append(v.routes, b.route(r))
	}
	return v
}

// then is the host as it will be: what is foreign, and what is wanted.
func (b *builder) then() *view {
	v := &view{sessions: b.sessions()}
	for _, a := range b.Addrs {
		if !b.ours[b.names[a.Index]] {
			v.addrs = append(v.addrs, b.address(a))
		}
	}
	for _, r := range b.Routes {
		if b.stays(r) {
			v.routes = append(v.routes, b.route(r))
		}
	}
	for _, t := range b.named() {
		if !b.ours[t.Name] {
			v.tunnels = append(v.tunnels, t)
		}
	}
	rules := slices.DeleteFunc(slices.Clone(b.Rules), func(r rtnl.Rule) bool { return r.Protocol == protocol })
	var full []*desired.Interface
	for i := range b.Want.Interfaces {
		if d := &b.Want.Interfaces[i]; d.Netns == "" {
			full = append(full, d)
			b.addInterface(v, d)
		}
	}
	v.rules = sortRules(append(rules, wireguard.RulesOf(full)...))
	b.addLinks(v)
	b.addSessions(v)
	v.policies = b.wantedPolicies()
	v.filters = append(b.filters(), b.openings()...)
	return v
}

func sortRules(rules []rtnl.Rule) []rtnl.Rule {
	return slices.SortedStableFunc(slices.Values(rules), func(a, b rtnl.Rule) int { return cmp.Compare(a.Priority, b.Priority) })
}

func (b *builder) address(a rtnl.Addr) address {
	name := b.names[a.Index]
	out := address{Addr: a.Prefix.Addr(), dev: name}
	if b.ours[name] {
		out.object = "wireguard/" + name
	}
	return out
}

func (b *builder) route(r rtnl.Route) route {
	out := route{Route: r, dev: b.names[r.Index]}
	if r.Protocol == protocol || b.ours[out.dev] {
		out.objects = b.routeObjects(r, out.dev)
	}
	return out
}

// routeObjects are what makes a route of ours; a connected one is its address's.
func (b *builder) routeObjects(r rtnl.Route, dev string) []string {
	link := "wireguard/" + dev
	if slices.ContainsFunc(b.Links, func(l rtnl.Link) bool { return l.Name == dev && l.Kind == "xfrm" }) {
		link = "link/" + dev
	}
	return []string{routeObject(r), link}
}

// stays reports whether a route is not the wanted state's matter, or is in it as it is:
// the route of a policy tunnel, and that of a live session of PPP.
func (b *builder) stays(r rtnl.Route) bool {
	dev := b.names[r.Index]
	switch {
	case b.ours[dev]:
		return false
	case r.Protocol != protocol:
		return true
	case strings.HasPrefix(dev, "ppp"):
		return slices.Contains(b.Want.PPP.Fallbacks(), r.Dst) ||
			slices.ContainsFunc(b.Want.PPP.Links, func(l desired.PPPLink) bool { return l.DefaultRoute })
	}
	return slices.ContainsFunc(b.Want.IPsec.Routes, func(s desired.SelectorRoute) bool { return s.Dst == r.Dst }) ||
		slices.ContainsFunc(b.Want.PPP.Links, func(l desired.PPPLink) bool { return l.Server == r.Dst.Addr().String() })
}

// addInterface adds an interface of WireGuard as it is wanted.
func (b *builder) addInterface(v *view, d *desired.Interface) {
	object := "wireguard/" + d.Name
	for _, a := range d.Addresses {
		v.addrs = append(v.addrs, address{Addr: a.Addr(), dev: d.Name, object: object})
		if !a.IsSingleIP() {
			metric := 0
			if a.Addr().Is6() {
				metric = 256 // the kernel's, of a connected prefix
			}
			v.routes = append(v.routes, route{Route: rtnl.Route{
				Dst: a.Masked(), Table: rtnl.MainTable, Metric: metric, Source: a.Addr(),
			}, dev: d.Name, objects: []string{object}})
		}
	}
	for _, r := range wireguard.RoutesOf(d) {
		v.routes = append(v.routes, route{Route: r, dev: d.Name, objects: []string{routeObject(r), object}})
	}
	v.tunnels = append(v.tunnels, b.wantedTunnel(d))
}

// wantedTunnel is a tunnel as it will be. What the topology leaves to the kernel or to a
// peer stays as it is.
func (b *builder) wantedTunnel(d *desired.Interface) Tunnel {
	t := Tunnel{Name: d.Name, Key: d.PublicKey.String(), Port: d.ListenPort, Mark: d.Mark()}
	have := find(b.Tunnels, d.Name)
	if t.Port == 0 && have != nil {
		t.Port = have.Port
	}
	endpoints := have.endpoints()
	for i := range d.Peers {
		w := &d.Peers[i]
		p := Peer{Name: w.Name, Key: w.PublicKey.String(), Preshared: string(w.PresharedKey), AllowedIPs: w.AllowedIPs}
		if a, err := netip.ParseAddr(w.Endpoint.Host); err == nil {
			p.Endpoint = netip.AddrPortFrom(a.Unmap(), uint16(w.Endpoint.Port))
		}
		if was := endpoints[p.Key]; was.IsValid() && b.sameEndpoint(d.Name, w, p.Endpoint) {
			p.Endpoint = was
		}
		t.Peers = append(t.Peers, p)
	}
	return t
}

// sameEndpoint reports whether a peer keeps the endpoint that it has: the topology gives
// none that is an address, or the same as the last time.
func (b *builder) sameEndpoint(iface string, w *desired.Peer, literal netip.AddrPort) bool {
	before := b.peers[peerKey{iface, w.PublicKey.String()}]
	return !literal.IsValid() || before == nil || before.Endpoint == w.Endpoint
}

// named are the tunnels that there are, their peers by the names of the last apply.
func (b *builder) named() []Tunnel {
	out := slices.Clone(b.Tunnels)
	for i := range out {
		t := &out[i]
		t.Peers = slices.Clone(t.Peers)
		for j := range t.Peers {
			if p := b.peers[peerKey{t.Name, t.Peers[j].Key}]; p != nil {
				t.Peers[j].Name = p.Name
			}
		}
	}
	return out
}

func find(tunnels []Tunnel, name string) *Tunnel {
	for i := range tunnels {
		if tunnels[i].Name == name {
			return &tunnels[i]
		}
	}
	return nil
}

// endpoints are where the peers of a tunnel are, by public key.
func (t *Tunnel) endpoints() map[string]netip.AddrPort {
	if t == nil {
		return nil
	}
	out := make(map[string]netip.AddrPort, len(t.Peers))
	for i := range t.Peers {
		out[t.Peers[i].Key] = t.Peers[i].Endpoint
	}
	return out
}
