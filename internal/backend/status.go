package backend

import (
	"net/netip"
	"time"
)

// State is how a tunnel fares.
type State string

// The states; see contract, section 2.
const (
	Up         State = "up"
	Down       State = "down"       // this node keeps it up, and it is not
	Connecting State = "connecting" // the first attempt since apply or loss, at most 30 s
	Idle       State = "idle"       // waits for the other side; healthy
)

// Tunnel is one row of `status`. Nil and zero fields do not apply; they print as null.
type Tunnel struct {
	Protocol      Kind
	Name          string
	Child         string
	Peer          string
	State         State
	Reason        string // why it is not up
	Backend       string // kernel, userspace, libipsec
	Interface     string
	Local         string // outer address, with port where there is one
	Remote        string
	Endpoint      string   // what is dialled, as the topology writes it
	Addresses     []string // inner
	User          string
	Since         time.Time
	LastHandshake time.Time
	RxBytes       *uint64
	TxBytes       *uint64
	Idle          *time.Duration // since when nothing has gone through it
	Foreign       bool           // not ours; shown because it matters
	IPsec         *IPsecDetail
	// Carries is the object of the tunnel that runs inside this one ("l2tp/office") and
	// speaks for both: an operator has one tunnel there, not two.
	Carries string
}

// IPsecDetail is what a live CHILD_SA has beyond what all tunnels have.
type IPsecDetail struct {
	IKE     string // algorithms of the IKE_SA: "AES_CBC_128/HMAC_SHA2_256_128/…"
	Child   string // protocol and algorithms of the CHILD_SA
	SPIIn   string // in hex
	SPIOut  string
	RekeyAt time.Time
}

// HandshakeLifetime is how long a WireGuard handshake proves a peer alive: the
// REJECT_AFTER_TIME of the WireGuard paper, section 6.1.
const HandshakeLifetime = 180 * time.Second

// FormatAddrs renders prefixes as the plan and the status print them.
func FormatAddrs(prefixes []netip.Prefix) []string {
	out := make([]string, len(prefixes))
	for i, p := range prefixes {
		out[i] = p.String()
	}
	return out
}
