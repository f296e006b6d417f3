package ppp

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/vpnctl/vpnctl/internal/desired"
)

// Session is one pppd of this host, ours or not, that has an interface.
type Session struct {
	// Protocol is what carries it; "" for a pppd that serves neither.
	Protocol desired.Tunnelling
	// Name is the server's or link's, "" for a session that is not vpnctl's.
	Name string
	Link bool // this node dialled
	// User is who logged in, or as whom this node did. It is "" for a session that began
	// before vpnctl's hook was there, unless pppd's command line tells.
	User      string
	Interface string
	Local     netip.Addr // inner
	Remote    netip.Addr
	// Outer is the far end's outer address, with port where that is known.
	Outer string
	// OuterLocal is this end's, where it is known.
	OuterLocal string
	PID        int
	Since      time.Time
	// RxBytes is what came out of the session into this host, TxBytes what went in.
	RxBytes, TxBytes uint64
	// Idle is how long nothing has gone through it in either direction.
	Idle time.Duration
	// Tunnel is the number of the kernel's L2TP tunnel below it; 0 for none.
	Tunnel uint32
}

// Object is the path of the server or link, "" for a session that is not vpnctl's.
func (s *Session) Object() string {
	if s.Name == "" {
		return ""
	}
	return string(s.Protocol) + "/" + s.Name
}

// Sessions are the pppds of a host.
type Sessions interface {
	// List lists them, sorted by interface.
	List(ctx context.Context) ([]Session, error)
	// End ends one, and returns when its pppd is gone; one that is gone is success.
	End(ctx context.Context, s Session) error
}

// name takes an object's path apart; it reports false for what is none of a tunnel's.
func parseObject(object string) (desired.Tunnelling, string, bool) {
	protocol, name, ok := strings.Cut(object, "/")
	switch t := desired.Tunnelling(protocol); t {
	case desired.L2TP, desired.PPTP:
		return t, name, ok && name != ""
	}
	return "", "", false
}
