package topology

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/proposal"
	"github.com/vpnctl/vpnctl/internal/secret"
)

func (c *checker) checkPPP() {
	servers := map[string]claim{}
	for i := range c.t.L2TP {
		l := &c.t.L2TP[i]
		c.checkServer(&l.PPP, "l2tp", servers)
		c.checkL2TP(l)
	}
	clear(servers)
	for i := range c.t.PPTP {
		p := &c.t.PPTP[i]
		c.checkServer(&p.PPP, "pptp", servers)
		c.checkPPTP(p)
	}
	c.checkLinks()
}

func (c *checker) checkL2TP(l *L2TP) {
	c.warnf(l.Pos, "cannot be used from Android 12 and later, which have no L2TP; IKEv2 works there")
	for _, node := range append([]string{l.Server}, clientNodes(l.Clients)...) {
		c.claimPort(portKey{node, l2tpPort}, "L2TP", l.Pos)
		if l.IPsec != nil {
			c.claimIKE(node, l.Pos)
		}
	}
	for i := range c.t.IPsec {
		if conn := &c.t.IPsec[i]; conn.Name == "l2tp-"+l.Name {
			c.errorf(conn.Pos, "is what charon calls the connection below l2tp.%s (line %d): use another name", l.Name, l.Pos.Line)
		}
	}
	if l.IPsec == nil {
		c.warnf(l.Pos, "runs in clear: everybody on the way can read it")
		return
	}
	c.checkHidden(l)
	auth := &l.IPsec.Auth
	switch auth.Kind {
	case AuthPSK:
		c.checkPSK(auth.PSK)
	case AuthCert:
		for _, key := range []string{"cert", "key", "ca"} {
			c.needAuth(auth, key, "server and clients prove themselves with certificates")
		}
	}
	c.checkStripped(l.IPsec.IKEProposals, proposal.IKE, l.IPsec.Pos, "ike_proposals")
	c.checkStripped(l.IPsec.ESPProposals, proposal.ESP, l.IPsec.Pos, "esp_proposals")
}

// checkHidden warns of clients that may be behind one NAT: there all have one
// address, and xl2tpd calls from one port.
func (c *checker) checkHidden(l *L2TP) {
	var hidden []string
	for _, name := range clientNodes(l.Clients) {
		if n := c.t.Node(name); n != nil && len(n.Addresses) == 0 {
			hidden = append(hidden, name)
		}
	}
	if len(hidden) > 1 {
		c.warnf(l.Pos, "has clients without address, %s: behind one NAT the server's kernel could not tell them apart, and each might get the other's packets",
			strings.Join(hidden, ", "))
	}
}

func clientNodes(clients []Client) []string {
	names := make([]string, len(clients))
	for i := range clients {
		names[i] = clients[i].Node
	}
	return names
}

func (c *checker) checkPPTP(p *PPTP) {
	c.warnf(p.Pos, "is PPTP: MS-CHAPv2 and MPPE are broken cryptography, and whoever records a session can read it")
	c.warnf(p.Pos, "cannot be used from Apple's systems nor from Android 12 and later, which have no PPTP; IKEv2 works there")
	if p.MPPE && len(p.Auth) > 0 && !slices.Equal(p.Auth, []PPPAuth{MSCHAPv2}) {
		c.errorf(c.under(p.Pos, "auth"), "must be [mschapv2] with mppe: required: MPPE takes its keys from there")
	}
	// With max_sessions it reads only as much of them.
	if n := remoteipLength(p.Pools); n > maxRemoteip && p.MaxSessions == 0 {
		c.errorf(c.under(p.Pos, "pools"), "are too many: pptpd reads them from one line of %d bytes, in which each /24 has a range of its own, and this would be one of %d",
			maxRemoteip, n)
	}
}

// maxRemoteip is the longest line that pptpd reads; a longer one it leaves out.
const maxRemoteip = 509

// remoteipLength is how long the line is in which pptpd.conf has the pools, each /24 apart.
func remoteipLength(pools []Range) int {
	n := len("remoteip")
	for _, r := range pools {
		if !r.From.Is4() || !r.To.Is4() {
			continue // another error
		}
		for from := r.From; n <= 1<<12; {
			last := from.As4()
			last[3] = 255
			to := netip.AddrFrom4(last)
			if r.To.Less(to) {
				to = r.To
			}
			n += len(" ") + len(from.String())
			if to != from {
				n += len(fmt.Sprintf("-%d", to.As4()[3]))
			}
			if to == r.To {
				break
			}
			from = to.Next()
		}
	}
	return n
}

