package topology

import (
	"net/netip"
	"slices"
)

// checkAddresses refuses an address that two have on one network, and notes
// the subnets for the comparison with all others.
func (w *networkCheck) checkAddresses() {
	owners := make(map[netip.Addr]*party, len(w.parties))
	noted := make(map[netip.Prefix]bool, len(w.parties))
	w.spans = slices.Grow(w.spans, len(w.parties))
	what := "wireguard." + quoteKey(w.n.Name)
	for i := range w.parties {
		p := &w.parties[i]
		for j, address := range p.addresses {
			if first := owners[address.Addr()]; first != nil && first != p {
				w.errorf(w.under(p.pos, "addresses", j), "%s is an address of %s (line %d) already",
					address.Addr(), first.name, first.pos.Line)
				continue
			}
			owners[address.Addr()] = p
			if subnet := address.Masked(); !noted[subnet] {
				noted[subnet] = true
				w.addSpan(span{Range: prefixRange(subnet), group: what, what: what, pos: p.pos, key: "addresses", item: j})
			}
		}
	}
}

// hosts are a party's addresses as others hold them.
func (p *party) hosts() []netip.Prefix {
	hosts := make([]netip.Prefix, len(p.addresses), len(p.addresses)+len(p.networks))
	for i, a := range p.addresses {
		hosts[i] = netip.PrefixFrom(a.Addr(), a.Addr().BitLen())
	}
	return hosts
}

// on returns the allowed IPs that the file gives a party on one member, or
// with "" on all.
func (p *party) on(member string) (AllowedIPs, bool) {
	for _, a := range p.allowed {
		if a.On == member {
			return a, true
		}
	}
	return AllowedIPs{}, false
}

// everywhere are the allowed IPs that all hold who have no list of their own.
func (p *party) everywhere() []netip.Prefix {
	if a, ok := p.on(""); ok {
		return a.Prefixes
	}
	return append(p.hosts(), p.networks...)
}

// checkAllowedIPs refuses one prefix for two peers of an interface: the kernel
// would silently give it to the second alone.
func (w *networkCheck) checkAllowedIPs() {
	owners := make(map[netip.Prefix]*party, 2*len(w.parties))
	for i := range w.parties {
		p := &w.parties[i]
		for _, prefix := range p.everywhere() {
			first := owners[prefix]
			if first == nil {
				owners[prefix] = p
				continue
			}
			if first == p || sameAddress(first, p, prefix) {
				continue
			}
			if holder := w.conflict(first, p, prefix); holder != nil {
				w.refuseTwice(w.prefixPos(p, prefix), prefix, first, holder)
			}
		}
	}
	for i := range w.parties {
		w.checkLists(&w.parties[i], owners)
	}
	w.checkLonely()
}

// sameAddress says whether both have the prefix as an address, which was
// refused as such.
func sameAddress(a, b *party, prefix netip.Prefix) bool {
	return prefix.IsSingleIP() && slices.Contains(a.hosts(), prefix) && slices.Contains(b.hosts(), prefix)
}

func (w *networkCheck) refuseTwice(pos Pos, prefix netip.Prefix, first, holder *party) {
	w.errorf(pos, "%s is an allowed IP of %s (line %d) already: on %s only one peer can have it",
		prefix, first.name, first.pos.Line, holder.name)
}

// prefixPos is where a party's prefix stands.
func (w *networkCheck) prefixPos(p *party, prefix netip.Prefix) Pos {
	switch {
	case len(p.allowed) > 0:
		return w.under(p.pos, "allowed_ips")
	case slices.Contains(p.networks, prefix):
		return w.under(p.pos, "networks")
	}
	return w.under(p.pos, "addresses")
}

// conflict returns a member that would hold the prefix for two of its peers,
// nil where none does.
func (w *networkCheck) conflict(a, b *party, prefix netip.Prefix) *party {
	clash := func(member *party) bool {
		x, y := w.carrier(member, a, prefix), w.carrier(member, b, prefix)
		return x != nil && y != nil && x != y
	}
	for _, name := range w.holders(a, b) {
		if member := w.byName[name]; member != nil && clash(member) {
			return member
		}
	}
	return nil
}

// holders are the members that may hold two parties as different peers. Behind
// a hub all others reach both through it, unless they have one of their own.
func (w *networkCheck) holders(a, b *party) []string {
	if w.n.Hub == "" {
		return w.names
	}
	all := []string{w.n.Hub}
	for _, p := range []*party{a, b} {
		if p.peer != nil {
			all = append(all, p.peer.Via...)
		}
	}
	return all
}

// carrier returns the peer through which a member reaches one of a party's
// prefixes: itself, the hub or a member with a foreign peer behind it. It is
// nil where the file gives that peer other allowed IPs.
func (w *networkCheck) carrier(member, p *party, prefix netip.Prefix) *party {
	if member == p {
		return nil
	}
	if w.direct(member, p) {
		if own, ok := p.on(member.name); ok && !slices.Contains(own.Prefixes, prefix) {
			return nil
		}
		return p
	}
	via := w.hub
	if via == nil || via == member {
		if p.peer == nil || len(p.peer.Via) == 0 {
			return nil
		}
		via = w.byName[p.peer.Via[0]]
	}
	if via == nil || via == member {
		return nil
	}
	_, replaced := via.on(member.name)
	if _, everywhere := via.on(""); everywhere || replaced {
		return nil
	}
	return via
}

// checkLists checks the allowed IPs that a party has on single members.
func (w *networkCheck) checkLists(p *party, owners map[netip.Prefix]*party) {
	for _, list := range p.allowed {
		if list.On == "" {
			continue
		}
		member := w.member(list.Pos, list.On)
		if member == nil {
			continue
		}
		if !w.direct(member, p) {
			w.errorf(list.Pos, "%s has no peer %s: %s", member.name, p.name, w.reachedThrough(member, p))
			continue
		}
		for _, prefix := range list.Prefixes {
			if other := w.claimed(member, p, prefix, owners); other != nil {
				w.refuseTwice(list.Pos, prefix, other, member)
			}
		}
	}
}

func (w *networkCheck) reachedThrough(member, p *party) string {
	switch {
	case member == p:
		return "nobody is a peer of itself"
	case w.hub != nil && member != w.hub:
		return "it is reached through the hub, " + w.hub.name
	}
	return "it is reached through the members in its via"
}

// claimed returns another peer of the member that has the prefix: from what it
// has everywhere, or from a list for this member that comes before in order.
func (w *networkCheck) claimed(member, p *party, prefix netip.Prefix, owners map[netip.Prefix]*party) *party {
	if first := owners[prefix]; first != nil && first != p {
		if via := w.carrier(member, first, prefix); via != nil && via != p {
			return first
		}
	}
	key := listKey{member.name, prefix}
	if w.lists == nil {
		w.lists = map[listKey]*party{}
	}
	if first := w.lists[key]; first != nil && first != p {
		return first
	}
	w.lists[key] = p
	return nil
}

// listKey is a prefix on one member.
type listKey struct {
	member string
	prefix netip.Prefix
}

// checkLonely refuses prefixes of the only party there is.
func (w *networkCheck) checkLonely() {
	if len(w.parties) != 1 {
		return
	}
	p := &w.parties[0]
	given := slices.ContainsFunc(p.allowed, func(a AllowedIPs) bool { return len(a.Prefixes) > 0 })
	for key, given := range map[string]bool{"networks": len(p.networks) > 0, "allowed_ips": given} {
		if given {
			w.errorf(w.under(p.pos, key), "belongs to a member that nobody can reach: %s has no other member and no peer", w.n.Name)
		}
	}
}
