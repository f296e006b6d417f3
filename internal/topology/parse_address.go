package topology

import (
	"errors"
	"net/netip"
	"slices"
	"strings"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// parseAddr reads an address that a packet can be sent to or from.
func parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, errors.New("is no IP address")
	}
	return checkAddr(a)
}

// checkAddr refuses what is not one machine's address.
func checkAddr(a netip.Addr) (netip.Addr, error) {
	switch {
	case a.Zone() != "":
		return netip.Addr{}, errors.New("has a zone, and nothing here is bound to one interface")
	case a.IsUnspecified(), a.IsMulticast(), a.Unmap() == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return netip.Addr{}, errors.New("is the address of no single machine")
	}
	return a.Unmap(), nil
}

func (v *value) addr() (netip.Addr, bool) {
	s, ok := v.text()
	if !ok {
		return netip.Addr{}, false
	}
	a, err := parseAddr(s)
	if err != nil {
		v.fail("%q %w", shorten(s), err)
	}
	return a, err == nil
}

func (v *value) addrs() []netip.Addr { return list(v, (*value).addr) }

// prefix reads a network; the bits of a host are cut off, as every tool does.
func (v *value) prefix() (netip.Prefix, bool) {
	s, ok := v.text()
	if !ok {
		return netip.Prefix{}, false
	}
	p, err := parsePrefix(s)
	if err != nil {
		v.fail("%q %w", shorten(s), err)
	}
	return p.Masked(), err == nil
}

// parsePrefix reads address/bits; an address alone is that one host.
func parsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, errors.New("is no prefix such as 10.0.0.0/24")
		}
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, errors.New("is no prefix such as 10.0.0.0/24")
	}
	return p, nil
}

// prefixes reads a set of networks: sorted, each once.
func (v *value) prefixes() []netip.Prefix {
	set := list(v, (*value).prefix)
	slices.SortFunc(set, comparePrefixes)
	return slices.Compact(set)
}

func comparePrefixes(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}

// interfaceAddresses reads addresses in the order of the file, each once.
func (v *value) interfaceAddresses() []netip.Prefix {
	var all []netip.Prefix
	for _, p := range list(v, (*value).interfaceAddress) {
		if !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all
}

// interfaceAddress reads an address with the length of its subnet.
func (v *value) interfaceAddress() (netip.Prefix, bool) {
	s, ok := v.text()
	if !ok {
		return netip.Prefix{}, false
	}
	p, err := parsePrefix(s)
	if err == nil {
		_, err = checkAddr(p.Addr())
	}
	if err != nil {
		v.fail("%q %w", shorten(s), err)
	}
	return p, err == nil
}

// parseHost reads an address or a DNS name.
func parseHost(s string) (Host, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		a, err = checkAddr(a)
		return Host{Addr: a}, err
	}
	if !isHostName(s) {
		return Host{}, errors.New("is neither an IP address nor a DNS name")
	}
	return Host{Name: s}, nil
}

func (v *value) host() (Host, bool) {
	s, ok := v.text()
	if !ok {
		return Host{}, false
	}
	h, err := parseHost(s)
	if err != nil {
		v.fail("%q %w", shorten(s), err)
	}
	return h, err == nil
}

// endpoint reads host:port, an IPv6 address in brackets.
func (v *value) endpoint(into *Endpoint) {
	s, ok := v.text()
	if !ok {
		return
	}
	e, err := parseEndpoint(s)
	if err != nil {
		v.fail("%q %w", shorten(s), err)
		return
	}
	*into = e
}

func parseEndpoint(s string) (Endpoint, error) {
	host, port, found := cutLast(s, ":")
	if inner, ok := strings.CutPrefix(host, "["); ok {
		host, found = strings.CutSuffix(inner, "]")
	} else if strings.Contains(host, ":") {
		return Endpoint{}, errors.New("is no endpoint: an IPv6 address goes in brackets, as in [2001:db8::1]:51820")
	}
	n, err := parseNumber(port)
	if !found || err != nil || n < 1 || n > 65535 {
		return Endpoint{}, errors.New("is no endpoint such as vpn.example.net:51820")
	}
	h, err := parseHost(host)
	return Endpoint{Host: h, Port: uint16(n)}, err
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// parseRange reads 10.0.0.10-10.0.0.20 or one address.
func parseRange(s string) (Range, error) {
	from, to, isRange := strings.Cut(s, "-")
	if !isRange {
		to = from
	}
	a, err := parseAddr(strings.TrimSpace(from))
	if err != nil {
		return Range{}, errors.New("is no range such as 10.0.0.10-10.0.0.20")
	}
	b, err := parseAddr(strings.TrimSpace(to))
	switch {
	case err != nil:
		return Range{}, errors.New("is no range such as 10.0.0.10-10.0.0.20")
	case a.BitLen() != b.BitLen():
		return Range{}, errors.New("begins and ends in different address families")
	case b.Less(a):
		return Range{}, errors.New("ends before it begins")
	}
	return Range{From: a, To: b}, nil
}

// addressRange reads a pool for PPP, whose daemons know no prefixes.
func (v *value) addressRange() (Range, bool) {
	s, ok := v.text()
	if !ok {
		return Range{}, false
	}
	r, err := parseRange(s)
	if err != nil {
		v.fail("%q %w", shorten(s), err)
	}
	return r, err == nil
}

// pool reads a pool for IPsec: a prefix or a range.
func (v *value) pool() (Range, bool) {
	s, ok := v.text()
	if !ok {
		return Range{}, false
	}
	if !strings.Contains(s, "/") {
		return v.addressRange()
	}
	p, err := parsePrefix(s)
	if err != nil {
		v.fail("%q %w", shorten(s), err)
		return Range{}, false
	}
	// charon leaves out what lies below an address that is not the network's
	// own, so the bits of the host stay.
	return Range{From: p.Addr(), To: lastAddr(p), Prefix: p}, true
}

// lastAddr returns the highest address of a prefix.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// publicKey reads a WireGuard key. What is there is not repeated: it may be the
// private one.
func (v *value) publicKey(into *wgtypes.Key) {
	s, ok := v.text()
	if !ok {
		return
	}
	key, err := wgtypes.ParseKey(s)
	switch {
	case err != nil:
		v.fail("is no WireGuard public key: use 44 characters of base64, as wg pubkey prints them")
	case key == wgtypes.Key{}:
		v.fail("is the key of nobody: all its bits are zero")
	default:
		*into = key
	}
}
