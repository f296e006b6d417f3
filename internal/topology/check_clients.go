package topology

import "slices"

// checkDialling says what becomes of wishes that a server, or charon, cannot fulfil.
func (c *checker) checkDialling(conn *Connection) {
	s := conn.Server
	for i := range s.Clients {
		cl := &s.Clients[i]
		c.checkResolvers(cl)
		everything := false
		for k := range conn.Children {
			own := conn.Children[k].SubnetsOf(s.Node)
			everything = everything || conn.Children[k].Mode == Tunnel && (len(own) == 0 ||
				slices.ContainsFunc(own, func(t Selector) bool { return t.Prefix.IsValid() && t.Prefix.Bits() == 0 }))
		}
		switch {
		case cl.DefaultRoute && !everything:
			c.warnf(c.under(cl.Pos, "default_route"), "has no effect: the server carries its subnets only")
		case !cl.DefaultRoute && everything && len(conn.Children) == 1 && len(conn.Children[0].SubnetsOf(s.Node)) < 2:
			c.warnf(cl.Pos, "reaches the other clients only: without default_route it takes no route to everything, and the server has no subnets")
		}
	}
}

// checkResolvers says that the resolvers of one server cannot be used without those of
// another: charon's plugin for them is loaded or not.
func (c *checker) checkResolvers(cl *Client) {
	first, seen := c.resolvers[cl.Node]
	if !seen {
		if c.resolvers == nil {
			c.resolvers = map[string]*Client{}
		}
		c.resolvers[cl.Node] = cl
		return
	}
	if first.UseDNS != cl.UseDNS {
		c.warnf(cl.Pos, "differs in use_dns from line %d, and charon on %s uses the resolvers of all servers or of none: it will of all",
			first.Pos.Line, cl.Node)
	}
}
