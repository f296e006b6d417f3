package ppp

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/l2tp/tunnel"
)

func TestCarry(t *testing.T) {
	port := netip.MustParseAddrPort
	tunnels := []tunnel.Tunnel{
		{ID: 7, Local: port("10.13.0.101:1701"), Remote: port("10.13.0.105:1701")},
		{ID: 8, Local: port("10.13.0.101:1701"), Remote: port("10.13.0.105:40001")},
		{ID: 9, Local: port("10.13.0.101:1701"), Remote: port("10.13.0.9:1701")},
	}
	sessions := []Session{
		{Protocol: desired.L2TP, Tunnel: 8, Outer: "10.13.0.105"},
		{Protocol: desired.L2TP, Tunnel: 6, Outer: "10.13.0.106"},
		{Protocol: desired.L2TP, Link: true, Outer: "10.13.0.9"},
		{Protocol: desired.L2TP, Link: true, Outer: "10.13.0.105"}, // of two, nobody knows which
		{Protocol: desired.L2TP},
		{Protocol: desired.PPTP, Outer: "10.13.0.9"},
	}
	carry(sessions, tunnels)
	var got [][2]string
	for _, s := range sessions {
		got = append(got, [2]string{s.OuterLocal, s.Outer})
	}
	want := [][2]string{
		{"10.13.0.101:1701", "10.13.0.105:40001"}, {"", "10.13.0.106"}, {"10.13.0.101:1701", "10.13.0.9:1701"},
		{"", "10.13.0.105"}, {}, {"", "10.13.0.9"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outer addresses (-want +got):\n%s", diff)
	}
}
