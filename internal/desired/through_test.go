package desired

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestThrough: what asks for a policy asks for the link, and nothing else changes, least of
// all the state that it was made of.
func TestThrough(t *testing.T) {
	local := netip.MustParsePrefix("10.10.0.0/24")
	build := func() *Netfilter {
		return &Netfilter{
			Masquerades: []Masquerade{{Source: local, Out: "eth0"}},
			Forwards:    []Forward{{From: local, IPsec: "out"}, {To: local, IPsec: "in"}, {In: "wg0", From: local}},
			Clamps:      []Clamp{{Local: local, MSS: 1350}, {Interface: "wg0", MSS: 1380}},
			Guards:      []Guard{{Dest: local}, {Dest: local, Interface: "xfrm0"}},
			Inner:       []string{"wg0"}, InnerIPsec: []Inner{{Local: local}},
		}
	}
	want := &Netfilter{
		Link:        "ipsec0",
		Masquerades: []Masquerade{{Source: local, Out: "eth0"}},
		Forwards:    []Forward{{From: local, Out: "ipsec0"}, {To: local, In: "ipsec0"}, {In: "wg0", From: local}},
		Clamps:      []Clamp{{Local: local, Interface: "ipsec0"}, {Interface: "wg0", MSS: 1380}},
		Guards:      []Guard{{Dest: local, Interface: "ipsec0"}, {Dest: local, Interface: "xfrm0"}},
		Inner:       []string{"wg0", "ipsec0"},
	}
	equal := cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})
	n := build()
	if diff := cmp.Diff(want, n.Through("ipsec0"), equal); diff != "" {
		t.Errorf("through a link (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(build(), n, equal); diff != "" {
		t.Errorf("it changed (-want +got):\n%s", diff)
	}
	if n.Through("") != n {
		t.Error("no link changes something")
	}
}
