package desired

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/vpnctl/vpnctl/internal/topology"
)

// server derives the side that clients dial.
func (b *ipsecBuilder) server(c *topology.Connection) {
	s := c.Server
	t := common(c)
	t.Connection.Server, t.carries = true, true
	t.LocalAddrs, t.RemoteAddrs = texts(s.Addresses), []string{anywhere}
	t.Local = b.proof(c, s.ID, &s.Auth)
	t.Remote = b.clients(c)
	if s.Auth.Kind == topology.AuthPSK {
		b.sharedKey(c, s.Auth.PSK, s.ID)
	}
	if t.Remote.EAPID != "" && s.Auth.Kind == topology.AuthCert {
		// Not every client that logs in by name asks for the certificate.
		t.setDefault("send_cert", "always")
	}
	for _, cl := range s.Clients {
		t.Clients = append(t.Clients, DialIn{Node: cl.Node, ID: cl.ID})
	}
	t.Pools = b.pools(c)
	virtual := poolPrefixes(s)
	for i := range c.Children {
		from := &c.Children[i]
		ch := child(from)
		local := served(s, from)
		ch.LocalTS = selectors(local)
		t.Children = append(t.Children, ch)
		for _, f := range flows(spans(local, known(s.Addresses)), spans(nil, virtual), from.Mode) {
			f.peer = false // a virtual address is behind its client
			t.flows = append(t.flows, f)
		}
	}
	b.tunnels = append(b.tunnels, t)
}

// setDefault adds a setting that the topology does not say.
func (c *Connection) setDefault(key, value string) {
	at, found := slices.BinarySearchFunc(c.Settings, key, func(s Setting, key string) int {
		switch {
		case s.Key < key:
			return -1
		case s.Key > key:
			return 1
		}
		return 0
	})
	if !found {
		c.Settings = slices.Insert(c.Settings, at, Setting{Key: key, Value: value})
	}
}

// clients is what a server asks of those who dial in.
func (b *ipsecBuilder) clients(c *topology.Connection) Auth {
	s := c.Server
	a := Auth{ID: anywhere, Method: "pubkey"}
	switch {
	case len(s.Users) > 0 || s.Auth.EAP != nil:
		a.Method, a.EAPID = "eap-"+method(s), anywhere
		for i := range s.Users {
			b.password(s.Users[i].Name, s.Users[i].Password)
		}
		if method(s) != "tls" {
			return a
		}
	case s.Auth.Kind == topology.AuthPSK:
		a.Method = "psk"
		return a
	}
	a.CACerts, _ = b.certificates(c, folderCA, s.Auth.CA)
	return a
}

func method(s *topology.RemoteAccess) string {
	if s.Auth.EAP == nil {
		return "mschapv2"
	}
	return s.Auth.EAP.Method
}

// client derives the side of a node that dials in.
func (b *ipsecBuilder) client(c *topology.Connection, cl *topology.Client) {
	s := c.Server
	t := common(c)
	t.RemoteAddrs, t.UseDNS, t.DefaultRoute = texts(s.Addresses), cl.UseDNS, cl.DefaultRoute
	if peers := literal(s.Addresses); len(peers) == len(s.Addresses) {
		t.peers = peers
	}
	t.Local, t.Remote = b.clientAuth(c, cl)
	for _, v6 := range families(s) {
		t.VIPs = append(t.VIPs, everything(v6).Addr().String())
	}
	for i := range c.Children {
		from := &c.Children[i]
		ch := child(from)
		remote := asked(s, cl, from)
		ch.RemoteTS = selectors(remote)
		// The link is kept up from here unless the file says otherwise. A trap would stand
		// on the host's own address, and the traffic is to have the virtual one.
		if !from.StartActionSet || from.StartAction == topology.StartStart {
			ch.Initiate, ch.DPDAction = InitiateFirst, string(topology.DPDRestart)
		} else {
			ch.Hold, ch.DPDAction = string(from.StartAction), string(from.StartAction.DPDAction())
		}
		if from.DPDAction != "" {
			ch.DPDAction = string(from.DPDAction)
		}
		t.Children = append(t.Children, ch)
		t.flows = append(t.flows, flows(spans(nil, nil), spans(remote, known(s.Addresses)), from.Mode)...)
	}
	b.tunnels = append(b.tunnels, t)
}

