package lockout

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpnctl/vpnctl/internal/desired"
)

// From linux/xfrm.h: the request, its answer, and the attributes of that.
const (
	msgGetPolicy = 0x15
	attrTemplate = 5
	attrIfID     = 31
)

// The layout of struct xfrm_userpolicy_id, xfrm_userpolicy_info and xfrm_user_tmpl
// (linux/xfrm.h), as far as it is read.
const (
	policyIDSize   = 64
	policySize     = 168
	selDaddr       = 0
	selSaddr       = 16
	selDport       = 32
	selDportMask   = 34
	selSport       = 36
	selSportMask   = 38
	selFamily      = 40
	selPrefixD     = 42
	selPrefixS     = 43
	selProto       = 44
	policyDir      = 160
	policyAction   = 161
	templateSize   = 64
	templateDaddr  = 0
	templateFamily = 24
	templateMode   = 48

	dirOut      = 1
	actionBlock = 1
	modeTunnel  = 1
)

// readPolicies lists the policies for packets that leave. A kernel without IPsec has none.
func readPolicies() ([]Policy, error) {
	c, err := netlink.Dial(unix.NETLINK_XFRM, nil)
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening IPsec policies: %w", err)
	}
	defer func() { _ = c.Close() }()
	messages, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: msgGetPolicy, Flags: netlink.Request | netlink.Dump}, Data: make([]byte, policyIDSize),
	})
	if err != nil {
		return nil, fmt.Errorf("reading IPsec policies: %w", err)
	}
	var out []Policy
	for _, m := range messages {
		p, ok, err := parsePolicy(m.Data)
		if err != nil {
			return nil, fmt.Errorf("reading IPsec policies: %w", err)
		}
		if ok {
			out = append(out, p)
		}
	}
	return out, nil
}

var errShort = errors.New("malformed policy")

// parsePolicy reads a policy; false for one that is of no packet that merely leaves: of
// another direction, or of a link that packets are routed into.
func parsePolicy(b []byte) (p Policy, ok bool, err error) {
	if len(b) < policySize {
		return p, false, errShort
	}
	attrs, err := netlink.NewAttributeDecoder(b[policySize:])
	if err != nil {
		return p, false, err
	}
	p.Pass = b[policyAction] != actionBlock
	link := false
	for attrs.Next() {
		switch v := attrs.Bytes(); attrs.Type() {
		case attrTemplate:
			if len(v) < templateSize {
				return p, false, errShort
			}
			p.Pass = false
			if v[templateMode] == modeTunnel {
				p.Remote = addressAt(v, templateDaddr, binary.NativeEndian.Uint16(v[templateFamily:]))
			}
		case attrIfID:
			link = len(v) >= 4 && binary.NativeEndian.Uint32(v) != 0
		}
	}
	if err := attrs.Err(); err != nil {
		return p, false, err
	}
	family := binary.NativeEndian.Uint16(b[selFamily:])
	p.Src = netip.PrefixFrom(addressAt(b, selSaddr, family), int(b[selPrefixS]))
	p.Dst = netip.PrefixFrom(addressAt(b, selDaddr, family), int(b[selPrefixD]))
	p.Ports = portsOf(b)
	return p, b[policyDir] == dirOut && !link && p.Src.IsValid(), nil
}

// protocolNames are those by which a topology names them.
var protocolNames = map[byte]string{unix.IPPROTO_TCP: "tcp", unix.IPPROTO_UDP: "udp", unix.IPPROTO_ESP: "esp", unix.IPPROTO_AH: "ah"}

func portsOf(b []byte) desired.Ports {
	var p desired.Ports
	if proto := b[selProto]; proto != 0 {
		if p.Protocol = protocolNames[proto]; p.Protocol == "" {
			p.Protocol = strconv.Itoa(int(proto))
		}
	}
	p.SourcePort = portAt(b, selSport, selSportMask)
	p.Port = portAt(b, selDport, selDportMask)
	return p
}

// portAt reads a port and its mask as a range.
func portAt(b []byte, at, mask int) string {
	m := binary.BigEndian.Uint16(b[mask:])
	low := binary.BigEndian.Uint16(b[at:]) & m
	switch m {
	case 0:
		return ""
	case 0xffff:
		return strconv.Itoa(int(low))
	}
	return fmt.Sprintf("%d-%d", low, low|^m)
}

func addressAt(b []byte, at int, family uint16) netip.Addr {
	switch family {
	case unix.AF_INET:
		return netip.AddrFrom4([4]byte(b[at : at+4]))
	case unix.AF_INET6:
		return netip.AddrFrom16([16]byte(b[at : at+16]))
	}
	return netip.Addr{}
}
