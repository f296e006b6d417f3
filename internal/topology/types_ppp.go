package topology

import (
	"net/netip"
	"slices"
	"time"

	"github.com/vpnctl/vpnctl/internal/secret"
)

// PPP is what L2TP and PPTP have in common: a server that speaks PPP to
// whoever dials in.
type PPP struct {
	Name string
	Pos  Pos
	// Server is the node that clients dial.
	Server string
	// LocalIP is the server's end of every link.
	LocalIP    netip.Addr
	LocalIPPos Pos
	Pools      []Range
	DNS        []netip.Addr
	// MTU 0 leaves it to vpnctl, which takes one that fits everywhere.
	MTU int
	// Auth is what a client may use, best first, never none.
	Auth []PPPAuth
	// Idle ends a link without traffic; 0 never does.
	Idle time.Duration
	// SessionLimit is the longest session; 0 is without limit.
	SessionLimit time.Duration
	// MaxSessions counts on the server; 0 is without limit.
	MaxSessions int
	// MultipleLogins false means that a new login ends the older.
	MultipleLogins bool
	ProxyARP       bool
	// Radius is nil where the server asks chap-secrets.
	Radius  *Radius
	Users   []User
	Clients []Client
}

// IPv6 reports whether links carry IPv6 as well: where a client has IPv6 to route.
func (p *PPP) IPv6() bool {
	return slices.ContainsFunc(p.Clients, func(cl Client) bool {
		return slices.ContainsFunc(slices.Concat(cl.Routes, cl.Networks), func(p netip.Prefix) bool { return p.Addr().Is6() })
	})
}

// PPPAuth is a way to log in to PPP.
type PPPAuth string

// The ways to log in to PPP, best first.
const (
	MSCHAPv2 PPPAuth = "mschapv2"
	MSCHAP   PPPAuth = "mschap"
	CHAP     PPPAuth = "chap"
	PAP      PPPAuth = "pap"
)

// Radius is where a server asks who may log in.
type Radius struct {
	Pos     Pos
	Servers []RadiusServer
}

// RadiusServer is one RADIUS server.
type RadiusServer struct {
	Pos     Pos
	Address Host
	// AuthPort and AcctPort are 1812 and 1813 where the file does not say.
	AuthPort uint16
	AcctPort uint16
	Secret   *secret.Ref
}

// L2TP is an L2TP server and the nodes that dial it.
type L2TP struct {
	PPP
	// IPsec protects it; nil where the file says `ipsec: none`.
	IPsec *L2TPIPsec
}

// L2TPIPsec is the IPsec connection below L2TP: IKEv1 in transport mode,
// named l2tp-NAME.
type L2TPIPsec struct {
	Pos          Pos
	Auth         Auth
	IKEProposals []string
	ESPProposals []string
	IKERekey     *time.Duration
	ChildRekey   *time.Duration
	DPD          DPD
	// ID is the server's, resolved as that of remote access.
	ID    string
	IDSet bool
	// Settings and ChildSettings are swanctl.conf(5)'s other keys, sorted.
	Settings      []Setting
	ChildSettings []Setting
}

// PPTP is a PPTP server and the nodes that dial it.
type PPTP struct {
	PPP
	// MPPE false runs it in clear.
	MPPE bool
}
