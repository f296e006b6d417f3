package topology

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// protocols are the names that /etc/protocols has for what tunnels carry; any
// other is given by its number.
const protocols = "icmp igmp ipencap tcp udp dccp ipv6 ipv6-icmp rsvp gre esp ah ospf ipip pim ipcomp vrrp l2tp sctp udplite"

// services are resolved here: charon would ask /etc/services of the host,
// which a small host lacks.
var services = map[string]string{
	"ftp": "21", "ssh": "22", "telnet": "23", "smtp": "25", "domain": "53", "http": "80", "ntp": "123",
	"snmp": "161", "ldap": "389", "https": "443", "syslog": "514", "ldaps": "636", "l2tp": "1701", "radius": "1812",
}

func (v *value) selectors() []Selector {
	return list(v, func(item *value) (Selector, bool) {
		s, ok := item.text()
		if !ok {
			return Selector{}, false
		}
		sel, err := ParseSelector(s)
		if err != nil {
			item.fail("%q %w", shorten(s), err)
		}
		return sel, err == nil
	})
}

// ParseSelector reads a selector as a topology and swanctl.conf(5) write it.
func ParseSelector(s string) (Selector, error) {
	where, what, restricted := strings.Cut(s, "[")
	var sel Selector
	if restricted {
		inner, closed := strings.CutSuffix(what, "]")
		if !closed {
			return sel, errors.New("does not end with ]")
		}
		if err := sel.restrict(inner); err != nil {
			return sel, err
		}
	}
	switch {
	case where == "dynamic":
		sel.Dynamic = true
	case strings.Contains(where, "-"):
		r, err := parseRange(where)
		if err != nil {
			return sel, err
		}
		sel.Range = r
	default:
		p, err := parsePrefix(where)
		if err != nil {
			return sel, errors.New("is no traffic selector such as 10.1.0.0/16, 10.1.0.0/16[tcp/80] or dynamic")
		}
		sel.Prefix = p.Masked()
	}
	return sel, nil
}

// restrict reads protocol/port.
func (s *Selector) restrict(what string) error {
	protocol, port, _ := strings.Cut(what, "/")
	n, err := strconv.ParseUint(protocol, 10, 8)
	switch {
	case protocol == "", protocol == "any":
	case slices.Contains(strings.Fields(protocols), protocol):
		s.Protocol = protocol
	case err == nil:
		s.Protocol = strconv.FormatUint(n, 10)
	default:
		return errors.New("names an unknown protocol: use tcp, udp, icmp, gre, … or a number")
	}
	if number, ok := services[port]; ok {
		port = number
	}
	switch {
	case port == "", port == "any":
	case port == "opaque", validPorts(port):
		s.Port = port
	case port == "%any":
		// charon refuses the whole connection over it.
		return errors.New("names the port %any: any port is what [" + protocol + "] alone means")
	default:
		return errors.New("names no port: use a number, a range such as 1024-2048, or opaque")
	}
	return nil
}

func validPorts(s string) bool {
	low, high, isRange := strings.Cut(s, "-")
	a, err := strconv.ParseUint(low, 10, 16)
	if err != nil || !isRange {
		return err == nil
	}
	b, err := strconv.ParseUint(high, 10, 16)
	return err == nil && a <= b
}

// family returns the address of a selector that tells its family; it is not
// valid for a dynamic one.
func (s Selector) family() netip.Addr {
	if s.Prefix.IsValid() {
		return s.Prefix.Addr()
	}
	return s.Range.From
}
