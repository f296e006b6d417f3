package lockout

import (
	"net/netip"
	"slices"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/rtnl"
	"github.com/vpnctl/vpnctl/internal/topology"
)

// addLinks adds the routes of route-based connections.
func (b *builder) addLinks(v *view) {
	for _, l := range b.Want.IPsec.Links {
		for _, dst := range l.Routes {
			r := rtnl.Route{Dst: dst, Table: rtnl.MainTable, Metric: rtnl.DefaultMetric(dst), Protocol: protocol}
			v.routes = append(v.routes, route{Route: r, dev: l.Name, objects: []string{routeObject(r), "link/" + l.Name}})
		}
	}
}

// sessions are the connections behind each link, before and after.
func (b *builder) sessions() map[string][]string {
	out := map[string][]string{}
	for _, s := range []*desired.State{b.Applied, b.Want} {
		if s == nil {
			continue
		}
		for _, l := range s.IPsec.Links {
			for i := range s.IPsec.Connections {
				if c := &s.IPsec.Connections[i]; c.IfID == l.IfID && !slices.Contains(out[l.Name], c.Name) {
					out[l.Name] = append(out[l.Name], c.Name)
				}
			}
		}
	}
	return out
}

// addSessions adds the routes into sessions of PPP, of this node's links and of who dials
// in. Those that are
// live have them already, by names that nobody knows beforehand.
func (b *builder) addSessions(v *view) {
	for i := range b.Want.PPP.Links {
		l := &b.Want.PPP.Links[i]
		for _, dst := range l.Routes {
			b.addSession(v, l.Object(), dst)
		}
		if l.DefaultRoute {
			b.addSession(v, l.Object(), netip.PrefixFrom(netip.IPv4Unspecified(), 0))
			if a, err := netip.ParseAddr(l.Server); err == nil {
				b.spare(v, a)
			}
		}
	}
	for i := range b.Want.PPP.Servers {
		s := &b.Want.PPP.Servers[i]
		for _, n := range s.Networks {
			for _, dst := range n.Prefixes {
				b.addSession(v, s.Object()+"/user/"+n.User, dst)
			}
		}
	}
}

func (b *builder) addSession(v *view, object string, dst netip.Prefix) {
	live := slices.ContainsFunc(v.routes, func(r route) bool { return r.Dst == dst && r.Protocol == protocol })
	if !live {
		r := rtnl.Route{Dst: dst, Table: rtnl.MainTable, Protocol: protocol}
		// Ahead of the host's own of the same prefix: a session's default route is taken.
		v.routes = slices.Insert(v.routes, 0, route{Route: r, dev: object, objects: []string{routeObject(r), object}})
	}
}

// spare adds the route to a server beside a default route into its session.
func (b *builder) spare(v *view, server netip.Addr) {
	if r, found := b.now().lookup(packet{dst: server}); found {
		r.Dst, r.Metric, r.objects = netip.PrefixFrom(server, server.BitLen()), 0, nil
		v.routes = append(v.routes, r)
	}
}

// pair is the traffic of one child, as a policy.
type pair struct {
	Policy
	// held means that a policy stands with or without an SA.
	held bool
}

// pairs are the policies that the children of a state may have in the kernel.
func (b *builder) pairs(s *desired.State) []pair {
	var out []pair
	if s == nil {
		return nil
	}
	for i := range s.IPsec.Connections {
		c := &s.IPsec.Connections[i]
		if c.IfID != 0 {
			continue // only what is routed into their link is theirs
		}
		for j := range c.Children {
			ch := &c.Children[j]
			for _, p := range cross(b.spans(ch.LocalTS, c.LocalAddrs), b.spans(ch.RemoteTS, c.RemoteAddrs)) {
				p.Connection, p.Child, p.Remote = c.Name, ch.Name, firstAddr(c.RemoteAddrs)
				// Who gets a virtual address has it on no connection that there is now.
				held := (ch.Hold == "trap" || ch.Initiate != desired.InitiateNever) && len(c.VIPs) == 0
				out = append(out, pair{p, held})
			}
		}
	}
	for _, by := range s.IPsec.Bypasses {
		spans := b.spans(by.LocalTS, nil)
		for _, p := range cross(spans, spans) {
			p.Pass = true
			out = append(out, pair{p, true})
		}
	}
	return out
}

// span is one side of a pair.
type span struct {
	prefix         netip.Prefix // not valid: any
	protocol, port string
}

// spans reads selectors. Those that cannot be read are nobody's: charon refuses them.
func (b *builder) spans(words, addrs []string) []span {
	if len(words) == 0 {
		words = []string{"dynamic"}
	}
	var out []span
	for _, word := range words {
		s, err := topology.ParseSelector(word)
		if err != nil {
			continue
		}
		prefixes := []netip.Prefix{s.Prefix}
		switch {
		case s.Dynamic:
			prefixes = hosts(addrs)
		case s.Range.From.IsValid():
			prefixes = desired.InRange(s.Range)
		}
		for _, p := range prefixes {
			out = append(out, span{p, s.Protocol, s.Port})
		}
	}
	return out
}

