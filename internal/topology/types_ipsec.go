package topology

import (
	"net/netip"
	"time"

	"github.com/vpnctl/vpnctl/internal/secret"
)

// Connection is an IPsec connection: either between two Ends, or a Server that
// anybody with credentials dials.
type Connection struct {
	Name string
	Pos  Pos

	// Ends are none, or two, sorted by name.
	Ends []End
	// Server is the remote access; nil between ends.
	Server *RemoteAccess

	// IKEVersion is 1 or 2.
	IKEVersion int
	// IKEProposals are in strongSwan's words; none leaves its default.
	IKEProposals []string
	// IKERekey is nil where strongSwan's default holds; 0 never rekeys.
	IKERekey *time.Duration
	DPD      DPD
	// Interface is the XFRM interface of a route-based connection, else empty.
	Interface    string
	InterfacePos Pos
	// FailClosed is resolved: what the connection protects never leaves in
	// clear.
	FailClosed bool
	// Settings are swanctl.conf(5)'s other keys, sorted.
	Settings []Setting
	// Children are at least one, sorted by name; without `children` in the
	// file it is one of the connection's own name.
	Children []Child
}

// End is one end of a connection between two.
type End struct {
	Name string
	Pos  Pos
	// Foreign means that the end is no node.
	Foreign bool
	// Addresses are its own or its node's. None, and not Any: nobody reaches
	// it.
	Addresses []Host
	// Any means that the end may be anywhere.
	Any bool
	// ID is resolved: what the end authenticates as.
	ID string
	// IDSet means that the file itself gave the id.
	IDSet bool
	// Subnets are what is behind it; none means its address alone.
	Subnets []Selector
	// Auth is the end's own, else the connection's.
	Auth Auth
}

// CAFor returns what local checks a certificate of remote against: its own
// `ca`, else the one that stands beside the remote's certificate.
func CAFor(local, remote Auth) *secret.Ref {
	if local.CA != nil {
		return local.CA
	}
	return remote.CA
}

// Dialable says whether others can reach the end first.
func (e *End) Dialable() bool { return len(e.Addresses) > 0 && !e.Any }

// RemoteAccess is what a connection has that anybody dials.
type RemoteAccess struct {
	// Node is the server.
	Node string
	// Addresses are its own or its node's.
	Addresses []Host
	// ID is resolved.
	ID    string
	IDSet bool
	Auth  Auth
	Pools []Range
	DNS   []netip.Addr
	// Subnets are what clients reach; none means everything.
	Subnets []Selector
	// Users log in by EAP; without them clients bring certificates.
	Users   []User
	Clients []Client
}

// User is somebody who logs in with a password.
type User struct {
	Name     string
	Pos      Pos
	Password *secret.Ref
	// Address is the user's own, always the same; not valid where the pool
	// gives one. IPsec's users have none.
	Address    netip.Addr
	AddressPos Pos
}

// Client is a node that dials in.
type Client struct {
	Node string
	Pos  Pos
	// User is whom it logs in as; empty where it brings a certificate.
	User string
	// ID is what an IPsec client authenticates as, resolved: its own, else its
	// user's name, else as for an End. Below L2TP it is always the last.
	ID string
	// Auth is what an IPsec client brings and checks of its own: Cert, Key
	// and CA, each nil where the file does not say. A nil CA is the server's.
	Auth Auth
	// Routes are sent through the link; masked and sorted. Not for IPsec,
	// where the server's subnets say it.
	Routes []netip.Prefix
	// Networks are reached through the node: its server routes them into its link. Masked
	// and sorted; of PPP alone.
	Networks     []netip.Prefix
	DefaultRoute bool
	UseDNS       bool
}

// AuthKind is how an end proves who it is.
type AuthKind string

// The kinds of authentication.
const (
	AuthPSK    AuthKind = "psk"
	AuthCert   AuthKind = "cert"
	AuthPubKey AuthKind = "pubkey"
	AuthEAP    AuthKind = "eap"
)

// Auth is how an end proves who it is, and what the other end is checked
// against. Which fields are set follows from Kind; an IPsec client that logs
// in as a user has an empty Kind.
type Auth struct {
	Kind AuthKind
	Pos  Pos
	PSK  *secret.Ref
	// Cert and Key are the end's own, read on its node alone.
	Cert *secret.Ref
	Key  *secret.Ref
	// CA is what this end checks the other against; see CAFor.
	CA *secret.Ref
	// PubKey is the raw public key that belongs to Key.
	PubKey *secret.Ref
	EAP    *EAP
}

// EAP is a login by EAP inside IKEv2.
type EAP struct {
	// Method is strongSwan's name without eap-: mschapv2, md5, gtc, tls, …
	Method string
	// User and Password are the end's; empty on a server, whose users have
	// their own.
	User     string
	Password *secret.Ref
}

// Mode is an IPsec mode.
type Mode string

// The IPsec modes.
const (
	Tunnel    Mode = "tunnel"
	Transport Mode = "transport"
)

// Protocol is the IPsec protocol of a child.
type Protocol string

// The IPsec protocols.
const (
	ESP Protocol = "esp"
	AH  Protocol = "ah"
)

// StartAction says when a child is set up.
type StartAction string

// The start actions.
const (
	StartNone  StartAction = "none"
	StartTrap  StartAction = "trap"
	StartStart StartAction = "start"
)

// DPDAction says what becomes of a child whose peer is dead.
type DPDAction string

// The actions of dead peer detection.
const (
	DPDClear   DPDAction = "clear"
	DPDTrap    DPDAction = "trap"
	DPDRestart DPDAction = "restart"
)

// DPDAction returns the action that goes with a start action.
func (a StartAction) DPDAction() DPDAction {
	switch a {
	case StartStart:
		return DPDRestart
	case StartTrap:
		return DPDTrap
	}
	return DPDClear
}

// DPD is dead peer detection.
type DPD struct {
	// Delay is 30s where the file does not say; 0 is off.
	Delay time.Duration
	// Timeout counts for IKEv1 only; 0 is strongSwan's default.
	Timeout time.Duration
}

// Child is a CHILD_SA. What the file leaves to the connection is filled in.
type Child struct {
	Name string
	Pos  Pos
	// Subnets hold the selectors of each end (sorted by end), of a server the
	// one entry of its own.
	Subnets  []EndSubnets
	Mode     Mode
	Protocol Protocol
	// Proposals are for Protocol; none leaves strongSwan's default.
	Proposals []string
	// Rekey is nil where strongSwan's default holds; 0 never rekeys.
	Rekey *time.Duration
	// StartAction is what holds on a node that can dial the other end; one
	// that cannot only accepts.
	StartAction StartAction
	// StartActionSet means that the file itself gave the action.
	StartActionSet bool
	// DPDAction is empty where it goes with the start action that holds on
	// the node.
	DPDAction DPDAction
	// Settings are swanctl.conf(5)'s other keys, sorted.
	Settings []Setting
}

// EndSubnets are the traffic selectors of one end of a child.
type EndSubnets struct {
	End       string
	Selectors []Selector
}

// SubnetsOf returns the child's selectors at one end.
func (c *Child) SubnetsOf(end string) []Selector {
	for _, s := range c.Subnets {
		if s.End == end {
			return s.Selectors
		}
	}
	return nil
}

// Setting is a key of swanctl.conf(5) that vpnctl passes on. The value is in
// that file's words: "yes" and "no", numbers, seconds ("5400s").
type Setting struct {
	Key   string
	Value string
}