// minIPv6MTU is what every link of IPv6 has to carry.
const minIPv6MTU = 1280

// checkServer checks what L2TP and PPTP have in common.
func (c *checker) checkServer(p *PPP, kind string, servers map[string]claim) {
	node := c.node(c.under(p.Pos, "server"), p.Server)
	if first, twice := servers[p.Server]; twice && p.Server != "" {
		c.errorf(c.under(p.Pos, "server"), "is the second %s server on %s, which can have one: %s (line %d) is there already",
			kind, p.Server, first.what, first.pos.Line)
	}
	servers[p.Server] = claim{p.Name, p.Pos}
	c.checkPPPFamily(p)
	c.checkPPPPools(p, kind+"."+p.Name)
	c.checkPPPUsers(p, kind+"."+p.Name)
	c.checkOuter(p)
	if p.Users == nil && p.Radius == nil && !c.writes(p.Pos, "users") && !c.writes(p.Pos, "radius") {
		c.errorf(p.Pos, "needs users or radius: nobody could log in")
	}
	if p.Radius != nil {
		c.checkRadius(p)
	}
	if p.IPv6() && p.MTU != 0 && p.MTU < minIPv6MTU {
		c.errorf(c.under(p.Pos, "mtu"), "is %d, and IPv6, which the clients route, needs %d (RFC 8200, section 5)", p.MTU, minIPv6MTU)
	}
	if len(p.DNS) > 2 {
		c.errorf(c.under(p.Pos, "dns", 2), "is one too many: pppd hands out two")
	}
	loggedIn := map[string]*Client{}
	for i := range p.Clients {
		c.checkPPPClient(p, &p.Clients[i], node)
		c.checkFixedLogin(p, &p.Clients[i], loggedIn)
	}
	if node != nil && len(p.Clients) > 0 && slices.Contains(node.Addresses, Host{Addr: p.LocalIP}) {
		c.errorf(p.LocalIPPos, "%s is the outer address of %s: a node that dials in would route the tunnel into itself; use another",
			p.LocalIP, p.Server)
	}
}

func (c *checker) checkPPPClient(p *PPP, cl *Client, server *Node) {
	c.checkClient(cl, p.Server, p.Users)
	if cl.User == "" && !c.writes(cl.Pos, "user") {
		c.errorf(cl.Pos, "needs user: whom it logs in as")
	}
	switch {
	case server == nil:
	case len(server.Addresses) == 0:
		c.errorf(cl.Pos, "cannot dial %s, which has no address", p.Server)
	case server.dialled4().IsZero():
		c.errorf(cl.Pos, "cannot dial %s, which has no IPv4 address, and there is nothing else here to dial", p.Server)
	}
	c.checkNetworks(p, cl)
}

// checkNetworks checks what lies behind a client: its server routes that into one session.
func (c *checker) checkNetworks(p *PPP, cl *Client) {
	if len(cl.Networks) == 0 {
		return
	}
	pos := c.under(cl.Pos, "networks")
	for i := range p.Clients {
		if other := &p.Clients[i]; other != cl && other.User == cl.User && cl.User != "" {
			c.errorf(pos, "are behind whoever logs in as %q, and %s (line %d) does so, too: give each a user of its own",
				cl.User, other.Node, other.Pos.Line)
		}
	}
	node := c.t.Node(cl.Node)
	for _, network := range cl.Networks {
		c.addNetwork(p.Server, network, cl)
		if network.Bits() == 0 {
			c.errorf(pos, "%s is everything, and cannot be behind one client", network)
			continue
		}
		for i := 0; node != nil && i < len(node.Addresses); i++ {
			if h := node.Addresses[i]; h.Addr.IsValid() && network.Contains(h.Addr) {
				c.errorf(pos, "%s holds %s, where the link's own packets go: take %s out of it", network, h.Addr, cl.Node)
			}
		}
	}
}

// addNetwork refuses a network that lies behind two clients of one node.
func (c *checker) addNetwork(server string, network netip.Prefix, cl *Client) {
	key := behind{server, network}
	if first := c.behind[key]; first != nil {
		c.errorf(c.under(cl.Pos, "networks"), "%s is behind %s (line %d) already", network, first.Node, first.Pos.Line)
		return
	}
	if c.behind == nil {
		c.behind = map[behind]*Client{}
	}
	c.behind[key] = cl
}

// behind is a network that a server routes to a client.
type behind struct {
	server  string
	network netip.Prefix
}

