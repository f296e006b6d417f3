package desired

import (
	"io/fs"
	"net/netip"
	"time"

	"github.com/vpnctl/vpnctl/internal/secret"
)

// IPsec is all that charon shall hold of ours on this node.
type IPsec struct {
	Connections []Connection    `json:"connections,omitempty"` // sorted by name
	Secrets     []CharonSecret  `json:"secrets,omitempty"`     // sorted by name
	Pools       []Pool          `json:"pools,omitempty"`       // sorted by name
	Credentials []Credential    `json:"credentials,omitempty"` // sorted by path
	Links       []XFRMLink      `json:"links,omitempty"`       // sorted by name
	Routes      []SelectorRoute `json:"routes,omitempty"`      // of policy tunnels
	Bypasses    []Bypass        `json:"bypasses,omitempty"`    // pass shunts
}

// IsZero reports whether the node has no IPsec at all; such a node needs no charon.
func (i *IPsec) IsZero() bool { return len(i.Connections) == 0 }

// Connection is one connection as swanctl.conf(5) has it, connections.NAME, seen from
// this node: local is here.
type Connection struct {
	Name string `json:"name"`
	// Origin is whose it is: "ipsec/hq-branch", "l2tp/office".
	Origin  string `json:"origin"`
	Version int    `json:"version"` // of IKE: 1 or 2
	// LocalAddrs and RemoteAddrs are addresses, DNS names or "%any". An empty LocalAddrs
	// is any. Its entries are candidates, how the others reach this host: which of them the
	// host really has is settled by the backend, and where it has none (a cloud's 1:1
	// NAT), it is any.
	LocalAddrs  []string `json:"local_addrs,omitempty"`
	RemoteAddrs []string `json:"remote_addrs,omitempty"`
	Proposals   []string `json:"proposals,omitempty"` // none: strongSwan's default
	// RekeyTime is nil where strongSwan's default holds.
	RekeyTime  *time.Duration `json:"rekey_time,omitempty"`
	DPDDelay   time.Duration  `json:"dpd_delay,omitempty"` // 0: off
	DPDTimeout time.Duration  `json:"dpd_timeout,omitempty"`
	Settings   []Setting      `json:"settings,omitempty"` // swanctl.conf's other keys, sorted
	Local      Auth           `json:"local"`
	Remote     Auth           `json:"remote"`
	Pools      []string       `json:"pools,omitempty"` // names; on a server
	VIPs       []string       `json:"vips,omitempty"`  // "0.0.0.0", "::"; on a client
	IfID       uint32         `json:"if_id,omitempty"` // of an XFRM link; 0: policy-based
	Children   []Child        `json:"children"`        // sorted by name
	// Server is true where anybody with credentials dials in.
	Server bool `json:"server,omitempty"`
	// Clients are the nodes that dial in, on a server: one that is no more loses its SAs.
	Clients []DialIn `json:"clients,omitempty"` // sorted by node
	// FailClosed: what the children protect never leaves in clear (see Guard).
	FailClosed bool `json:"fail_closed,omitempty"`
	// UseDNS and DefaultRoute are a client's wishes; both default false. Without
	// DefaultRoute no default route leads into the tunnel, even where the server offers
	// to carry everything.
	UseDNS       bool `json:"use_dns,omitempty"`
	DefaultRoute bool `json:"default_route,omitempty"`
}

// DialIn is a node that dials a server, and what it authenticates as.
type DialIn struct {
	Node string `json:"node"`
	ID   string `json:"id"`
}

// Auth is one round of authentication of one end: local or remote.
type Auth struct {
	// Method is swanctl.conf's auth: psk, pubkey, eap-mschapv2, …; never empty.
	Method string `json:"method"`
	ID     string `json:"id,omitempty"`     // "" or "%any": anybody
	EAPID  string `json:"eap_id,omitempty"` // "%any" on a server
	// Certs, CACerts and PubKeys are names of files below /etc/swanctl/{x509,x509ca,pubkey},
	// each one of IPsec.Credentials.
	Certs   []string `json:"certs,omitempty"`
	CACerts []string `json:"cacerts,omitempty"`
	PubKeys []string `json:"pubkeys,omitempty"`
}

