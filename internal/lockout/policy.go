package lockout

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/vpnctl/vpnctl/internal/desired"
)

// policy is the one that takes a packet, nil for none: the narrowest, as charon and the
// kernel have it, and one that spares before any that protects.
func (v *view) policy(p packet, r route) *Policy {
	var best *Policy
	for i := range v.policies {
		s := &v.policies[i]
		if !s.Dst.Contains(p.dst) && s.Dst.IsValid() || !v.from(s.Src, p, r) || !matches(s.Ports, p) {
			continue
		}
		if best == nil || s.Pass && !best.Pass || s.Pass == best.Pass && s.width() > best.width() {
			best = s
		}
	}
	if best == nil || best.Pass {
		return nil
	}
	return best
}

// width grows with how little a policy covers.
func (s *Policy) width() int {
	n := max(s.Src.Bits(), 0) + max(s.Dst.Bits(), 0)
	for _, word := range []string{s.Protocol, s.SourcePort, s.Port} {
		if word != "" {
			n++
		}
	}
	return n
}

// from reports whether a packet's source is in a prefix. What the host wraps up itself has
// an address of the link by which it leaves.
func (v *view) from(src netip.Prefix, p packet, r route) bool {
	switch {
	case !src.IsValid():
		return true
	case p.src.IsValid():
		return src.Contains(p.src)
	case r.Source.IsValid():
		return src.Contains(r.Source)
	}
	return slices.ContainsFunc(v.addrs, func(a address) bool { return a.dev == r.dev && src.Contains(a.Addr) })
}

// matches reports whether a packet is of a protocol and its ports. A port of 0 is not
// known, and may be any.
func matches(want desired.Ports, p packet) bool {
	return (want.Protocol == "" || want.Protocol == p.proto || number(want.Protocol) == p.proto) &&
		inPorts(want.SourcePort, p.sport) && inPorts(want.Port, p.dport)
}

// number is the name of a protocol given by its number.
func number(s string) string {
	switch s {
	case "6":
		return "tcp"
	case "17":
		return "udp"
	case "50":
		return "esp"
	}
	return s
}

func inPorts(ports string, port uint16) bool {
	if ports == "" || ports == "opaque" || port == 0 {
		return true
	}
	low, high, isRange := strings.Cut(ports, "-")
	if !isRange {
		high = low
	}
	a, err := strconv.ParseUint(low, 10, 16)
	if err != nil {
		return true
	}
	b, err := strconv.ParseUint(high, 10, 16)
	return err != nil || uint64(port) >= a && uint64(port) <= b
}
