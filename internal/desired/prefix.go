package desired

import (
	"cmp"
	"net/netip"
	"slices"
)

// hostPrefixes are the addresses of an interface as single hosts: what lies behind its
// subnet belongs to others.
func hostPrefixes(addresses []netip.Prefix) []netip.Prefix {
	hosts := make([]netip.Prefix, len(addresses))
	for i, a := range addresses {
		hosts[i] = netip.PrefixFrom(a.Addr(), a.Addr().BitLen())
	}
	return hosts
}

// comparePrefixes is the order of prefixes wherever they are listed.
func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

func sortPrefixes(p []netip.Prefix) []netip.Prefix {
	slices.SortFunc(p, comparePrefixes)
	return p
}

// normal returns prefixes sorted, each once; the topology's are masked.
func normal(prefixes []netip.Prefix) []netip.Prefix {
	return slices.Compact(sortPrefixes(slices.Clone(prefixes)))
}

// prefixSet answers in constant time, however many prefixes are in it.
type prefixSet map[netip.Prefix]bool

func setOf(prefixes []netip.Prefix) prefixSet {
	s := make(prefixSet, len(prefixes))
	for _, p := range prefixes {
		s[p] = true
	}
	return s
}

// covers reports whether one prefix of the set contains all of p.
func (s prefixSet) covers(p netip.Prefix) bool {
	if len(s) == 0 {
		return false
	}
	for bits := p.Bits(); bits >= 0; bits-- {
		if s[netip.PrefixFrom(p.Addr(), bits).Masked()] {
			return true
		}
	}
	return false
}

// aggregate returns the fewest prefixes that hold the same addresses, sorted: of ten
// thousand neighbours it makes a few rules.
func aggregate(prefixes []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range normal(prefixes) {
		if len(out) > 0 && out[len(out)-1].Overlaps(p) {
			continue // inside the one before, which is the wider
		}
		out = append(out, p)
		for len(out) > 1 {
			parent, ok := join(out[len(out)-2], out[len(out)-1])
			if !ok {
				break
			}
			out = append(out[:len(out)-2], parent)
		}
	}
	return out
}

// join returns the prefix of which a and b are the two halves.
func join(a, b netip.Prefix) (netip.Prefix, bool) {
	if a.Bits() != b.Bits() || a.Bits() == 0 || a == b {
		return netip.Prefix{}, false
	}
	parent := netip.PrefixFrom(a.Addr(), a.Bits()-1).Masked()
	return parent, parent.Addr() == a.Addr() && parent.Contains(b.Addr())
}

// ofFamily returns the prefixes of one family.
func ofFamily(prefixes []netip.Prefix, v6 bool) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range prefixes {
		if p.Addr().Is6() == v6 {
			out = append(out, p)
		}
	}
	return out
}

// has reports whether there is a prefix of one family.
func has(prefixes []netip.Prefix, v6 bool) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Addr().Is6() == v6 })
}
