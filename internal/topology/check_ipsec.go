package topology

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/proposal"
	"github.com/vpnctl/vpnctl/internal/topology/spelling"
)

// The UDP ports that a node with IPsec or L2TP needs for itself.
const (
	ikePort  = 500
	natTPort = 4500
	l2tpPort = 1701
)

func (c *checker) checkIPsec() {
	for i := range c.t.IPsec {
		conn := &c.t.IPsec[i]
		if conn.Server != nil {
			c.checkRemoteAccess(conn)
		} else {
			c.checkEnds(conn)
		}
		c.checkVersion(conn)
		c.checkInterface(conn)
		for j := range conn.Children {
			c.checkChild(conn, &conn.Children[j])
		}
		for _, node := range conn.nodes() {
			c.claimIKE(node, conn.Pos)
		}
	}
	c.checkSharedKeys()
}

// nodes are the nodes that have the connection.
func (c *Connection) nodes() []string {
	var names []string
	for i := range c.Ends {
		if !c.Ends[i].Foreign {
			names = append(names, c.Ends[i].Name)
		}
	}
	if c.Server != nil {
		names = append(names, c.Server.Node)
		for i := range c.Server.Clients {
			names = append(names, c.Server.Clients[i].Node)
		}
	}
	return names
}

func (c *checker) claimIKE(node string, pos Pos) {
	c.claimPort(portKey{node, ikePort}, "IKE", pos)
	c.claimPort(portKey{node, natTPort}, "IKE", pos)
}

func (c *checker) checkEnds(conn *Connection) {
	if len(conn.Ends) != 2 {
		return
	}
	a, b := &conn.Ends[0], &conn.Ends[1]
	switch {
	case len(c.names) == 0:
	case a.Foreign && b.Foreign:
		c.errorf(c.under(conn.Pos, "ends"), "neither %s nor %s is a node of this file%s", a.Name, b.Name, c.choice(a.Name, "nodes", c.names))
	case !a.Foreign && !b.Foreign && !conn.someNodeDials():
		c.errorf(conn.Pos, "neither %s nor %s can be dialled: give one of them an address", a.Name, b.Name)
	}
	for _, e := range []*End{a, b} {
		c.suspectEnd(e)
	}
	if a.ID == b.ID {
		c.errorf(c.under(b.Pos, "id"), "%q is what %s is called already (line %d): the ends need different ids", shorten(b.ID), a.Name, a.Pos.Line)
	}
	c.checkEndsAuth(conn)
}

// suspectEnd warns about a foreign end that looks like a node's mistyped name:
// it has nothing that only a foreign end needs to say.
func (c *checker) suspectEnd(e *End) {
	if !e.Foreign || len(e.Addresses) > 0 || e.Any {
		return
	}
	if near := spelling.Nearest(e.Name, c.names); near != "" {
		c.warnf(e.Pos, "is no node of this file, so it is a foreign end without address (did you mean %q?)", near)
	}
}

func (c *checker) checkRemoteAccess(conn *Connection) {
	s := conn.Server
	c.node(c.under(conn.Pos, "server"), s.Node)
	what := "ipsec." + conn.Name
	for i, pool := range s.Pools {
		c.addSpan(span{Range: pool, what: "a pool of " + what, pos: c.under(conn.Pos, "pools", i)})
	}
	tunnels := slices.ContainsFunc(conn.Children, func(ch Child) bool { return ch.Mode == Tunnel })
	if tunnels && len(s.Pools) == 0 && !c.writes(conn.Pos, "pools") {
		c.errorf(conn.Pos, "needs pools: clients get their addresses from there")
	}
	c.checkServerAuth(conn)
	if conn.IKEVersion == 1 {
		c.warnf(conn.Pos, "cannot be used from Android 12 and later, which have no IKEv1; ike_version: 2 works there")
	}
	for i := range s.Clients {
		c.checkClient(&s.Clients[i], s.Node, s.Users)
		if len(s.Addresses) == 0 && c.t.Node(s.Node) != nil {
			c.errorf(s.Clients[i].Pos, "cannot dial %s, which has no address", s.Node)
		}
	}
	c.checkDialling(conn)
	mschap := s.Auth.EAP == nil || s.Auth.EAP.Method == "mschapv2"
	for i := range s.Users {
		c.checkPassword(s.Users[i].Password, false, mschap)
	}
}

// checkClient checks what clients of all protocols have in common.
func (c *checker) checkClient(cl *Client, server string, users []User) {
	c.node(cl.Pos, cl.Node)
	if cl.Node == server {
		c.errorf(cl.Pos, "is the server itself")
	}
	if cl.User == "" {
		return
	}
	if _, known := findUser(users, cl.User); !known {
		names := make([]string, len(users))
		for i := range users {
			names[i] = users[i].Name
		}
		c.errorf(c.under(cl.Pos, "user"), "%q is none of the users%s", shorten(cl.User), c.choice(cl.User, "users", names))
	}
}

func findUser(users []User, name string) (*User, bool) {
	i, found := slices.BinarySearchFunc(users, name, func(u User, name string) int { return strings.Compare(u.Name, name) })
	if !found {
		return nil, false
	}
	return &users[i], true
}

// checkVersion says what the version of IKE has no use for.
func (c *checker) checkVersion(conn *Connection) {
	if conn.IKEVersion == 2 {
		if conn.DPD.Timeout != 0 {
			c.warnf(c.under(conn.Pos, "dpd", "timeout"), "has no effect: it counts for ike_version: 1 only, and IKEv2 gives up after its retransmissions")
		}
		return
	}
	c.checkStripped(conn.IKEProposals, proposal.IKE, conn.Pos, "ike_proposals")
	for i := range conn.Children {
		for _, end := range conn.Children[i].Subnets {
			if len(end.Selectors) > 1 {
				c.warnf(conn.Children[i].Pos, "has %d subnets at %s, and IKEv1 carries one: make a child of each", len(end.Selectors), end.End)
			}
		}
	}
}

