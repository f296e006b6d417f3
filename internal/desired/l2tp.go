package desired

import (
	"net/netip"
	"slices"

	"github.com/vpnctl/vpnctl/internal/topology"
)

// The selectors below L2TP. A client behind a NAT calls from any port.
var (
	l2tpSelector    = topology.Selector{Dynamic: true, Protocol: "udp", Port: "1701"}
	l2tpAnySelector = topology.Selector{Dynamic: true, Protocol: "udp"}
)

// l2tp derives the node's part in the connection of IPsec below L2TP, in the form that the
// topology has for those of its own. Who the client is, the common key does not tell: it is
// the session whose user may be removed, not the connection.
func (b *ipsecBuilder) l2tp(l *topology.L2TP) {
	i := l.IPsec
	if i == nil {
		return
	}
	c := &topology.Connection{
		Name: "l2tp-" + l.Name, Pos: i.Pos, IKEVersion: 1, IKEProposals: i.IKEProposals, IKERekey: i.IKERekey,
		DPD: i.DPD, Settings: i.Settings,
	}
	if l.Server == b.node {
		b.l2tpServer(l, c)
	}
	for i := range l.Clients {
		if cl := &l.Clients[i]; cl.Node == b.node {
			b.l2tpClient(l, c, cl)
		}
	}
}

func (b *ipsecBuilder) l2tpServer(l *topology.L2TP, c *topology.Connection) {
	auth := &l.IPsec.Auth
	t := l2tpTunnel(l, c)
	addresses := b.addresses4(l.Server)
	t.Connection.Server = true
	t.LocalAddrs, t.RemoteAddrs = texts(addresses), []string{anywhere}
	t.Local = b.proof(c, l.IPsec.ID, auth)
	t.Remote = b.expected(c, "", anywhere, auth, auth.CA)
	// Clients prove nothing but the common key, and are called by their private addresses:
	// two of the same behind two routers must not push each other out.
	t.setDefault("unique", "never")
	if auth.Kind == topology.AuthPSK {
		b.sharedKey(c, auth.PSK, l.IPsec.ID)
	}
	t.Children = []Child{l2tpChild(l, c, l2tpAnySelector)}
	t.flows = flows(spans([]topology.Selector{l2tpSelector}, known(addresses)), spans([]topology.Selector{l2tpAnySelector}, nil), topology.Transport)
	b.tunnels = append(b.tunnels, t)
}

// l2tpClient keeps the connection up: its trap stands before xl2tpd's first packet. Of a
// server with several addresses it has the one that xl2tpd dials.
func (b *ipsecBuilder) l2tpClient(l *topology.L2TP, c *topology.Connection, cl *topology.Client) {
	auth := &l.IPsec.Auth
	t := l2tpTunnel(l, c)
	server := []topology.Host{b.dialled4(l.Server)}
	t.RemoteAddrs, t.peers = texts(server), literal(server)
	t.Local = b.proof(c, cl.ID, auth)
	t.Remote = b.expected(c, l.Server, l.IPsec.ID, auth, auth.CA)
	if auth.Kind == topology.AuthPSK {
		b.sharedKey(c, auth.PSK, l.IPsec.ID, cl.ID)
	}
	ch := l2tpChild(l, c, l2tpSelector)
	ch.Hold, ch.Initiate, ch.DPDAction = string(topology.StartTrap), InitiateFirst, string(topology.DPDRestart)
	t.Children = []Child{ch}
	both := []topology.Selector{l2tpSelector}
	t.flows = flows(spans(both, nil), spans(both, known(server)), topology.Transport)
	b.tunnels = append(b.tunnels, t)
}

// l2tpTunnel is what the connection is on both sides.
func l2tpTunnel(l *topology.L2TP, c *topology.Connection) tunnel {
	t := common(c)
	t.Origin, t.opened = "l2tp/"+l.Name, true
	return t
}

func l2tpChild(l *topology.L2TP, c *topology.Connection, remote topology.Selector) Child {
	ch := child(&topology.Child{
		Name: c.Name, Mode: topology.Transport, Protocol: topology.ESP, Proposals: l.IPsec.ESPProposals,
		Rekey: l.IPsec.ChildRekey, Settings: l.IPsec.ChildSettings,
	})
	ch.LocalTS, ch.RemoteTS = selectors([]topology.Selector{l2tpSelector}), selectors([]topology.Selector{remote})
	return ch
}

// dropL2TP keeps L2TP inside IPsec: an accept of established connections, which nearly
// everybody has, would let it in without. Where the node also has L2TP that runs in clear
// by intent, the two are told apart by the server's address.
func (d *deriver) dropL2TP(nf *Netfilter, parts []pppPart) {
	drop := Drop{Object: d.object("drop", "l2tp"), Port: l2tpPort}
	clearServer, protected := false, false
	var links [2][]netip.Addr // in clear, and protected
	for i := range parts {
		p := &parts[i]
		if p.tunnel.Protocol != L2TP {
			continue
		}
		protected = protected || p.tunnel.IPsec
		clearServer = clearServer || p.server && !p.tunnel.IPsec
		if p.client != nil {
			at := 0
			if p.tunnel.IPsec {
				at = 1
			}
			links[at] = append(links[at], literal([]topology.Host{d.dialled4(p.Server)})...)
		}
	}
	if !protected {
		return
	}
	if clearServer {
		drop.Peers = distinct(links[1])
	} else {
		drop.Except = distinct(links[0])
	}
	nf.Drops = append(nf.Drops, drop)
}

func distinct(all []netip.Addr) []netip.Addr {
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}
