package ppp

import (
	"net/netip"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/l2tp/tunnel"
)

// carry adds to the sessions of L2TP what the kernel's tunnels below them tell: the outer
// addresses.
func carry(sessions []Session, tunnels []tunnel.Tunnel) {
	for i := range sessions {
		s := &sessions[i]
		if s.Protocol != desired.L2TP {
			continue
		}
		if t := tunnelOf(s, tunnels); t != nil {
			s.Outer, s.OuterLocal = t.Remote.String(), t.Local.String()
		}
	}
}

// tunnelOf finds a session's tunnel, nil where there is none or more than one may be it. A
// pppd that has dialled does not know its number, but whom it called.
func tunnelOf(s *Session, tunnels []tunnel.Tunnel) *tunnel.Tunnel {
	var found *tunnel.Tunnel
	far, _ := netip.ParseAddr(s.Outer)
	for i := range tunnels {
		t := &tunnels[i]
		if s.Tunnel != 0 && t.ID == s.Tunnel {
			return t
		}
		if s.Tunnel == 0 && t.Remote.Addr() == far {
			if found != nil {
				return nil
			}
			found = t
		}
	}
	return found
}