// clientAuth is what a client brings, and what it asks of the server.
func (b *ipsecBuilder) clientAuth(c *topology.Connection, cl *topology.Client) (local, remote Auth) {
	s := c.Server
	if cl.User == "" {
		local = b.proof(c, cl.ID, &cl.Auth)
		if s.Auth.EAP != nil && method(s) == "tls" {
			local.Method, local.EAPID = "eap-tls", cl.ID
		}
	} else {
		local = Auth{Method: dialling(method(s)), ID: cl.ID, EAPID: cl.User}
		for i := range s.Users {
			if u := &s.Users[i]; u.Name == cl.User {
				b.password(u.Name, u.Password)
			}
		}
	}
	ca := cl.Auth.CA
	if ca == nil {
		ca = s.Auth.CA
	}
	remote = b.expected(c, s.Node, s.ID, &s.Auth, ca)
	if s.Auth.Kind == topology.AuthPSK {
		b.sharedKey(c, s.Auth.PSK, s.ID, cl.ID)
	}
	return local, remote
}

// served are the selectors that a server offers: what the file says, else everything that
// a client can have an address for.
func served(s *topology.RemoteAccess, c *topology.Child) []topology.Selector {
	if own := c.SubnetsOf(s.Node); len(own) > 0 || c.Mode == topology.Transport {
		return own
	}
	var all []topology.Selector
	for _, v6 := range families(s) {
		all = append(all, topology.Selector{Prefix: everything(v6)})
	}
	return all
}

// asked are the selectors that a client asks for. Without default_route that is never
// everything: where the server offers nothing else, it is the addresses of its clients.
func asked(s *topology.RemoteAccess, cl *topology.Client, c *topology.Child) []topology.Selector {
	all := served(s, c)
	if cl.DefaultRoute {
		return all
	}
	narrow := slices.DeleteFunc(slices.Clone(all), func(t topology.Selector) bool {
		return !t.Dynamic && t.Prefix.IsValid() && t.Prefix.Bits() == 0
	})
	if len(narrow) > 0 || len(all) == 0 {
		return narrow
	}
	for _, p := range poolPrefixes(s) {
		narrow = append(narrow, topology.Selector{Prefix: p})
	}
	return narrow
}

// families are those of a server's pools, false for IPv4.
func families(s *topology.RemoteAccess) []bool {
	var out []bool
	for _, v6 := range []bool{false, true} {
		if slices.ContainsFunc(s.Pools, func(r topology.Range) bool { return r.From.Is6() == v6 }) {
			out = append(out, v6)
		}
	}
	return out
}

func poolPrefixes(s *topology.RemoteAccess) []netip.Prefix {
	var out []netip.Prefix
	for _, r := range s.Pools {
		if r.Prefix.IsValid() {
			out = append(out, r.Prefix.Masked())
			continue
		}
		out = append(out, InRange(r)...)
	}
	return normal(out)
}

// pools derives a server's pools and returns their names: NAME-4 and NAME-6, and NAME-4_2
// where there are several of a family. Each hands out the resolvers of its family; those
// of a family without pool are handed out with the first.
func (b *ipsecBuilder) pools(c *topology.Connection) []string {
	count := map[string]int{}
	var names []string
	for i, r := range c.Server.Pools {
		v6 := r.From.Is6()
		name := c.Name + "-4"
		if v6 {
			name = c.Name + "-6"
		}
		p := Pool{Name: name, Addrs: r.String()}
		if count[name]++; count[name] > 1 {
			p.Name += "_" + strconv.Itoa(count[name])
		}
		for _, a := range c.Server.DNS {
			if a.Is6() == v6 || i == 0 && !slices.Contains(families(c.Server), a.Is6()) {
				p.DNS = append(p.DNS, a)
			}
		}
		b.held.Pools = append(b.held.Pools, p)
		names = append(names, p.Name)
	}
	return names
}
