package desired

import (
	"cmp"
	"hash/fnv"
	"net/netip"
	"slices"
	"strconv"

	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/topology"
)

// tunnel is one connection while it is derived: what charon shall hold of it, and what
// routes and the packet filter need to know beside.
type tunnel struct {
	Connection
	// link is the XFRM interface of a route-based connection.
	link string
	// flows are what its children protect.
	flows []flow
	// peers are the far gateway's addresses, none where it may be anywhere; gateway is
	// what a route to it goes by.
	peers   []netip.Addr
	gateway string
	// carries means that the node forwards others' traffic through it.
	carries bool
	// opened means that its traffic has an open port of its own.
	opened bool
}

// ipsecBuilder collects what charon shall hold.
type ipsecBuilder struct {
	*deriver
	tunnels []tunnel
	held    IPsec
	users   map[string]secret.ID // passwords by name: charon looks no further
}

// ipsec derives what charon shall hold, and the tunnels as the rest needs them.
func (d *deriver) ipsec() (IPsec, []tunnel) {
	b := &ipsecBuilder{deriver: d, users: map[string]secret.ID{}}
	for i := range d.IPsec {
		b.connection(&d.IPsec[i])
	}
	for i := range d.L2TP {
		b.l2tp(&d.L2TP[i])
	}
	b.number()
	for i := range b.tunnels {
		t := &b.tunnels[i]
		b.held.Connections = append(b.held.Connections, t.Connection)
		b.route(t)
		b.keepLocal(t)
	}
	b.sort()
	return b.held, b.tunnels
}

// connection derives the node's part in a connection, if it has one.
func (b *ipsecBuilder) connection(c *topology.Connection) {
	for i := range c.Ends {
		if e := &c.Ends[i]; !e.Foreign && e.Name == b.node {
			b.between(c, e, &c.Ends[1-i])
			return
		}
	}
	if c.Server == nil {
		return
	}
	if c.Server.Node == b.node {
		b.server(c)
		return
	}
	for i := range c.Server.Clients {
		if cl := &c.Server.Clients[i]; cl.Node == b.node {
			b.client(c, cl)
		}
	}
}

// common is what a connection is whoever looks at it.
func common(c *topology.Connection) tunnel {
	return tunnel{link: c.Interface, Connection: Connection{
		Name: c.Name, Origin: "ipsec/" + c.Name, Version: c.IKEVersion, Proposals: slices.Clone(c.IKEProposals),
		RekeyTime: c.IKERekey, DPDDelay: c.DPD.Delay, DPDTimeout: c.DPD.Timeout,
		Settings: settings(c.Settings), FailClosed: c.FailClosed,
	}}
}

// child is what a child is whoever looks at it.
func child(c *topology.Child) Child {
	return Child{
		Name: c.Name, Mode: string(c.Mode), Protocol: string(c.Protocol), Proposals: slices.Clone(c.Proposals),
		RekeyTime: c.Rekey, Settings: settings(c.Settings),
		Hold: string(topology.StartNone), DPDAction: string(topology.DPDClear),
	}
}

func settings(all []topology.Setting) []Setting {
	var out []Setting
	for _, s := range all {
		out = append(out, Setting(s))
	}
	return out
}

// number gives each route-based connection an if_id that depends on nothing but its name
// and, once in four thousand million times, on those of the others. The upper half of the
// numbers is ours: charon gives out its own (%unique) from 1 on.
func (b *ipsecBuilder) number() {
	taken := map[uint32]bool{}
	for i := range b.tunnels {
		for _, all := range b.tunnels[i].allSettings() {
			for _, s := range all {
				if n, err := strconv.ParseUint(s.Value, 0, 32); err == nil && (s.Key == "if_id_in" || s.Key == "if_id_out") {
					taken[uint32(n)] = true
				}
			}
		}
	}
	for i := range b.tunnels {
		t := &b.tunnels[i]
		if t.link == "" {
			continue
		}
		h := fnv.New32a()
		_, _ = h.Write([]byte(t.Name))
		id := h.Sum32() | 1<<31
		for taken[id] {
			id = (id + 1) | 1<<31
		}
		taken[id] = true
		t.IfID = id
	}
}

func (t *tunnel) allSettings() [][]Setting {
	all := [][]Setting{t.Settings}
	for i := range t.Children {
		all = append(all, t.Children[i].Settings)
	}
	return all
}

// route leads the far subnets into the tunnel: into its link, or, where policies take
// them out of any way, along that to the peer.
func (b *ipsecBuilder) route(t *tunnel) {
	link := XFRMLink{Name: t.link, IfID: t.IfID}
	for _, f := range t.flows {
		switch {
		case !f.remote.IsValid() || f.peer:
		case t.link != "" && f.remote.Bits() > 0:
			link.Routes = append(link.Routes, f.remote)
		case t.link == "" && t.gateway != "" && f.tunnelled:
			b.held.Routes = append(b.held.Routes, SelectorRoute{Dst: f.remote, Peer: t.gateway})
		}
	}
	if t.link != "" {
		link.Routes = normal(link.Routes)
		b.held.Links = append(b.held.Links, link)
	}
}

// keepLocal makes a pass shunt where a policy would take what stays among the end's own
// subnets.
func (b *ipsecBuilder) keepLocal(t *tunnel) {
	local := t.local()
	if t.link != "" || len(local) == 0 {
		return
	}
	p := Bypass{Name: "local-" + t.Name}
	for slices.ContainsFunc(b.IPsec, func(c topology.Connection) bool { return c.Name == p.Name }) {
		p.Name += "_"
	}
	for _, l := range local {
		p.LocalTS = append(p.LocalTS, l.String())
	}
	b.held.Bypasses = append(b.held.Bypasses, p)
}

// sort brings everything into an order that does not depend on that of the connections,
// and leaves out what stands there twice.
func (b *ipsecBuilder) sort() {
	h := &b.held
	slices.SortFunc(h.Secrets, func(x, y CharonSecret) int { return cmp.Compare(x.Name, y.Name) })
	slices.SortFunc(h.Pools, func(x, y Pool) int { return cmp.Compare(x.Name, y.Name) })
	slices.SortFunc(h.Credentials, func(x, y Credential) int { return cmp.Compare(x.Path, y.Path) })
	slices.SortFunc(h.Links, func(x, y XFRMLink) int { return cmp.Compare(x.Name, y.Name) })
	slices.SortStableFunc(h.Routes, func(x, y SelectorRoute) int { return comparePrefixes(x.Dst, y.Dst) })
	h.Routes = slices.CompactFunc(h.Routes, func(x, y SelectorRoute) bool { return x.Dst == y.Dst })
}
