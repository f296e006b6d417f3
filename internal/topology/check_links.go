package topology

import (
	"net/netip"
	"slices"
)

// dialled4 is where clients of PPP dial the node, the zero Host where they
// cannot: their daemons know IPv4 alone.
func (n *Node) dialled4() Host {
	i := slices.IndexFunc(n.Addresses, func(h Host) bool { return !h.Addr.Is6() })
	if i < 0 {
		return Host{}
	}
	return n.Addresses[i]
}

// link is a node's way into a server of PPP.
type link struct {
	*Client
	server *Node // nil where there is no such node
	what   string
	l2tp   *L2TP // nil for PPTP
}

// checkLinks checks what the links of one node have to do with each other.
func (c *checker) checkLinks() {
	links := map[string][]link{}
	add := func(p *PPP, kind string, l *L2TP) {
		for i := range p.Clients {
			cl := &p.Clients[i]
			links[cl.Node] = append(links[cl.Node], link{cl, c.t.Node(p.Server), kind + "." + p.Name, l})
		}
	}
	for i := range c.t.L2TP {
		add(&c.t.L2TP[i].PPP, "l2tp", &c.t.L2TP[i])
	}
	for i := range c.t.PPTP {
		add(&c.t.PPTP[i].PPP, "pptp", nil)
	}
	for _, node := range c.names {
		c.checkRoutes(links[node])
		c.checkClearL2TP(node, links[node])
	}
}

// checkRoutes refuses what can lead into one of a node's links only.
func (c *checker) checkRoutes(links []link) {
	routes := map[netip.Prefix]link{}
	for _, l := range links {
		wanted := slices.Compact(slices.Clone(l.Routes))
		if l.DefaultRoute {
			wanted = append(wanted, netip.PrefixFrom(netip.IPv4Unspecified(), 0))
		}
		for i, r := range wanted {
			key := "routes"
			if i == len(wanted)-1 && l.DefaultRoute {
				key = "default_route"
			} else if r.Bits() == 0 {
				c.errorf(c.under(l.Pos, key), "%s is the host's own default route, too: say default_route: true, which leaves that alone", r)
				continue
			}
			if first, taken := routes[r]; taken {
				c.errorf(c.under(l.Pos, key), "%s leads into %s already (line %d)", r, first.what, first.Pos.Line)
				continue
			}
			routes[r] = l
		}
	}
}

// checkOuter refuses to give sessions an address that the tunnel itself goes
// from or to: whoever gets it is where its outer packets would be led.
func (c *checker) checkOuter(p *PPP) {
	for _, name := range append([]string{p.Server}, clientNodes(p.Clients)...) {
		n := c.t.Node(name)
		if n == nil {
			continue
		}
		for _, h := range n.Addresses {
			for i, pool := range p.Pools {
				if h.Addr.IsValid() && pool.Contains(h.Addr) {
					c.errorf(c.under(p.Pos, "pools", i), "holds %s, the outer address of %s: its tunnel would be routed into itself", h.Addr, name)
				}
			}
			for i := range p.Users {
				if u := &p.Users[i]; h.Addr.IsValid() && u.Address == h.Addr {
					c.errorf(u.AddressPos, "%s is the outer address of %s: its tunnel would be routed into itself", h.Addr, name)
				}
			}
		}
	}
}

// checkClearL2TP refuses L2TP with and without IPsec on one node where the
// packet filter could not tell the two apart: what is to be in IPsec is dropped
// in clear, and only an address says which is which.
func (c *checker) checkClearL2TP(node string, links []link) {
	serves := [2]*L2TP{} // in clear, protected
	for i := range c.t.L2TP {
		if l := &c.t.L2TP[i]; l.Server == node {
			serves[kindOf(l)] = l
		}
	}
	dials := [2][]link{}
	for _, l := range links {
		if l.l2tp != nil {
			dials[kindOf(l.l2tp)] = append(dials[kindOf(l.l2tp)], l)
		}
	}
	// Whom the server serves may call from anywhere, so that the others are told by address.
	named, beside := dials[0], serves[1] != nil || len(dials[1]) > 0
	if serves[0] != nil {
		named, beside = dials[1], true
	}
	for _, l := range named {
		if beside && l.server != nil && !l.server.dialled4().Addr.IsValid() && !l.server.dialled4().IsZero() {
			c.errorf(l.Pos, "cannot be told by the packet filter of %s from its other L2TP, one of which runs in clear: %s is a name; put an address first",
				node, l.server.dialled4())
		}
	}
}

// kindOf is 0 for L2TP in clear, 1 for protected.
func kindOf(l *L2TP) int {
	if l.IPsec == nil {
		return 0
	}
	return 1
}
