package desired

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/topology"
)

// pppLinks is the pattern of pppd's own names.
const pppLinks = "ppp+"

// The ports of both protocols.
const (
	l2tpPort = 1701
	pptpPort = 1723
)

// inside are the addresses that a server's sessions may have, and what is behind them, as
// few prefixes as hold all.
func (p *pppPart) inside() []netip.Prefix {
	var all []netip.Prefix
	for _, r := range p.Pools {
		all = append(all, InRange(r)...)
	}
	for i := range p.Users {
		if a := p.Users[i].Address; a.IsValid() {
			all = append(all, host(a))
		}
	}
	for i := range p.Clients {
		all = append(all, p.Clients[i].Networks...)
	}
	return aggregate(all)
}

// beyond is what a link of this node leads to.
func (p *pppPart) beyond() []netip.Prefix {
	all := append(slices.Clone(p.client.Routes), host(p.LocalIP))
	if p.client.DefaultRoute {
		all = append(all, everything(false))
	}
	return aggregate(all)
}

// carryPPP derives what the packet filter does for the sessions whether or not it shall be
// opened. Their interfaces have names that nobody knows beforehand and that others' may
// have, too (a DSL line): no rule goes by the interface alone.
func (d *deriver) carryPPP(nf *Netfilter, parts []pppPart) {
	nf.Helpers = d.helpers()
	d.dropL2TP(nf, parts)
	for i := range parts {
		p := &parts[i]
		if p.server {
			d.forwardPPP(nf, p)
			continue
		}
		d.forwardLink(nf, p)
		// Nothing but its networks, and a nat rule of its own, has this node carry others'
		// traffic there.
		if len(nf.Masquerades)+len(p.client.Networks) > 0 {
			d.clampPPP(nf, p, p.beyond())
		}
	}
}

// forwardPPP lets the sessions of a server through. Where a nat rule hides them, what lies
// behind the server only answers.
func (d *deriver) forwardPPP(nf *Netfilter, p *pppPart) {
	hidden := prefixSet{}
	for _, m := range nf.Masquerades {
		hidden[m.Source] = true
	}
	inside := p.inside()
	for _, answers := range []bool{false, true} {
		part := slices.DeleteFunc(slices.Clone(inside), func(s netip.Prefix) bool { return hidden.covers(s) != answers })
		for _, r := range joined(part) {
			in := Forward{Object: d.object("forward", p.tunnel.Object()), In: pppLinks}
			out := Forward{Object: in.Object, Out: pppLinks, Answers: answers}
			if s, ok := r.prefix(); ok {
				in.From, out.To = s, s
			} else {
				in.FromRange, out.ToRange = r, r
			}
			nf.Forwards = append(nf.Forwards, in, out)
		}
	}
	d.clampPPP(nf, p, inside)
}

// forwardLink lets what is behind this node through to what its link leads to, and back.
// Where a nat rule hides a network from the server, that one is not called.
func (d *deriver) forwardLink(nf *Netfilter, p *pppPart) {
	hidden := prefixSet{}
	for _, m := range nf.Masquerades {
		if strings.HasPrefix(m.Out, "ppp") {
			hidden[m.Source] = true
		}
	}
	for _, network := range normal(p.client.Networks) {
		for _, far := range p.beyond() {
			if far.Addr().Is4() != network.Addr().Is4() {
				continue
			}
			object := d.object("forward", p.tunnel.Object())
			nf.Forwards = append(nf.Forwards,
				Forward{Object: object, Out: pppLinks, From: network, To: far},
				Forward{Object: object, In: pppLinks, From: far, To: network, Answers: hidden.covers(network)})
		}
	}
}

// clampPPP clamps what goes to some addresses, a run of them by one rule: a segment that
// fits is as welcome to their neighbours.
func (d *deriver) clampPPP(nf *Netfilter, p *pppPart, remote []netip.Prefix) {
	var around []netip.Prefix
	for _, r := range joined(remote) {
		around = append(around, r.around())
	}
	for _, r := range aggregate(around) {
		nf.Clamps = append(nf.Clamps, Clamp{Object: d.object("clamp", p.tunnel.Object()), Interface: pppLinks, Remote: r})
	}
}

// helpers are for the clients of PPTP whose way to their server is through a nat rule of
// this node.
func (d *deriver) helpers() []Helper {
	var out []Helper
	for _, r := range d.NAT {
		if r.Node != d.node {
			continue
		}
		for _, source := range r.Sources {
			if d.hasPPTPBehind(source) {
				out = add(out, Helper{Object: d.object("helper", "pptp"), Name: "pptp", Port: pptpPort, Source: source})
			}
		}
	}
	slices.SortFunc(out, func(a, b Helper) int { return comparePrefixes(a.Source, b.Source) })
	return out
}

// hasPPTPBehind reports whether another node, with an address in source, dials a PPTP
// server that is not this node.
func (d *deriver) hasPPTPBehind(source netip.Prefix) bool {
	return slices.ContainsFunc(d.PPTP, func(p topology.PPTP) bool {
		return p.Server != d.node && slices.ContainsFunc(p.Clients, func(cl topology.Client) bool {
			return cl.Node != d.node && slices.ContainsFunc(d.addresses4(cl.Node), func(h topology.Host) bool {
				return h.Addr.IsValid() && source.Contains(h.Addr)
			})
		})
	})
}

// openPPP opens what servers and links need, and what the sessions carry to and from this
// host.
func (d *deriver) openPPP(nf *Netfilter, parts []pppPart) {
	for i := range parts {
		p := &parts[i]
		d.openTunnel(nf, p)
		inner := d.object("inner", p.tunnel.Object())
		if p.server {
			for _, r := range joined(p.inside()) {
				i := InnerLink{Object: inner, Interface: pppLinks}
				if s, ok := r.prefix(); ok {
					i.Remote = s
				} else {
					i.RemoteRange = r
				}
				nf.InnerLinks = append(nf.InnerLinks, i)
			}
			continue
		}
		for _, r := range p.beyond() {
			// Whoever leads everything there did not say that everybody may call.
			nf.InnerLinks = append(nf.InnerLinks, InnerLink{Object: inner, Interface: pppLinks, Remote: r, Answers: r.Bits() == 0})
		}
	}
}

// openTunnel opens what carries the sessions. L2TP's port is open to all: what IPsec has
// not taken was dropped before.
func (d *deriver) openTunnel(nf *Netfilter, p *pppPart) {
	open := func(what, protocol string, port int, dialled bool) {
		nf.OpenPorts = add(nf.OpenPorts, OpenPort{Object: d.object("open", what), Protocol: protocol, Port: port, Dialled: dialled, Family: 4})
	}
	switch {
	case p.tunnel.Protocol == L2TP && p.client != nil && !p.tunnel.IPsec:
		open("l2tp", "udp", l2tpPort, true)
	case p.tunnel.Protocol == L2TP:
		open("l2tp", "udp", l2tpPort, false)
	default:
		open("pptp", "tcp", pptpPort, p.client != nil)
		open("gre", "gre", 0, false)
	}
	if !p.server || p.Radius == nil {
		return
	}
	for i := range p.Radius.Servers {
		r := &p.Radius.Servers[i]
		open("radius", "udp", int(r.AuthPort), true)
		open("radius", "udp", int(r.AcctPort), true)
	}
}
