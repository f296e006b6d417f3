package topology

// fill resolves what the file leaves to defaults that depend on other parts of
// it: addresses, ids, and what towards whom can start.
func (t *Topology) fill() {
	for i := range t.IPsec {
		t.fillConnection(&t.IPsec[i])
	}
	for i := range t.L2TP {
		l := &t.L2TP[i]
		if l.IPsec == nil {
			continue
		}
		if !l.IPsec.IDSet {
			l.IPsec.ID = t.serverID(l.Server, nil)
		}
		for j := range l.Clients {
			l.Clients[j].ID = t.nodeID(l.Clients[j].Node)
		}
	}
}

func (t *Topology) fillConnection(c *Connection) {
	for i := range c.Ends {
		t.fillEnd(&c.Ends[i])
	}
	if c.Server != nil {
		t.fillServer(c.Server)
	}
	for i := range c.Children {
		if !c.Children[i].StartActionSet {
			c.Children[i].StartAction = c.defaultStart()
		}
	}
}

// defaultStart is trap, unless nobody is known whom a trap could reach.
func (c *Connection) defaultStart() StartAction {
	if c.Server == nil && c.someNodeDials() {
		return StartTrap
	}
	return StartNone
}

// someNodeDials says whether one of the ends is a node that can reach the
// other first.
func (c *Connection) someNodeDials() bool {
	if len(c.Ends) != 2 {
		return false
	}
	a, b := &c.Ends[0], &c.Ends[1]
	return !a.Foreign && b.Dialable() || !b.Foreign && a.Dialable()
}

func (t *Topology) fillEnd(e *End) {
	node := t.Node(e.Name)
	e.Foreign = node == nil
	if node != nil && e.Addresses == nil && !e.Any {
		e.Addresses = node.Addresses
	}
	if !e.IDSet {
		e.ID = firstOr(e.Addresses, e.Name)
	}
}

func (t *Topology) fillServer(s *RemoteAccess) {
	if node := t.Node(s.Node); node != nil && s.Addresses == nil {
		s.Addresses = node.Addresses
	}
	if !s.IDSet {
		s.ID = t.serverID(s.Node, s.Addresses)
	}
	for i := range s.Clients {
		t.fillClient(s, &s.Clients[i])
	}
}

// fillClient gives a client the id and the kind of authentication that it does
// not say itself: a user's, a pre-shared key's or a certificate's.
func (t *Topology) fillClient(s *RemoteAccess, c *Client) {
	switch {
	case c.User != "":
	case s.Auth.Kind == AuthPSK:
		c.Auth.Kind, c.Auth.PSK = AuthPSK, s.Auth.PSK
	default:
		c.Auth.Kind = AuthCert
	}
	switch {
	case c.ID != "":
	case c.User != "":
		c.ID = c.User
	default:
		c.ID = t.nodeID(c.Node)
	}
}

// serverID is a server's default id: what clients know it by.
func (t *Topology) serverID(name string, addresses []Host) string {
	node := t.Node(name)
	switch {
	case node != nil && node.Hostname != "":
		return node.Hostname
	case len(addresses) > 0:
		return addresses[0].String()
	}
	return t.nodeID(name)
}

// nodeID is a node's first address, without one its name.
func (t *Topology) nodeID(name string) string {
	if node := t.Node(name); node != nil {
		return firstOr(node.Addresses, name)
	}
	return name
}

func firstOr(addresses []Host, name string) string {
	if len(addresses) > 0 {
		return addresses[0].String()
	}
	return name
}