// hosts are addresses as prefixes; what is a name, or any, may be anywhere.
func hosts(addrs []string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range addrs {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return []netip.Prefix{{}}
		}
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
	}
	if len(out) == 0 {
		return []netip.Prefix{{}}
	}
	return out
}

func firstAddr(addrs []string) netip.Addr {
	for _, s := range addrs {
		if a, err := netip.ParseAddr(s); err == nil {
			return a
		}
	}
	return netip.Addr{}
}

// cross pairs both sides, those of one family and protocol.
func cross(local, remote []span) []Policy {
	var out []Policy
	for _, l := range local {
		for _, r := range remote {
			if l.prefix.IsValid() && r.prefix.IsValid() && l.prefix.Addr().Is4() != r.prefix.Addr().Is4() ||
				l.protocol != "" && r.protocol != "" && l.protocol != r.protocol {
				continue
			}
			ports := desired.Ports{Protocol: l.protocol, SourcePort: l.port, Port: r.port}
			if ports.Protocol == "" {
				ports.Protocol = r.protocol
			}
			out = append(out, Policy{Src: l.prefix, Dst: r.prefix, Ports: ports})
		}
	}
	return out
}

// classified are the policies that there are, ours by name.
func (b *builder) classified() []Policy {
	out := slices.Clone(b.Policies)
	pairs := b.pairs(b.Applied)
	for i := range out {
		if p := owner(&out[i], pairs); p != nil {
			out[i].Connection, out[i].Child = p.Connection, p.Child
		}
	}
	return out
}

// owner is the pair of which a policy of the kernel is the whole or a part: peers may
// agree on less than both have.
func owner(have *Policy, pairs []pair) *pair {
	var best *pair
	for i := range pairs {
		p := &pairs[i]
		if p.Pass == have.Pass && covers(p.Src, have.Src) && covers(p.Dst, have.Dst) && (best == nil || p.width() > best.width()) {
			best = p
		}
	}
	return best
}

func covers(wide, narrow netip.Prefix) bool {
	return !wide.IsValid() || narrow.IsValid() && wide.Bits() <= narrow.Bits() && wide.Contains(narrow.Addr())
}

// wantedPolicies are the policies that there will be: foreign ones, those of children that
// hold one in any case, and those of SAs that stay.
func (b *builder) wantedPolicies() []Policy {
	want := b.pairs(b.Want)
	var out []Policy
	for _, have := range b.classified() {
		ours := have.Connection != "" || have.Pass && owner(&have, b.pairs(b.Applied)) != nil
		if p := owner(&have, want); !ours || p != nil && p.Connection == have.Connection && p.Child == have.Child {
			out = append(out, have)
		}
	}
	for _, p := range want {
		if !p.held {
			continue
		}
		// Where the peer is now, it will be.
		for _, have := range out {
			if have.Connection == p.Connection && have.Child == p.Child && have.Remote.IsValid() && !p.Remote.IsValid() {
				p.Remote = have.Remote
			}
		}
		out = append(out, p.Policy)
	}
	return out
}

// filters are what of ours drops packets, as far as the plan sets it up: what stands
// already has let the connection through.
func (b *builder) filters() []filter {
	var out []filter
	for i := range b.Want.Netfilter.Guards {
		g := &b.Want.Netfilter.Guards[i]
		if b.plans(g.Object) {
			out = append(out, filter{g.Object, func(p packet, dev string) bool { return guarded(g, p, dev) }})
		}
	}
	for i := range b.Want.Netfilter.AntiSpoofs {
		a := &b.Want.Netfilter.AntiSpoofs[i]
		if b.plans(a.Object) {
			out = append(out, filter{a.Object, func(p packet, dev string) bool {
				return dev != a.Interface && slices.Contains(a.Addresses, p.src)
			}})
		}
	}
	return out
}

// guarded reports whether a guard drops a packet that no policy has taken.
func guarded(g *desired.Guard, p packet, dev string) bool {
	ike := p.proto == "esp" || p.proto == "udp" && (p.sport == 500 || p.sport == 4500)
	switch {
	case !covers(g.Source, single(p.src)) && p.src.IsValid(), !g.Dest.Contains(p.dst), !matches(g.Ports, p):
		return false
	case g.Interface != "" && dev == g.Interface, ike && (len(g.Peers) == 0 || slices.Contains(g.Peers, p.dst)):
		return false
	}
	return !slices.ContainsFunc(g.Local, func(l netip.Prefix) bool { return l.Contains(p.dst) })
}

func single(a netip.Addr) netip.Prefix {
	if !a.IsValid() {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, a.BitLen())
}
