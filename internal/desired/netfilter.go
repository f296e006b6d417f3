package desired

import "net/netip"

// Netfilter is what the packet filter shall do for all protocols together. The chains
// have many askers, so they are derived here, once, and rendered by one owner.
type Netfilter struct {
	Masquerades []Masquerade `json:"masquerades,omitempty"`
	Forwards    []Forward    `json:"forwards,omitempty"`
	Clamps      []Clamp      `json:"clamps,omitempty"`
	AntiSpoofs  []AntiSpoof  `json:"anti_spoofs,omitempty"`
	OpenPorts   []OpenPort   `json:"open_ports,omitempty"`
	// Exempts keep what connections protect from being masqueraded, whoever's rule it is.
	Exempts []Exempt `json:"exempts,omitempty"`
	// Guards drop what would leave in clear.
	Guards []Guard `json:"guards,omitempty"`
	// Inner opens INPUT and OUTPUT for what tunnels carry to and from this host
	// (`firewall: {open_ports: true}`): one entry an interface.
	Inner []string `json:"inner,omitempty"`
	// InnerIPsec does so for what policies of IPsec protect.
	InnerIPsec []Inner `json:"inner_ipsec,omitempty"`
	// InnerLinks does so for what sessions of PPP carry.
	InnerLinks []InnerLink `json:"inner_links,omitempty"`
	// Drops keep L2TP inside IPsec.
	Drops []Drop `json:"drops,omitempty"`
	// Helpers have conntrack follow PPTP through a masquerade.
	Helpers []Helper `json:"helpers,omitempty"`
	// Link is that by which protected traffic leaves where no policy of the kernel takes
	// it; see Through.
	Link string `json:"link,omitempty"`
}

// IsZero reports whether the node needs no rule at all; such a node needs no iptables.
func (n *Netfilter) IsZero() bool {
	return len(n.Masquerades)+len(n.Forwards)+len(n.Clamps)+len(n.AntiSpoofs)+len(n.OpenPorts)+len(n.Inner)+len(n.InnerIPsec)+
		len(n.Exempts)+len(n.Guards)+len(n.InnerLinks)+len(n.Drops)+len(n.Helpers) == 0
}

// OutAuto as the egress interface means that of the default route, per family.
const OutAuto = "auto"

// Masquerade rewrites the source of what leaves from Source by Out; one entry a source
// prefix. What an IPsec connection protects is exempt, whoever's rule it is.
type Masquerade struct {
	Object string       `json:"object"` // nat/NODE/rule/SOURCE->OUT
	Source netip.Prefix `json:"source"`
	Out    string       `json:"out"`  // an interface's name, or OutAuto
	SNAT   netip.Addr   `json:"snat"` // valid: SNAT to it; else MASQUERADE
}

// Forward lets traffic through the FORWARD chain. Empty fields match anything.
type Forward struct {
	Object string       `json:"object"` // nat/NODE/forward/WHAT
	In     string       `json:"in,omitempty"`
	Out    string       `json:"out,omitempty"` // a name, or OutAuto
	From   netip.Prefix `json:"from"`
	To     netip.Prefix `json:"to"`
	// FromRange and ToRange stand in place of From and To where these are no prefix.
	FromRange AddrRange `json:"from_range,omitzero"`
	ToRange   AddrRange `json:"to_range,omitzero"`
	// Family 4 or 6 where neither From nor To says it; 0 there means both.
	Family int `json:"family,omitempty"`
	// Answers lets only RELATED and ESTABLISHED through.
	Answers bool `json:"answers,omitempty"`
	// IPsec lets only through what a policy protects: "in" what came out of a tunnel,
	// "out" what goes into one; "" asks for neither.
	IPsec string `json:"ipsec,omitempty"`
}

// Inner is traffic of this host itself that a policy of IPsec protects, both ways. A
// prefix that is not valid is any.
type Inner struct {
	Object string       `json:"object"` // nat/NODE/inner/ipsec/CONNECTION
	Local  netip.Prefix `json:"local"`
	Remote netip.Prefix `json:"remote"`
}

// Clamp lowers the MSS of forwarded TCP, both ways: of all that passes an interface, or
// of what a policy protects between Local and Remote. A prefix that is not valid is any.
type Clamp struct {
	Object    string       `json:"object"`
	Interface string       `json:"interface,omitempty"` // "": a policy's traffic
	Local     netip.Prefix `json:"local"`
	Remote    netip.Prefix `json:"remote"`
	Family    int          `json:"family,omitempty"` // 4 or 6; 0: both
	MSS       int          `json:"mss,omitempty"`    // 0: from the path MTU
}

