package topology

import (
	"net/netip"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/vpnctl/vpnctl/internal/secret"
)

// Network is one WireGuard network: an interface of the same name on each of
// its members. The file's defaults for all members are in the members already.
type Network struct {
	Name string
	Pos  Pos
	// Hub is the member through which the others talk; empty in a full mesh.
	Hub     string
	HubPos  Pos
	Members []Member
	Peers   []Peer
	// PresharedKeys go before a peer's own PresharedKey, and that before the
	// network's.
	PresharedKeys []PairKey
	PresharedKey  *secret.Ref
}

// Member is a node's interface of a Network, and what the others know of it.
type Member struct {
	// Node is the name of the node, and the member's.
	Node string
	Pos  Pos
	// Addresses are the interface's own, in the order of the file, with the
	// length of their subnet.
	Addresses []netip.Prefix
	// PublicKey is zero only in what ParseDraft returns.
	PublicKey wgtypes.Key
	// PrivateKey is nil where the file has none; its own node needs one.
	PrivateKey *secret.Ref
	// Networks are reached through the member; masked and sorted.
	Networks []netip.Prefix
	// AllowedIPs replace what the others would derive for this member; nil
	// where the file has none.
	AllowedIPs []AllowedIPs
	// Endpoint is zero where the file has none: then it is the node's first
	// address with ListenPort.
	Endpoint Endpoint
	// ListenPort 0 leaves the choice to the kernel.
	ListenPort uint16
	// PersistentKeepalive is what the member sends to each of its peers; 0 is
	// off.
	PersistentKeepalive time.Duration
	// MTU 0 is auto.
	MTU int
	// FwMark 0 is none.
	FwMark uint32
	Table  Table
	DNS    DNS
	// NetNS is the network namespace the interface lives in; empty is the
	// host's own.
	NetNS string
	Hooks Hooks
}

// Peer is a machine of a Network on which vpnctl does not run.
type Peer struct {
	Name      string
	Pos       Pos
	Addresses []netip.Prefix
	PublicKey wgtypes.Key
	// Networks are reached through the peer; masked and sorted.
	Networks []netip.Prefix
	// AllowedIPs replace what members would derive for this peer; nil where
	// the file has none.
	AllowedIPs []AllowedIPs
	// Endpoint is zero where the peer dials in.
	Endpoint Endpoint
	// PersistentKeepalive is what members send to this peer; nil leaves each
	// member its own.
	PersistentKeepalive *time.Duration
	// PresharedKey goes before the network's; nil where the file has none.
	PresharedKey *secret.Ref
	// Via names the members that have this peer, never none, in the order of
	// the file: the hub or else all where the file does not say. The slice is
	// shared between peers.
	Via []string
	// ViaPos is zero where the file does not say.
	ViaPos Pos
}

// AllowedIPs replaces the allowed IPs that a member derives for a peer.
type AllowedIPs struct {
	// On is the member that holds them; empty: every other member.
	On  string
	Pos Pos
	// Prefixes are masked and sorted; none at all is meant as such.
	Prefixes []netip.Prefix
}

// PairKey is the preshared key of one pair of members or peers.
type PairKey struct {
	Pos Pos
	// Between is sorted.
	Between [2]string
	Key     *secret.Ref
}

// Table is the routing table that takes an interface's routes. The zero Table
// is auto.
type Table struct {
	// Off means no routes at all.
	Off bool
	// Number is the table; 0 is auto.
	Number uint32
}

// DNS is what wg-quick(8) takes as DNS: servers and search domains.
type DNS struct {
	Servers []netip.Addr
	Search  []string
}

// Hooks are shell lines around an interface's going up and down; %i in them
// stands for its name, not expanded yet.
type Hooks struct {
	PreUp    []string
	PostUp   []string
	PreDown  []string
	PostDown []string
}
