package topology

import (
	"cmp"
	"net/netip"
	"slices"
)

// span is a range of addresses that vpnctl assigns.
type span struct {
	Range
	pos Pos
	// key and item lead from pos to where the range itself stands.
	key  string
	item int
	// group is whose addresses may overlap each other: the members of one
	// interface share a subnet, a server's users are compared with its pools
	// elsewhere. "" is nobody's.
	group string
	// what it is, for messages.
	what string
}

// addSpan notes a range, unless it is link-local: those are everywhere.
func (c *checker) addSpan(s span) {
	if s.From.IsValid() && !s.From.IsLinkLocalUnicast() {
		c.spans = append(c.spans, s)
	}
}

func prefixRange(p netip.Prefix) Range {
	p = p.Masked()
	return Range{From: p.Addr(), To: lastAddr(p), Prefix: p}
}

func oneAddress(a netip.Addr) Range { return Range{From: a, To: a} }

// checkSpans refuses overlaps. Sorted by their beginning, a range overlaps an
// earlier one just if it overlaps the one that reaches furthest; the furthest
// of another group is kept beside it for ranges of the same group.
func (c *checker) checkSpans() {
	slices.SortFunc(c.spans, func(a, b span) int {
		return cmp.Or(a.From.Compare(b.From), b.To.Compare(a.To), cmp.Compare(a.pos.Line, b.pos.Line))
	})
	var far, other *span
	for i := range c.spans {
		s := &c.spans[i]
		for _, earlier := range []*span{far, other} {
			if earlier != nil && !s.allows(earlier) && earlier.Contains(s.From) {
				c.refuseOverlap(earlier, s)
				break
			}
		}
		switch {
		case far == nil || far.To.Less(s.To):
			if far != nil && !s.allows(far) {
				other = far
			}
			far = s
		case !s.allows(far) && (other == nil || other.To.Less(s.To)):
			other = s
		}
	}
}

func (s *span) allows(t *span) bool { return s.group != "" && s.group == t.group }

// refuseOverlap puts the message where the later of the two stands.
func (c *checker) refuseOverlap(a, b *span) {
	if b.pos.Before(a.pos) {
		a, b = b, a
	}
	pos := b.pos
	if b.key != "" {
		pos = c.under(pos, b.key, b.item)
	}
	c.errorf(pos, "%s overlaps %s of %s (line %d)", b.Range, a.Range, a.what, a.pos.Line)
}
