package lockout

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpnctl/vpnctl/internal/desired"
)

// policyBytes is a policy from 10.1.0.0/16 to 10.2.0.0/16 as the kernel tells it.
func policyBytes(t testing.TB, edit func(b []byte), attrs func(e *netlink.AttributeEncoder)) []byte {
	t.Helper()
	b := make([]byte, policySize)
	copy(b[selDaddr:], []byte{10, 2})
	copy(b[selSaddr:], []byte{10, 1})
	binary.NativeEndian.PutUint16(b[selFamily:], unix.AF_INET)
	b[selPrefixD], b[selPrefixS], b[policyDir] = 16, 16, dirOut
	if edit != nil {
		edit(b)
	}
	e := netlink.NewAttributeEncoder()
	if attrs != nil {
		attrs(e)
	}
	more, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return append(b, more...)
}

// template leads to 192.0.2.40, in one of the modes.
func template(mode byte) func(e *netlink.AttributeEncoder) {
	return func(e *netlink.AttributeEncoder) {
		v := make([]byte, templateSize)
		copy(v[templateDaddr:], []byte{192, 0, 2, 40})
		binary.NativeEndian.PutUint16(v[templateFamily:], unix.AF_INET)
		v[templateMode] = mode
		e.Bytes(attrTemplate, v)
	}
}

func TestParsePolicy(t *testing.T) {
	plain := Policy{Src: netip.MustParsePrefix("10.1.0.0/16"), Dst: netip.MustParsePrefix("10.2.0.0/16")}
	with := func(edit func(p *Policy)) *Policy { p := plain; edit(&p); return &p }
	tests := []struct {
		name  string
		edit  func(b []byte)
		attrs func(e *netlink.AttributeEncoder)
		want  *Policy // nil for one that is left out
	}{
		{"tunnel", nil, template(modeTunnel), with(func(p *Policy) { p.Remote = netip.MustParseAddr("192.0.2.40") })},
		{"transport", nil, template(0), &plain},
		{"pass", nil, nil, with(func(p *Policy) { p.Pass = true })},
		{"block", func(b []byte) { b[policyAction] = actionBlock }, nil, &plain},
		{"coming in", func(b []byte) { b[policyDir] = 0 }, template(modeTunnel), nil},
		{"of a link", nil, func(e *netlink.AttributeEncoder) { template(modeTunnel)(e); e.Uint32(attrIfID, 7) }, nil},
		{"of no link", nil, func(e *netlink.AttributeEncoder) { template(0)(e); e.Uint32(attrIfID, 0) }, &plain},
		{"a port", func(b []byte) {
			b[selProto] = unix.IPPROTO_UDP
			binary.BigEndian.PutUint16(b[selSport:], 1701)
			binary.BigEndian.PutUint16(b[selSportMask:], 0xffff)
		}, template(0), with(func(p *Policy) { p.Ports = desired.Ports{Protocol: "udp", SourcePort: "1701"} })},
		{"ports", func(b []byte) {
			b[selProto] = 132
			binary.BigEndian.PutUint16(b[selDport:], 1024)
			binary.BigEndian.PutUint16(b[selDportMask:], 0xfc00)
		}, template(0), with(func(p *Policy) { p.Ports = desired.Ports{Protocol: "132", Port: "1024-2047"} })},
		{"IPv6", func(b []byte) {
			binary.NativeEndian.PutUint16(b[selFamily:], unix.AF_INET6)
			copy(b[selSaddr:], []byte{0x20, 1})
			b[selPrefixS], b[selPrefixD], b[selDaddr], b[selDaddr+1] = 16, 0, 0, 0
		}, template(0), &Policy{Src: netip.MustParsePrefix("2001::/16"), Dst: netip.MustParsePrefix("::/0")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok, err := parsePolicy(policyBytes(t, tt.edit, tt.attrs))
			if err != nil || ok != (tt.want != nil) {
				t.Fatalf("parsed %v, %v, %v", got, ok, err)
			}
			if ok {
				if diff := cmp.Diff(*tt.want, got, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})); diff != "" {
					t.Errorf("policy (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// FuzzParsePolicy takes anything for a policy; it must not panic.
func FuzzParsePolicy(f *testing.F) {
	f.Add(policyBytes(f, nil, template(modeTunnel)))
	f.Add([]byte{})
	f.Fuzz(func(_ *testing.T, b []byte) { _, _, _ = parsePolicy(b) })
}
