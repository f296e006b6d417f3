package desired

import (
	"net/netip"
	"slices"

	"github.com/vpnctl/vpnctl/internal/topology"
)

// anywhere is charon's word for an address that nobody knows.
const anywhere = "%any"

// between derives this end of a connection between two.
func (b *ipsecBuilder) between(c *topology.Connection, here, far *topology.End) {
	t := common(c)
	t.LocalAddrs, t.RemoteAddrs = texts(here.Addresses), texts(far.Addresses)
	if far.Dialable() {
		t.gateway = t.RemoteAddrs[0]
		if peers := literal(far.Addresses); len(peers) == len(far.Addresses) {
			t.peers = peers
		}
	} else {
		t.RemoteAddrs = []string{anywhere}
	}
	t.Local = b.proof(c, here.ID, &here.Auth)
	t.Remote = b.expected(c, far.Name, far.ID, &far.Auth, topology.CAFor(here.Auth, far.Auth))
	b.presharedKeys(c, here, far)
	for i := range c.Children {
		from := &c.Children[i]
		local, remote := from.SubnetsOf(here.Name), from.SubnetsOf(far.Name)
		ch := child(from)
		ch.LocalTS, ch.RemoteTS = selectors(local), selectors(remote)
		ch.start(from, here, far)
		t.Children = append(t.Children, ch)
		t.flows = append(t.flows, flows(spans(local, known(here.Addresses)), spans(remote, known(dialled(far))), from.Mode)...)
	}
	t.carries = slices.ContainsFunc(t.flows, func(f flow) bool { return f.tunnelled && !f.own })
	b.tunnels = append(b.tunnels, t)
}

// dialled are the addresses at which an end is, and not only may be.
func dialled(e *topology.End) []topology.Host {
	if !e.Dialable() {
		return nil
	}
	return e.Addresses
}

// start says how a child comes up from here. What shall start is held as a trap: held as
// start, every reload would close it. Towards an end that cannot be dialled a node only
// accepts; charon refuses a trap there.
func (ch *Child) start(from *topology.Child, here, far *topology.End) {
	action := from.StartAction
	if !far.Dialable() {
		action = topology.StartNone
	}
	if action != topology.StartNone {
		ch.Hold = string(topology.StartTrap)
	}
	if action == topology.StartStart {
		ch.Initiate = InitiateFirst
		// A foreign end is not known to dial by itself.
		if !far.Foreign && here.Dialable() && far.Name < here.Name {
			ch.Initiate = InitiateSecond
		}
	}
	ch.DPDAction = string(action.DPDAction())
	if from.DPDAction != "" && far.Dialable() {
		ch.DPDAction = string(from.DPDAction)
	}
}

func texts(hosts []topology.Host) []string {
	var out []string
	for _, h := range hosts {
		out = append(out, h.String())
	}
	return out
}

func selectors(all []topology.Selector) []string {
	var out []string
	for _, s := range all {
		out = append(out, s.String())
	}
	return out
}

// everything is the default route of a family.
func everything(v6 bool) netip.Prefix {
	if v6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}
