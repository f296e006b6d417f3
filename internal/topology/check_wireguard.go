package topology

import (
	"net/netip"
	"slices"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// party is a member or a peer of a network: whoever has a key and addresses.
type party struct {
	name      string
	pos       Pos
	member    *Member
	peer      *Peer
	key       wgtypes.Key
	addresses []netip.Prefix
	networks  []netip.Prefix
	allowed   []AllowedIPs
	// dialable says whether the others can reach it first.
	dialable bool
}

// networkCheck checks one network.
type networkCheck struct {
	*checker
	n *Network
	// parties are the members, then the peers.
	parties []party
	byName  map[string]*party
	hub     *party
	// names are the members', for suggestions.
	names []string
	// lists are the prefixes that lists for single members claim.
	lists map[listKey]*party
}

func (c *checker) checkNetwork(n *Network) {
	w := &networkCheck{checker: c, n: n}
	w.collect()
	w.checkNames()
	w.checkKeys()
	w.checkPairs()
	w.checkAddresses()
	w.checkAllowedIPs()
	w.checkSecrets()
	for i := range n.Members {
		m := &n.Members[i]
		c.claimInterface(interfaceKey{m.Node, m.NetNS, n.Name}, "wireguard."+quoteKey(n.Name), m.Pos)
		if m.ListenPort != 0 {
			c.claimPort(portKey{m.Node, m.ListenPort}, "wireguard."+quoteKey(n.Name), m.Pos, "listen_port")
		}
	}
}

func (w *networkCheck) collect() {
	w.parties = make([]party, 0, len(w.n.Members)+len(w.n.Peers))
	for i := range w.n.Members {
		m := &w.n.Members[i]
		node := w.t.Node(m.Node)
		w.names = append(w.names, m.Node)
		w.parties = append(w.parties, party{name: m.Node, pos: m.Pos, member: m, key: m.PublicKey,
			addresses: m.Addresses, networks: m.Networks, allowed: m.AllowedIPs,
			dialable: !m.Endpoint.IsZero() || m.ListenPort != 0 && node != nil && len(node.Addresses) > 0})
	}
	for i := range w.n.Peers {
		p := &w.n.Peers[i]
		w.parties = append(w.parties, party{name: p.Name, pos: p.Pos, peer: p, key: p.PublicKey,
			addresses: p.Addresses, networks: p.Networks, allowed: p.AllowedIPs, dialable: !p.Endpoint.IsZero()})
	}
	w.byName = make(map[string]*party, len(w.parties))
	for i := range w.parties {
		p := &w.parties[i]
		if first := w.byName[p.name]; first != nil {
			w.errorf(p.pos, "is the name of a member (line %d) already: a peer needs one of its own", first.pos.Line)
			continue
		}
		w.byName[p.name] = p
	}
	if hub := w.byName[w.n.Hub]; hub != nil && hub.member != nil {
		w.hub = hub
	}
}

// member refuses a name that no member has.
func (w *networkCheck) member(pos Pos, name string) *party {
	if p := w.byName[name]; p != nil && p.member != nil {
		return p
	}
	w.errorf(pos, "%q is no member of %s%s", shorten(name), w.n.Name, w.choice(name, "members", w.names))
	return nil
}

func (w *networkCheck) checkNames() {
	for i := range w.n.Members {
		w.node(w.n.Members[i].Pos, w.n.Members[i].Node)
	}
	if w.n.Hub != "" {
		w.member(w.n.HubPos, w.n.Hub)
	}
	for i := range w.n.Peers {
		if p := &w.n.Peers[i]; p.ViaPos.Line != 0 {
			w.checkVia(p)
		}
	}
	for i := range w.n.PresharedKeys {
		w.checkPair(&w.n.PresharedKeys[i], i)
	}
}

func (w *networkCheck) checkVia(p *Peer) {
	if len(p.Via) == 0 && w.emptyList(p.Pos, "via") {
		w.errorf(p.ViaPos, "names no member; leave the key out for the default")
	}
	for i, name := range p.Via {
		if w.member(w.under(p.Pos, "via", i), name) != nil && slices.Contains(p.Via[:i], name) {
			w.errorf(w.under(p.Pos, "via", i), "names %s twice", name)
		}
	}
}

// checkPair refuses a preshared key for two that have no handshake together.
func (w *networkCheck) checkPair(k *PairKey, i int) {
	var two [2]*party
	for j, name := range k.Between {
		if two[j] = w.byName[name]; two[j] == nil {
			w.errorf(w.under(k.Pos, "between"), "%q is no member and no peer of %s%s",
				shorten(name), w.n.Name, w.didYouMean(name, w.names))
			return
		}
	}
	switch {
	case !w.direct(two[0], two[1]) && !w.direct(two[1], two[0]):
		w.errorf(w.under(k.Pos, "between"), "%s and %s do not talk directly", k.Between[0], k.Between[1])
	case i > 0 && w.n.PresharedKeys[i-1].Between == k.Between:
		w.errorf(w.under(k.Pos, "between"), "%s and %s have a preshared key (line %d) already",
			k.Between[0], k.Between[1], w.n.PresharedKeys[i-1].Pos.Line)
	}
}

// checkKeys refuses two parties of one key: to the kernel they would be one
// peer, or the interface's own.
func (w *networkCheck) checkKeys() {
	owners := make(map[wgtypes.Key]*party, len(w.parties))
	for i := range w.parties {
		p := &w.parties[i]
		if p.key == (wgtypes.Key{}) {
			continue
		}
		first := owners[p.key]
		switch {
		case first == nil:
			owners[p.key] = p
		case p.peer != nil && first.member != nil && w.direct(first, p):
			w.errorf(w.under(p.pos, "public_key"), "is the key of member %s (line %d) itself: no interface can be its own peer",
				first.name, first.pos.Line)
		default:
			w.errorf(w.under(p.pos, "public_key"), "is the public key of %s (line %d) already: each needs its own",
				first.name, first.pos.Line)
		}
	}
}

// checkPairs refuses pairs that must talk directly and of which neither can be
// dialled. Of many such pairs it names one for each party.
func (w *networkCheck) checkPairs() {
	var silent []*party
	for i := range w.n.Members {
		if p := &w.parties[i]; !p.dialable {
			silent = append(silent, p)
		}
	}
	switch {
	case len(silent) == 0:
		return
	case w.hub == nil && w.n.Hub == "":
		for _, p := range silent[1:] {
			w.refusePair(p, silent[0], ", or name a hub")
		}
	case w.hub != nil && !w.hub.dialable:
		for _, p := range silent {
			if p != w.hub {
				w.refusePair(p, w.hub, "")
			}
		}
	}
	for i := range w.n.Peers {
		p := &w.parties[len(w.n.Members)+i]
		if p.dialable {
			continue
		}
		if member := w.silentMember(p, silent[0]); member != nil {
			w.refusePair(p, member, ", or leave "+member.name+" out of via")
		}
	}
}

// silentMember returns a member that must talk to a foreign peer and cannot be
// dialled; first is the first there is.
func (w *networkCheck) silentMember(p, first *party) *party {
	switch {
	case p.peer.ViaPos.Line != 0:
		for _, name := range p.peer.Via {
			if m := w.byName[name]; m != nil && m.member != nil && !m.dialable {
				return m
			}
		}
	case w.n.Hub == "":
		return first
	case w.hub != nil && !w.hub.dialable:
		return w.hub
	}
	return nil
}

func (w *networkCheck) refusePair(p, other *party, more string) {
	cure := "give one of them an endpoint"
	if p.member != nil {
		cure += ", or an address and a listen_port"
	}
	w.errorf(p.pos, "must talk to %s (line %d) directly, and neither can be dialled: %s%s",
		other.name, other.pos.Line, cure, more)
}

// direct says whether a member holds a party as its peer.
func (w *networkCheck) direct(member, p *party) bool {
	switch {
	case member.member == nil || member == p:
		return false
	case p.member != nil:
		return w.n.Hub == "" || member == w.hub || p == w.hub
	case p.peer.ViaPos.Line == 0:
		return w.n.Hub == "" || member == w.hub
	}
	return slices.Contains(p.peer.Via, member.name)
}
