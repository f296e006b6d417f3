package desired

import (
	"net/netip"
	"slices"

	"github.com/vpnctl/vpnctl/internal/topology"
)

// flow is the traffic of one pair of selectors, seen from here. A prefix that is not valid
// is not known beforehand.
type flow struct {
	local, remote netip.Prefix
	// own means that local is an address of this host, peer that remote is the far
	// gateway itself: neither has anything behind it.
	own, peer bool
	// tunnelled is false in transport mode.
	tunnelled bool
	ports     Ports // of what goes out
}

// span is one prefix of a selector.
type span struct {
	prefix         netip.Prefix
	dynamic        bool
	protocol, port string
}

// spans are the selectors of one side. What is dynamic is at one of the addresses, or
// nobody knows where.
func spans(selectors []topology.Selector, addresses []netip.Prefix) []span {
	if len(selectors) == 0 {
		selectors = []topology.Selector{{Dynamic: true}}
	}
	var out []span
	for _, s := range selectors {
		prefixes := []netip.Prefix{s.Prefix}
		switch {
		case s.Dynamic && len(addresses) == 0:
			prefixes = []netip.Prefix{{}}
		case s.Dynamic:
			prefixes = addresses
		case s.Range.From.IsValid():
			prefixes = InRange(s.Range)
		}
		for _, p := range prefixes {
			out = append(out, span{prefix: p, dynamic: s.Dynamic, protocol: s.Protocol, port: s.Port})
		}
	}
	return out
}

// InRange returns the fewest prefixes that hold exactly the addresses of a range.
func InRange(r topology.Range) []netip.Prefix {
	var out []netip.Prefix
	for a := r.From; a.IsValid() && a.Compare(r.To) <= 0; {
		bits := a.BitLen()
		for bits > 0 {
			wider := netip.PrefixFrom(a, bits-1)
			if wider.Masked().Addr() != a || last(wider).Compare(r.To) > 0 {
				break
			}
			bits--
		}
		p := netip.PrefixFrom(a, bits)
		out = append(out, p)
		a = last(p).Next()
	}
	return out
}

// last is the highest address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// flows pairs the selectors of both sides as charon does: those of one family, and of one
// protocol where both name one.
func flows(local, remote []span, mode topology.Mode) []flow {
	var out []flow
	for _, l := range local {
		for _, r := range remote {
			if l.prefix.IsValid() && r.prefix.IsValid() && l.prefix.Addr().Is4() != r.prefix.Addr().Is4() ||
				l.protocol != "" && r.protocol != "" && l.protocol != r.protocol {
				continue
			}
			for _, p := range ports(l, r) {
				f := flow{local: l.prefix, remote: r.prefix, own: l.dynamic, peer: r.dynamic,
					tunnelled: mode == topology.Tunnel, ports: p}
				if !slices.Contains(out, f) {
					out = append(out, f)
				}
			}
		}
	}
	return out
}

// portProtocols are the protocols of whose ports the packet filter can tell.
var portProtocols = []string{"tcp", "udp", "sctp", "dccp"}

// ports are the protocols and ports of a pair. To the kernel an opaque port is any, and a
// port without protocol is one of TCP and of UDP. A type of ICMP is none: the whole
// protocol is taken, which closes too much rather than too little.
func ports(l, r span) []Ports {
	p := Ports{Protocol: l.protocol, SourcePort: transparent(l.port), Port: transparent(r.port)}
	if p.Protocol == "" {
		p.Protocol = r.protocol
	}
	switch {
	case p.SourcePort == "" && p.Port == "":
		return []Ports{p}
	case p.Protocol == "":
		tcp, udp := p, p
		tcp.Protocol, udp.Protocol = "tcp", "udp"
		return []Ports{tcp, udp}
	case !slices.Contains(portProtocols, p.Protocol):
		return []Ports{{Protocol: p.Protocol}}
	}
	return []Ports{p}
}

func transparent(port string) string {
	if port == "opaque" {
		return ""
	}
	return port
}

// literal are the hosts that are addresses, not names.
func literal(hosts []topology.Host) []netip.Addr {
	var out []netip.Addr
	for _, h := range hosts {
		if h.Addr.IsValid() {
			out = append(out, h.Addr)
		}
	}
	return out
}

// known are the addresses of hosts as prefixes, none where a name is among them: what is
// known in part would be taken for all.
func known(hosts []topology.Host) []netip.Prefix {
	addrs := literal(hosts)
	if len(addrs) < len(hosts) {
		return nil
	}
	out := make([]netip.Prefix, len(addrs))
	for i, a := range addrs {
		out[i] = netip.PrefixFrom(a, a.BitLen())
	}
	return out
}

// local are the end's own subnets that a wider far selector covers: traffic among them is
// not the tunnel's. Between two of the same size, or where the own one is the wider, the
// tunnel's is the narrower policy, and is meant.
func (t *tunnel) local() []netip.Prefix {
	var own, far []netip.Prefix
	for _, f := range t.flows {
		if f.local.IsValid() && !f.own {
			own = append(own, f.local)
		}
		if f.remote.IsValid() {
			far = append(far, f.remote)
		}
	}
	own, far = normal(own), normal(far)
	return slices.DeleteFunc(own, func(l netip.Prefix) bool {
		return t.Server || !slices.ContainsFunc(far, func(r netip.Prefix) bool { return inside(l, r) })
	})
}

// inside reports whether a prefix is a part of another, and not all of it.
func inside(p, of netip.Prefix) bool { return of.Bits() < p.Bits() && of.Contains(p.Addr()) }
