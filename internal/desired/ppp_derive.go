package desired

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/topology"
)

// safeMTU fits into 1500 bytes whatever is around it: L2TP in ESP in UDP, or GRE. pppd's
// own default does not, and where fragments get lost, large packets hang.
const safeMTU = 1400

// pppPart is the node's part in one tunnel of the topology: it is the server, or dials.
type pppPart struct {
	*topology.PPP
	tunnel PPPTunnel
	server bool
	client *topology.Client // nil on the server
}

// pppParts are the node's parts, L2TP first, each protocol in the order of the topology,
// which is sorted.
func (d *deriver) pppParts() []pppPart {
	var out []pppPart
	for i := range d.L2TP {
		l := &d.L2TP[i]
		out = d.appendParts(out, &l.PPP, PPPTunnel{Protocol: L2TP, IPsec: l.IPsec != nil})
	}
	for i := range d.PPTP {
		p := &d.PPTP[i]
		out = d.appendParts(out, &p.PPP, PPPTunnel{Protocol: PPTP, MPPE: p.MPPE})
	}
	return out
}

func (d *deriver) appendParts(out []pppPart, p *topology.PPP, t PPPTunnel) []pppPart {
	t.Name, t.MTU, t.IPv6 = p.Name, cmp.Or(p.MTU, safeMTU), p.IPv6()
	for _, a := range p.Auth {
		t.Auth = append(t.Auth, string(a))
	}
	if p.Server == d.node {
		out = append(out, pppPart{PPP: p, tunnel: t, server: true})
	}
	for i := range p.Clients {
		if cl := &p.Clients[i]; cl.Node == d.node {
			out = append(out, pppPart{PPP: p, tunnel: t, client: cl})
		}
	}
	return out
}

// ppp derives the servers and links of the node.
func (d *deriver) ppp(parts []pppPart) PPP {
	var out PPP
	for _, p := range parts {
		if p.server {
			out.Servers = append(out.Servers, d.pppServer(p.PPP, p.tunnel))
		} else {
			out.Links = append(out.Links, d.pppLink(p.PPP, p.client, p.tunnel))
		}
	}
	return out
}

func (d *deriver) pppServer(p *topology.PPP, t PPPTunnel) PPPServer {
	s := PPPServer{
		PPPTunnel: t, LocalIP: p.LocalIP, DNS: slices.Clone(p.DNS),
		Idle: p.Idle, SessionLimit: p.SessionLimit, MaxSessions: p.MaxSessions,
		OneLogin: !p.MultipleLogins, ProxyARP: p.ProxyARP,
	}
	for _, r := range p.Pools {
		s.Pools = append(s.Pools, AddrRange{From: r.From, To: r.To})
	}
	slices.SortFunc(s.Pools, func(a, b AddrRange) int { return a.From.Compare(b.From) })
	for i := range p.Clients {
		if cl := &p.Clients[i]; len(cl.Networks) > 0 {
			s.Networks = append(s.Networks, PPPNetworks{User: cl.User, Prefixes: normal(cl.Networks)})
		}
	}
	slices.SortFunc(s.Networks, func(a, b PPPNetworks) int { return cmp.Compare(a.User, b.User) })
	if p.Radius != nil {
		s.Radius = d.radius(p.Radius)
		return s
	}
	for i := range p.Users {
		u := &p.Users[i]
		s.Users = append(s.Users, PPPUser{Name: u.Name, Address: u.Address, Password: d.pppPassword(p, u)})
	}
	return s
}

// pppPassword reads a user's password, and refuses one that pppd's files cannot carry.
func (d *deriver) pppPassword(p *topology.PPP, u *topology.User) secret.ID {
	r := d.secret(u.Password)
	if r.shown() {
		err := topology.PPPPassword(r.value)
		if err == nil && slices.Contains(p.Auth, topology.PAP) {
			err = topology.PAPSecret(r.value)
		}
		if err != nil {
			d.errorf(u.Password.Pos, "%s %w", u.Password, err)
		}
	}
	return r.id
}

func (d *deriver) radius(r *topology.Radius) []RadiusServer {
	var out []RadiusServer
	for i := range r.Servers {
		s := &r.Servers[i]
		read := d.secret(s.Secret)
		if read.shown() {
			if err := topology.RadiusSecret(read.value); err != nil {
				d.errorf(s.Secret.Pos, "%s %w", s.Secret, err)
			}
		}
		out = append(out, RadiusServer{Host: s.Address.String(), AuthPort: int(s.AuthPort), AcctPort: int(s.AcctPort), Secret: read.id})
	}
	return out
}

func (d *deriver) pppLink(p *topology.PPP, cl *topology.Client, t PPPTunnel) PPPLink {
	l := PPPLink{
		PPPTunnel: t, Server: d.dialled4(p.Server).String(), LocalIP: p.LocalIP, User: cl.User,
		Routes: normal(cl.Routes), DefaultRoute: cl.DefaultRoute, UseDNS: cl.UseDNS,
	}
	for i := range p.Users {
		if u := &p.Users[i]; u.Name == cl.User {
			l.Password = d.pppPassword(p, u)
		}
	}
	return l
}

// addresses4 are the addresses of a node that may be of IPv4: neither protocol runs over
// anything else.
func (d *deriver) addresses4(node string) []topology.Host {
	n := d.Node(node)
	if n == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(n.Addresses), func(h topology.Host) bool { return h.Addr.Is6() })
}

// dialled4 is where a node is dialled; that there is such an address was validated.
func (d *deriver) dialled4(node string) topology.Host {
	if all := d.addresses4(node); len(all) > 0 {
		return all[0]
	}
	return topology.Host{}
}

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// pppModules are those of the kernel that nobody would load in time: pppd asks for none,
// and a helper that is not there makes its rule fail.
func pppModules(p *PPP, n *Netfilter) []string {
	var out []string
	need := func(t *PPPTunnel) {
		switch {
		case t.Protocol == L2TP:
			out = append(out, "ppp_generic", "l2tp_ppp")
		case t.MPPE:
			out = append(out, "ppp_generic", "ppp_async", "ppp_mppe")
		default:
			out = append(out, "ppp_generic", "ppp_async")
		}
	}
	for i := range p.Servers {
		need(&p.Servers[i].PPPTunnel)
	}
	for i := range p.Links {
		need(&p.Links[i].PPPTunnel)
	}
	if len(n.Helpers) > 0 {
		out = append(out, "nf_conntrack_pptp", "nf_nat_pptp")
	}
	slices.Sort(out)
	return slices.Compact(out)
}
