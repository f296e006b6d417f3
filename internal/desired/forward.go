package desired

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/vpnctl/vpnctl/internal/topology"
)

// netfilter derives the packet filter of the host's own namespace. An interface that
// lives in another is forwarded to and from there, by whoever owns that namespace; only
// its socket is here.
func (d *deriver) netfilter(networks []network, interfaces []Interface, tunnels []tunnel, parts []pppPart) Netfilter {
	nf := Netfilter{Masquerades: d.masquerades()}
	for n := range networks {
		i := &interfaces[n]
		if i.Netns != "" {
			continue
		}
		f := forwarder{deriver: d, network: &networks[n], iface: i, masquerades: nf.Masquerades}
		forwards := f.forwards()
		nf.Forwards = append(nf.Forwards, forwards...)
		if family, ok := f.carried(forwards); ok {
			nf.Clamps = append(nf.Clamps, Clamp{Object: d.object("clamp", i.Name), Interface: i.Name, Family: family})
		}
		nf.AntiSpoofs = append(nf.AntiSpoofs, d.antiSpoofs(i)...)
	}
	for i := range tunnels {
		d.protect(&nf, &tunnels[i])
	}
	d.carryPPP(&nf, parts)
	slices.SortStableFunc(nf.Forwards, func(a, b Forward) int { return cmp.Compare(a.Object, b.Object) })
	slices.SortStableFunc(nf.Guards, compareGuards)
	if d.firewall() {
		d.open(&nf, interfaces)
		d.openIPsec(&nf, tunnels)
		d.openPPP(&nf, parts)
	}
	return nf
}

// masquerades derives the node's nat rules. What they translate, and the answers, they
// also let through FORWARD: no Forward repeats it.
func (d *deriver) masquerades() []Masquerade {
	var out []Masquerade
	for _, r := range d.NAT {
		if r.Node != d.node {
			continue
		}
		for _, source := range r.Sources {
			out = append(out, Masquerade{
				Object: d.object("rule", source.String()+"->"+r.Out), Source: source, Out: r.Out, SNAT: r.SNAT,
			})
		}
	}
	slices.SortFunc(out, compareMasquerades)
	return out
}

// antiSpoofs guards the addresses of a full tunnel, which would otherwise answer whoever
// sends to them by another way.
func (d *deriver) antiSpoofs(i *Interface) []AntiSpoof {
	var out []AntiSpoof
	for _, v6 := range []bool{false, true} {
		own := ofFamily(i.Addresses, v6)
		if !i.FullTunnel(v6) || len(own) == 0 {
			continue
		}
		a := AntiSpoof{Object: d.object("anti-spoof", i.Name), Interface: i.Name, Mark: i.Mark()}
		for _, p := range own {
			a.Addresses = append(a.Addresses, p.Addr())
		}
		out = append(out, a)
	}
	return out
}

// open opens the ports on which others call, and what the tunnels carry. A port that the
// kernel chooses is not known here; the node then is the one who calls.
func (d *deriver) open(nf *Netfilter, interfaces []Interface) {
	for i := range interfaces {
		w := &interfaces[i]
		if w.ListenPort != 0 {
			nf.OpenPorts = append(nf.OpenPorts, OpenPort{
				Object: d.object("open", w.Name), Protocol: "udp", Port: w.ListenPort,
			})
		}
		if w.Netns == "" {
			nf.Inner = append(nf.Inner, w.Name)
		}
	}
}

// forwarder derives what one interface carries for others.
//
// No rule names the peers as senders: WireGuard itself drops what comes from a peer with
// a source that is not among its allowed IPs.
type forwarder struct {
	*deriver
	*network
	iface       *Interface
	masquerades []Masquerade
}

// forwards are the accepts of all roles that the node has on the interface.
func (f *forwarder) forwards() []Forward {
	var out []Forward
	if family, ok := f.relayed(); ok {
		out = append(out, Forward{
			Object: f.between(f.iface.Name, f.iface.Name), In: f.iface.Name, Out: f.iface.Name, Family: family,
		})
	}
	for _, v6 := range []bool{false, true} {
		out = append(out, f.owned(v6)...)
	}
	return append(out, f.replaced()...)
}

func (f *forwarder) between(from, to string) string { return f.object("forward", from+"->"+to) }

// tunnelled is whatever comes out of the tunnel.
func (f *forwarder) tunnelled() []netip.Prefix {
	var all []netip.Prefix
	for i := range f.iface.Peers {
		all = append(all, f.iface.Peers[i].AllowedIPs...)
	}
	return all
}

// masked are the sources that a rule hides on their way out of the tunnel. Which
// interface a network lies behind is the host's to know: that the rule has another one
// in mind, too, closes too much rather than too little.
func (f *forwarder) masked() prefixSet {
	s := prefixSet{}
	for _, m := range f.masquerades {
		if m.Out != f.iface.Name {
			s[m.Source] = true
		}
	}
	return s
}

