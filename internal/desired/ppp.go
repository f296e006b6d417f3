package desired

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/topology"
)

// PPP is all that this node has of L2TP and PPTP. They are one type, for one pppd serves
// both, out of one file of secrets.
type PPP struct {
	Servers []PPPServer `json:"servers,omitempty"` // sorted; one of each protocol at most
	Links   []PPPLink   `json:"links,omitempty"`   // sorted; what this node dials
}

// IsZero reports whether the node has neither server nor link.
func (p PPP) IsZero() bool { return len(p.Servers)+len(p.Links) == 0 }

// Server returns the node's server of a protocol, nil where it has none.
func (p *PPP) Server(protocol Tunnelling) *PPPServer {
	for i := range p.Servers {
		if p.Servers[i].Protocol == protocol {
			return &p.Servers[i]
		}
	}
	return nil
}

// LinksOf returns the links of a protocol.
func (p *PPP) LinksOf(protocol Tunnelling) []PPPLink {
	var out []PPPLink
	for i := range p.Links {
		if p.Links[i].Protocol == protocol {
			out = append(out, p.Links[i])
		}
	}
	return out
}

// Tunnelling is a protocol that carries PPP, by its key in the topology.
type Tunnelling string

// The protocols that carry PPP.
const (
	L2TP Tunnelling = "l2tp"
	PPTP Tunnelling = "pptp"
)

// PPPTunnel is what server and link have in common: both ends of one kind of session.
type PPPTunnel struct {
	Protocol Tunnelling `json:"protocol"`
	Name     string     `json:"name"`
	// IPsec is false where it runs in clear, as PPTP always does.
	IPsec bool `json:"ipsec,omitempty"`
	// Auth is how a client may log in, best first, never none: mschapv2, mschap, chap, pap.
	Auth []string `json:"auth"`
	MPPE bool     `json:"mppe,omitempty"` // of 128 bits; both ends insist on it
	MTU  int      `json:"mtu,omitempty"`  // 0: pppd's own default, which Derive never leaves
	// IPv6 lets sessions carry IPv6 as well, of which pppd gives link-local addresses: what
	// is routed into them is Routes of a link, and Networks of a server.
	IPv6 bool `json:"ipv6,omitempty"`
}

// Object is the tunnel's path: "l2tp/office".
func (t *PPPTunnel) Object() string { return string(t.Protocol) + "/" + t.Name }

// AuthName is the server's name in PPP, and so the server column of chap-secrets on both
// ends. It is nobody else's: a line that somebody wrote for another server of this host
// lets nobody into ours, and L2TP's users are not PPTP's.
func (t *PPPTunnel) AuthName() string { return "vpnctl-" + string(t.Protocol) + "-" + t.Name }

// PPPServer is a server that speaks PPP to whoever dials in.
type PPPServer struct {
	PPPTunnel
	LocalIP netip.Addr `json:"local_ip"` // the server's end of every session
	// Pools are sorted. A session takes a place in them even where its user has an address
	// of his own: the daemons choose before they know who calls.
	Pools []AddrRange  `json:"pools,omitempty"`
	DNS   []netip.Addr `json:"dns,omitempty"` // in the order of the topology
	// Idle and SessionLimit 0 are without limit, and so is MaxSessions.
	Idle         time.Duration `json:"idle,omitempty"`
	SessionLimit time.Duration `json:"session_limit,omitempty"`
	MaxSessions  int           `json:"max_sessions,omitempty"`
	// OneLogin means that a user's new session ends his older one. A fixed address never
	// has two.
	OneLogin bool `json:"one_login,omitempty"`
	ProxyARP bool `json:"proxy_arp,omitempty"`
	// Radius are asked instead of Users, of which there are none then.
	Radius []RadiusServer `json:"radius,omitempty"` // in the order of the topology: the first that answers
	Users  []PPPUser      `json:"users,omitempty"`  // sorted by name
	// Networks are routed into the session of a user while he is in. Sorted by user.
	Networks []PPPNetworks `json:"networks,omitempty"`
}

// NetworksOf are the networks behind a user, sorted.
func (s *PPPServer) NetworksOf(user string) []netip.Prefix {
	for i := range s.Networks {
		if s.Networks[i].User == user {
			return s.Networks[i].Prefixes
		}
	}
	return nil
}

