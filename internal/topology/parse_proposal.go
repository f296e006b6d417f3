package topology

import (
	"strings"

	"github.com/vpnctl/vpnctl/internal/proposal"
)

// proposals reads a list of proposals; what is weak in them is a warning.
func (v *value) proposals(protocol proposal.Protocol) []string {
	all := list(v, func(item *value) (string, bool) { return item.proposal(protocol) })
	if len(all) == 0 && !v.bad && v.node.Tag == "!!seq" && len(v.node.Content) == 0 {
		v.fail("has no proposal; leave the key out for strongSwan's own")
	}
	return all
}

func (v *value) proposal(protocol proposal.Protocol) (string, bool) {
	s, ok := v.text()
	if !ok {
		return "", false
	}
	p, err := proposal.Parse(protocol, s)
	if err != nil {
		v.fail("%q is not allowed: %w", shorten(s), err)
		return "", false
	}
	if weak := p.Weak(); len(weak) > 0 {
		v.warnf(v.pos(), "%s is weak: %s", s, strings.Join(weak, "; "))
	}
	return s, true
}

// shortList is a list of proposals and where it stands, so that one that
// nothing uses can be refused.
type shortList struct {
	words []string
	at    *value
}

func readShortList(v *value, protocol proposal.Protocol) shortList {
	return shortList{words: v.proposals(protocol), at: v}
}