// carried reports whether the interface carries others' packets, let through by a forward
// or translated, and of which family: 0 for both.
func (f *forwarder) carried(forwards []Forward) (family int, ok bool) {
	v4, v6 := f.masquerading(false), f.masquerading(true)
	for i := range forwards {
		is4, is6 := forwards[i].families()
		v4, v6 = v4 || is4, v6 || is6
	}
	return familyOf(v4, v6)
}

// familyOf is how an entry names the families that it is for, false where it is for none.
func familyOf(v4, v6 bool) (family int, ok bool) {
	switch {
	case v4 && v6:
		return 0, true
	case v4:
		return 4, true
	}
	return 6, v6
}

// masquerading reports whether a nat rule carries this tunnel's traffic of one family.
func (f *forwarder) masquerading(v6 bool) bool {
	if len(f.masquerades) == 0 {
		return false
	}
	peers, sources := ofFamily(f.tunnelled(), v6), f.masked()
	inside := setOf(peers)
	return slices.ContainsFunc(peers, sources.covers) || slices.ContainsFunc(f.masquerades, func(m Masquerade) bool {
		return m.Source.Addr().Is6() == v6 && (m.Out == f.iface.Name || inside.covers(m.Source))
	})
}

// owned lets the peers and the networks that the node owns reach each other, in one
// family. The peers that a nat rule hides on their way there are only answered.
func (f *forwarder) owned(v6 bool) []Forward {
	peers, networks := ofFamily(f.tunnelled(), v6), ofFamily(f.self.Networks, v6)
	if len(peers) == 0 || len(networks) == 0 {
		return nil // no packet of this family takes the tunnel
	}
	hidden := f.masked()
	open := slices.DeleteFunc(slices.Clone(peers), hidden.covers)
	var out []Forward
	for _, net := range networks {
		back := Forward{Object: f.between(net.String(), f.iface.Name), Out: f.iface.Name, From: net, Answers: len(open) < len(peers)}
		out = append(out, Forward{Object: f.between(f.iface.Name, net.String()), In: f.iface.Name, To: net}, back)
		if !back.Answers {
			continue
		}
		for _, to := range aggregate(open) {
			out = append(out, Forward{
				Object: f.between(net.String(), f.iface.Name+"/"+to.String()), Out: f.iface.Name, From: net, To: to,
			})
		}
	}
	return out
}

// replaced are the ways that the node is for others by their allowed_ips alone, such as
// one laptop's way to everywhere. Nobody said that what lies there may call: it answers.
func (f *forwarder) replaced() []Forward {
	own := setOf(slices.Concat(hostPrefixes(f.self.Addresses), f.self.Networks))
	var out []Forward
	for _, a := range f.self.AllowedIPs {
		for _, to := range a.Prefixes {
			if own.covers(to) {
				continue
			}
			for _, from := range f.sendersTo(a, to) {
				who := f.iface.Name
				if from.IsValid() {
					who += "/" + from.String()
				}
				out = append(out,
					Forward{Object: f.between(who, to.String()), In: f.iface.Name, From: from, To: to},
					Forward{Object: f.between(to.String(), who), Out: f.iface.Name, From: to, To: from, Answers: true})
			}
		}
	}
	return out
}

// sendersTo are the addresses of those whom an entry of allowed_ips concerns, the
// invalid prefix for everybody.
func (f *forwarder) sendersTo(a topology.AllowedIPs, to netip.Prefix) []netip.Prefix {
	if a.On == "" {
		return []netip.Prefix{{}}
	}
	i, ok := slices.BinarySearchFunc(f.iface.Peers, a.On, func(p Peer, name string) int { return cmp.Compare(p.Name, name) })
	if !ok {
		return nil
	}
	return ofFamily(f.iface.Peers[i].AllowedIPs, to.Addr().Is6())
}

// relayed reports whether the node passes packets from peer to peer, and of which family:
// 0 for both.
func (f *forwarder) relayed() (family int, ok bool) {
	v4, v6 := false, false
	if f.Hub == f.node {
		v4, v6 = f.speak(false) > 1, f.speak(true) > 1
	}
	for i := range f.network.Peers {
		if p := &f.network.Peers[i]; f.isCarrier(p) {
			reach := announced(p.AllowedIPs, p.Addresses, p.Networks)
			v4, v6 = v4 || has(reach, false), v6 || has(reach, true)
		}
	}
	return familyOf(v4, v6)
}

// speak counts the peers that have addresses of a family.
func (f *forwarder) speak(v6 bool) int {
	n := 0
	for i := range f.iface.Peers {
		if has(f.iface.Peers[i].AllowedIPs, v6) {
			n++
		}
	}
	return n
}

// isCarrier reports whether others reach a foreign peer through this node although it is
// not the hub: it is the first that has the peer, and somebody who does not, the hub or
// another member, has no better way.
func (f *forwarder) isCarrier(p *topology.Peer) bool {
	if p.ViaPos.Line == 0 || len(p.Via) == 0 || p.Via[0] != f.node {
		return false
	}
	if f.Hub != "" {
		return !slices.Contains(p.Via, f.Hub)
	}
	return len(p.Via) < len(f.Members)
}