// checkStripped warns about alternatives that IKEv1 cannot offer.
func (c *checker) checkStripped(words []string, kind proposal.Protocol, pos Pos, key string) {
	for i, word := range words {
		p, err := proposal.Parse(kind, word)
		if err != nil {
			continue
		}
		if surplus := p.Stripped(); len(surplus) > 0 {
			c.warnf(c.under(pos, key, i), "%s has no effect in it: an IKEv1 proposal has one algorithm of each kind; make two proposals",
				strings.Join(surplus, ", "))
		}
	}
}

func (c *checker) checkInterface(conn *Connection) {
	if conn.Interface == "" {
		return
	}
	for _, key := range []string{"if_id_in", "if_id_out"} {
		if settingValue(conn.Settings, key) != "" {
			c.errorf(c.under(conn.Pos, key), "cannot stand beside interface, which sets it")
		}
	}
	for _, node := range conn.nodes() {
		if !c.claimInterface(interfaceKey{node: node, name: conn.Interface}, "ipsec."+conn.Name, conn.InterfacePos) {
			return
		}
	}
	for i := range conn.Children {
		c.checkLoop(conn, &conn.Children[i])
	}
}

// checkLoop refuses a route into an interface that leads the interface's own packets there.
// The default routes are never made.
func (c *checker) checkLoop(conn *Connection, child *Child) {
	for i := 0; len(conn.Ends) == 2 && i < 2; i++ {
		far := &conn.Ends[i]
		if conn.Ends[1-i].Foreign {
			continue
		}
		for _, s := range child.SubnetsOf(far.Name) {
			for _, h := range far.Addresses {
				if h.Addr.IsValid() && s.Prefix.IsValid() && s.Prefix.Bits() > 0 && s.Prefix.Contains(h.Addr) {
					c.errorf(child.Pos, "leads %s into %s, and with it %s, where the tunnel's own packets go: take %s out of the subnets, or leave interface out",
						s.Prefix, conn.Interface, h.Addr, far.Name)
				}
			}
		}
	}
}

func (c *checker) checkChild(conn *Connection, child *Child) {
	if child.Protocol == AH {
		c.warnf(child.Pos, "uses AH, which encrypts nothing: everybody on the way can read it")
	}
	if child.StartActionSet && child.StartAction != StartNone && !conn.canStart() {
		c.errorf(c.childPos(conn, child, "start_action"),
			"is %s, and no node can act on it: %s", child.StartAction, conn.whyNobody())
	}
	if conn.FailClosed {
		c.checkGuard(conn, child)
	}
	if len(child.Subnets) == 2 && !commonFamily(child.Subnets[0].Selectors, child.Subnets[1].Selectors) {
		c.errorf(child.Pos, "joins IPv4 with IPv6: the subnets of %s and %s have no family in common",
			child.Subnets[0].End, child.Subnets[1].End)
	}
}

// childPos is where a key of a child stands, or that of its connection.
func (c *checker) childPos(conn *Connection, child *Child, key string) Pos {
	if c.writes(child.Pos, key) {
		return c.under(child.Pos, key)
	}
	return c.under(conn.Pos, key)
}

// canStart says whether some node can set the connection up.
func (c *Connection) canStart() bool {
	if c.Server != nil {
		return len(c.Server.Clients) > 0 && len(c.Server.Addresses) > 0
	}
	return c.someNodeDials()
}

func (c *Connection) whyNobody() string {
	if c.Server != nil {
		return "clients dial a server, and no node is one; use none"
	}
	return "there is no address that a node could dial; use none, or give the far end an address"
}

// checkGuard says where fail_closed covers nothing, because nobody knows
// beforehand where the traffic will go.
func (c *checker) checkGuard(conn *Connection, child *Child) {
	for i := 0; len(conn.Ends) == 2 && i < 2; i++ {
		far := &conn.Ends[1-i]
		if conn.Ends[i].Foreign || known(far, child.SubnetsOf(far.Name)) {
			continue
		}
		c.warnf(child.Pos, "fail_closed covers nothing on %s: where %s is cannot be known beforehand; give it subnets",
			conn.Ends[i].Name, far.Name)
	}
	if conn.Server != nil && len(conn.Server.Pools) == 0 {
		c.warnf(child.Pos, "fail_closed covers nothing on %s: without pools no address of a client is known beforehand", conn.Server.Node)
	}
}

// known says whether an end's selectors are known without asking anybody.
func known(e *End, selectors []Selector) bool {
	if len(selectors) > 0 {
		return !slices.ContainsFunc(selectors, func(s Selector) bool { return s.Dynamic && !fixed(e) })
	}
	return fixed(e)
}

func fixed(e *End) bool {
	return e.Dialable() && !slices.ContainsFunc(e.Addresses, func(h Host) bool { return !h.Addr.IsValid() })
}

// commonFamily says whether two sets of selectors can have traffic. What is
// dynamic, and an end without any, may be of either family.
func commonFamily(a, b []Selector) bool {
	families := func(all []Selector) (v4, v6 bool) {
		for _, s := range all {
			addr := s.family()
			v4 = v4 || addr == netip.Addr{} || addr.Is4()
			v6 = v6 || addr == netip.Addr{} || addr.Is6()
		}
		return v4 || len(all) == 0, v6 || len(all) == 0
	}
	a4, a6 := families(a)
	b4, b6 := families(b)
	return a4 && b4 || a6 && b6
}