// Child is one CHILD_SA of a connection.
type Child struct {
	Name      string   `json:"name"`
	LocalTS   []string `json:"local_ts,omitempty"` // swanctl's words; none: dynamic
	RemoteTS  []string `json:"remote_ts,omitempty"`
	Mode      string   `json:"mode"`     // tunnel, transport
	Protocol  string   `json:"protocol"` // esp, ah
	Proposals []string `json:"proposals,omitempty"`
	// RekeyTime is nil where strongSwan's default holds.
	RekeyTime *time.Duration `json:"rekey_time,omitempty"`
	// Hold is the start action in file and charon: none or trap, never start; see the
	// contract on why.
	Hold string `json:"hold"`
	// Initiate says whether vpnctl brings the child up from here, and how patiently.
	Initiate  Initiate  `json:"initiate,omitempty"`
	DPDAction string    `json:"dpd_action"` // clear, trap, restart
	Settings  []Setting `json:"settings,omitempty"`
}

// Initiate says who of two ends brings a child up.
type Initiate string

// The ways to initiate. With "second" the other end has five seconds to do it.
const (
	InitiateNever  Initiate = ""
	InitiateFirst  Initiate = "first"
	InitiateSecond Initiate = "second"
)

// Setting is a key of swanctl.conf(5) that is passed on as it is.
type Setting struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// CharonSecret is a section of swanctl.conf's secrets: ike-NAME, eap-NAME, or private-FILE
// and the like for the passphrase of a key. Its name is the file's section and vici's id.
type CharonSecret struct {
	Name   string    `json:"name"`
	Kind   string    `json:"kind"`             // ike, eap, private
	Owners []string  `json:"owners,omitempty"` // ids it is bound to; never none for ike and eap
	File   string    `json:"file,omitempty"`   // of a passphrase: the key's file name
	Secret secret.ID `json:"secret"`
	// User is whose password it is, for messages.
	User string `json:"user,omitempty"`
}

// Pool is a pool of virtual addresses.
type Pool struct {
	Name  string       `json:"name"`  // CONNECTION-4, CONNECTION-6, …
	Addrs string       `json:"addrs"` // a prefix or a range
	DNS   []netip.Addr `json:"dns,omitempty"`
}

// Credential is a copy of a certificate or key where swanctl reads it:
// /etc/swanctl/{x509,x509ca,pubkey,private}/vpnctl-NAME…, each certificate of a chain in a
// file of its own, for swanctl reads only the first of one. A key's bytes are behind
// Secret, everybody may know the others. From the Masked source, Data is empty.
type Credential struct {
	Path   string      `json:"path"`
	Data   []byte      `json:"data,omitempty"`
	Secret secret.ID   `json:"secret,omitempty"`
	Mode   fs.FileMode `json:"mode"`
}

// XFRMLink is the link of route-based connections.
type XFRMLink struct {
	Name   string         `json:"name"`
	IfID   uint32         `json:"if_id"`
	Routes []netip.Prefix `json:"routes,omitempty"` // far subnets, never a default route
}

// SelectorRoute is a route to a far subnet of a policy tunnel, made only where the host
// has no route there at all: forwarding looks a route up before it asks for a policy.
type SelectorRoute struct {
	Dst netip.Prefix `json:"dst"`
	// Peer is where the tunnel leads: the route goes the way to it.
	Peer string `json:"peer"`
}

// Bypass keeps traffic among an end's own subnets local where the far selector covers
// them too: a pass shunt in charon (contract, IPsec).
type Bypass struct {
	Name    string   `json:"name"`
	LocalTS []string `json:"local_ts"`
}