// AntiSpoof is what wg-quick(8) sets beside a full tunnel: packets for the interface's
// own addresses that come in elsewhere from non-local sources are dropped, and the mark
// is kept across a connection so that rp_filter=1 takes the answers.
type AntiSpoof struct {
	Object    string       `json:"object"`
	Interface string       `json:"interface"`
	Addresses []netip.Addr `json:"addresses"` // one family each entry
	Mark      int          `json:"mark"`
}

// OpenPort opens one port, or one protocol, on INPUT and OUTPUT.
type OpenPort struct {
	Object   string `json:"object"`
	Protocol string `json:"protocol"` // udp, tcp, esp, ah, gre
	Port     int    `json:"port,omitempty"`
	// Dialled means that the port is the far end's: from there come answers only.
	Dialled bool `json:"dialled,omitempty"`
	Family  int  `json:"family,omitempty"` // 4 or 6; 0: both
}

// Exempt is traffic of one pair of selectors of a connection: its source is not rewritten.
// Where one of the prefixes is not valid, the pair is not known beforehand, and exempt is
// what a policy has taken.
type Exempt struct {
	Object string       `json:"object"` // nat/NODE/exempt/CONNECTION
	Source netip.Prefix `json:"source"`
	Dest   netip.Prefix `json:"dest"`
	Ports
}

// Ports restricts traffic to a protocol, and that to ports, as a selector does.
type Ports struct {
	Protocol   string `json:"protocol,omitempty"`    // as in the selector; "" for all
	SourcePort string `json:"source_port,omitempty"` // N or N-M; "" for all
	Port       string `json:"port,omitempty"`        // of the destination, likewise
}

// Guard drops traffic of one pair of selectors that no IPsec policy has taken, in
// mangle's FORWARD and OUTPUT: fail_closed. IKE, ESP and AH to the far gateway pass, and
// so does the loopback, and what never leaves its link.
type Guard struct {
	Object string `json:"object"` // nat/NODE/guard/CONNECTION
	// Source is not valid where it is an address of the host's own that is not known
	// beforehand: the guard then covers the host's own packets, and no others.
	Source netip.Prefix `json:"source"`
	Dest   netip.Prefix `json:"dest"`
	Ports
	// Peers are the far gateway's addresses, to which IKE and IPsec itself go; none where
	// they are not known beforehand. The host's own may be others than the topology
	// says (a cloud's 1:1 NAT), so that nothing is asked of them.
	Peers []netip.Addr `json:"peers,omitempty"`
	// Local are the end's own subnets: traffic among them is not the tunnel's.
	Local []netip.Prefix `json:"local,omitempty"`
	// Interface, of a route-based connection or of kernel-libipsec, is where protected
	// packets leave in clear on their way into the tunnel; "" for policy IPsec.
	Interface string `json:"interface,omitempty"`
}

// Drop drops UDP from and to one port of this host that no policy of IPsec has taken, in
// and out, ahead of everybody's rules, whether or not conntrack knows the connection.
type Drop struct {
	Object string `json:"object"` // nat/NODE/drop/WHAT
	Port   int    `json:"port"`
	// Peers are the only ones whose packets are meant; none: everybody's but Except's.
	Peers  []netip.Addr `json:"peers,omitempty"`
	Except []netip.Addr `json:"except,omitempty"`
}

// InnerLink opens INPUT and OUTPUT for what sessions carry between this host and Remote.
// The interface is a pattern that others' may fit, so that only Remote is let in.
type InnerLink struct {
	Object    string       `json:"object"`    // nat/NODE/inner/PROTOCOL/NAME
	Interface string       `json:"interface"` // "ppp+"
	Remote    netip.Prefix `json:"remote"`
	// RemoteRange stands in place of Remote where that is no prefix.
	RemoteRange AddrRange `json:"remote_range,omitzero"`
	// Answers lets only RELATED and ESTABLISHED in.
	Answers bool `json:"answers,omitempty"`
}

// Helper has conntrack follow a protocol that a masquerade would break: the kernel does so
// by itself no more.
type Helper struct {
	Object string       `json:"object"` // nat/NODE/helper/NAME
	Name   string       `json:"name"`   // of the kernel's helper
	Port   int          `json:"port"`   // of TCP
	Source netip.Prefix `json:"source"`
}
