package desired

import (
	"net/netip"
	"slices"
)

// NeedsWatch reports whether somebody has to be there between two applies: for an
// endpoint's name that may move, a guard that somebody may flush, a connection that
// charon may give up, a daemon that vpnctl itself started where nobody else would.
//
// A masquerade alone needs nobody, though its chain begins with an exemption: without
// IPsec of ours there is nothing that could leave in clear.
func (s *State) NeedsWatch() bool {
	n := &s.Netfilter
	return !s.IPsec.IsZero() || !s.PPP.IsZero() || len(n.Guards)+len(n.Exempts)+len(n.AntiSpoofs) > 0 ||
		slices.ContainsFunc(s.Interfaces, func(i Interface) bool {
			return slices.ContainsFunc(i.Peers, func(p Peer) bool { return p.Endpoint.IsName() })
		})
}

// IsName reports whether the endpoint is dialled by a DNS name.
func (e Endpoint) IsName() bool {
	if e.IsZero() {
		return false
	}
	_, err := netip.ParseAddr(e.Host)
	return err != nil
}