// checkFixedLogin refuses a user with a fixed address on two nodes.
func (c *checker) checkFixedLogin(p *PPP, cl *Client, seen map[string]*Client) {
	u, known := findUser(p.Users, cl.User)
	if !known || !u.Address.IsValid() {
		return
	}
	if other := seen[cl.User]; other != nil {
		c.errorf(c.under(cl.Pos, "user"), "%q logs in on %s (line %d) already, and a fixed address cannot be in two places",
			cl.User, other.Node, other.Pos.Line)
		return
	}
	seen[cl.User] = cl
}

// checkPPPFamily refuses IPv6 where addresses are handed out: of IPv6, PPP hands out
// link-local ones only.
func (c *checker) checkPPPFamily(p *PPP) {
	refuse := func(a netip.Addr, pos func() Pos) {
		switch {
		case !a.IsValid():
		case !a.Is4():
			c.errorf(pos(), "%s is not IPv4, and PPP hands out nothing else", a)
		case a.IsLoopback():
			c.errorf(pos(), "%s is the loopback's: nobody else can reach it", a)
		}
	}
	refuse(p.LocalIP, func() Pos { return p.LocalIPPos })
	for i, pool := range p.Pools {
		refuse(pool.From, func() Pos { return c.under(p.Pos, "pools", i) })
	}
	for i, dns := range p.DNS {
		refuse(dns, func() Pos { return c.under(p.Pos, "dns", i) })
	}
	for i := range p.Users {
		refuse(p.Users[i].Address, func() Pos { return p.Users[i].AddressPos })
	}
}

func (c *checker) checkPPPPools(p *PPP, what string) {
	for i, pool := range p.Pools {
		c.addSpan(span{Range: pool, what: "a pool of " + what, pos: c.under(p.Pos, "pools", i)})
	}
	if p.LocalIP.IsValid() {
		c.addSpan(span{Range: oneAddress(p.LocalIP), what: "the local_ip of " + what, pos: p.LocalIPPos})
	}
	everybody := len(p.Users) > 0 && p.Radius == nil
	for i := range p.Users {
		everybody = everybody && p.Users[i].Address.IsValid()
	}
	if len(p.Pools) == 0 && !everybody && (!c.writes(p.Pos, "pools") || c.emptyList(p.Pos, "pools")) {
		c.errorf(p.Pos, "needs pools: clients without an address of their own get one from there")
	}
}

// checkPPPUsers checks names, passwords and fixed addresses. A fixed address
// that is taken on its own server is refused here, and not as an overlap.
func (c *checker) checkPPPUsers(p *PPP, what string) {
	pools := slices.Clone(p.Pools)
	slices.SortFunc(pools, func(a, b Range) int { return cmp.Or(a.From.Compare(b.From), a.To.Compare(b.To)) })
	owners := make(map[netip.Addr]*User, len(p.Users))
	mschap := slices.Contains(p.Auth, MSCHAPv2)
	for i := range p.Users {
		u := &p.Users[i]
		c.checkPassword(u.Password, true, mschap)
		if slices.Contains(p.Auth, PAP) {
			c.checkPAP(u)
		}
		if !u.Address.IsValid() {
			continue
		}
		first := owners[u.Address]
		pool, inside := poolOf(pools, u.Address)
		switch {
		case u.Address == p.LocalIP:
			c.errorf(u.AddressPos, "%s is the local_ip of the server", u.Address)
		case first != nil:
			c.errorf(u.AddressPos, "%s is the address of user %s (line %d) already", u.Address, quoteKey(first.Name), first.Pos.Line)
		case inside:
			c.errorf(u.AddressPos, "%s is inside the pool %s, which hands it to anybody", u.Address, pool)
		default:
			owners[u.Address] = u
			c.addSpan(span{Range: oneAddress(u.Address), what: "a user of " + what, pos: u.AddressPos})
		}
	}
}

// checkPAP refuses what pppd's PAP cannot carry.
func (c *checker) checkPAP(u *User) {
	if err := PAPSecret(secret.New([]byte(u.Name))); err != nil {
		c.errorf(u.Pos, "%w", err)
	}
	if v, ok := c.inline(u.Password); ok {
		if err := PAPSecret(v); err != nil {
			c.errorf(u.Password.Pos, "%w", err)
		}
	}
}

// poolOf finds the pool that has an address. Sorted pools that overlap are
// refused elsewhere, so the last one that begins before it is the one.
func poolOf(pools []Range, a netip.Addr) (Range, bool) {
	i, found := slices.BinarySearchFunc(pools, a, func(r Range, a netip.Addr) int { return r.From.Compare(a) })
	if !found {
		i--
	}
	if i < 0 || !pools[i].Contains(a) {
		return Range{}, false
	}
	return pools[i], true
}