// PPPNetworks are networks behind a user: a node that dials in for them.
type PPPNetworks struct {
	User     string         `json:"user"`
	Prefixes []netip.Prefix `json:"prefixes"` // sorted
}

// PPPUser is a user of a server.
type PPPUser struct {
	Name     string     `json:"name"`
	Password secret.ID  `json:"password"`
	Address  netip.Addr `json:"address,omitzero"` // not valid: one of the pools
}

// RadiusServer is where a server asks who may log in.
type RadiusServer struct {
	Host     string    `json:"host"` // an address or a DNS name
	AuthPort int       `json:"auth_port"`
	AcctPort int       `json:"acct_port"`
	Secret   secret.ID `json:"secret"`
}

// PPPLink is a session that this node keeps up with a server.
type PPPLink struct {
	PPPTunnel
	Server string `json:"server"` // an address or a DNS name
	// LocalIP is the server's end of the session.
	LocalIP  netip.Addr     `json:"local_ip"`
	User     string         `json:"user"`
	Password secret.ID      `json:"password"`
	Routes   []netip.Prefix `json:"routes,omitempty"` // sorted
	// DefaultRoute leads everything into the session while it is up, but for the way to
	// the server.
	DefaultRoute bool `json:"default_route,omitempty"`
	UseDNS       bool `json:"use_dns,omitempty"`
}

// FallbackMetric is the metric of the unreachable routes of a session: what is sent while it
// is down leaves nowhere. The routes of the session have a lower one.
const FallbackMetric = 1 << 31

// Fallbacks are the prefixes that lead nowhere while no link of ours is up, and no user is
// in behind whom they are; sorted. With a default route the host's own serves then.
func (p *PPP) Fallbacks() []netip.Prefix {
	var all []netip.Prefix
	for i := range p.Links {
		all = append(all, p.Links[i].Routes...)
	}
	for i := range p.Servers {
		for _, n := range p.Servers[i].Networks {
			all = append(all, n.Prefixes...)
		}
	}
	return normal(all)
}

// AddrRange is a range of addresses, both ends in it.
type AddrRange struct {
	From netip.Addr `json:"from"`
	To   netip.Addr `json:"to"`
}

// String returns the range as a topology writes it.
func (r AddrRange) String() string {
	if r.From == r.To {
		return r.From.String()
	}
	return r.From.String() + "-" + r.To.String()
}

// prefix is the prefix that a range is, false where it is none.
func (r AddrRange) prefix() (netip.Prefix, bool) {
	all := InRange(topology.Range{From: r.From, To: r.To})
	if len(all) != 1 {
		return netip.Prefix{}, false
	}
	return all[0], true
}

// around is the narrowest prefix that a range is in.
func (r AddrRange) around() netip.Prefix {
	p := host(r.From)
	for !p.Contains(r.To) {
		p = netip.PrefixFrom(p.Addr(), p.Bits()-1).Masked()
	}
	return p
}

// Size is how many addresses an IPv4 range has.
func (r AddrRange) Size() int { return int(number4(r.To)-number4(r.From)) + 1 }

// number4 is an IPv4 address as a number.
func number4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func addr4(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

// Slots are the addresses that the daemon hands out, one a session: the pools, as many of
// them as MaxSessions lets it. Where every user has an address of his own and there is no
// pool, these are the places, and pppd gives each user his.
func (s *PPPServer) Slots() []AddrRange {
	from := s.Pools
	if len(from) == 0 {
		var own []netip.Prefix
		for i := range s.Users {
			if a := s.Users[i].Address; a.IsValid() {
				own = append(own, host(a))
			}
		}
		from = joined(normal(own))
	}
	left := s.MaxSessions
	if left == 0 {
		return from
	}
	var out []AddrRange
	for _, r := range from {
		if left <= 0 {
			break
		}
		if r.Size() > left {
			r.To = addr4(number4(r.From) + uint32(left) - 1)
		}
		left -= r.Size()
		out = append(out, r)
	}
	return out
}

// joined are sorted prefixes as the fewest ranges.
func joined(sorted []netip.Prefix) []AddrRange {
	var out []AddrRange
	for _, p := range sorted {
		if n := len(out); n > 0 && out[n-1].To.Next() == p.Addr() {
			out[n-1].To = last(p)
			continue
		}
		out = append(out, AddrRange{From: p.Addr(), To: last(p)})
	}
	return out
}
