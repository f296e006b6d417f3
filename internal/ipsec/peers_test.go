package ipsec_test

import (
	"strings"
	"testing"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/plan"
)

// TestNamedPeer: the route of a tunnel to a peer that has a name goes by its address, and
// stays where the name does not resolve any more.
func TestNamedPeer(t *testing.T) {
	const name = "gw-b.example.net"
	named := func(r *rig) *desired.State {
		return state(net(r, "a", func(c *desired.Connection) { c.RemoteAddrs = []string{name} }), func(i *desired.IPsec) {
			selectorRoute("10.14.0.0/24")(i)
			i.Routes[0].Peer = name
		})
	}
	unresolved := func(r *rig) { r.names = nil }
	for _, tt := range []struct {
		name   string
		before func(r *rig) // before the apply
		after  func(r *rig) // and after it
		routed bool
	}{
		{"resolves", nil, nil, true},
		{"resolves no more", nil, unresolved, true},
		{"does not resolve", unresolved, nil, false},
		{"comes to resolve", unresolved, func(r *rig) { r.names = map[string]string{name: "192.168.20.20"} }, true},
		{"at boot", nil, func(r *rig) { r.options.Boot = true }, true},
		{"no way there", func(r *rig) { r.names[name] = "203.0.113.1" }, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.names = map[string]string{name: "192.168.20.20"}
			if tt.before != nil {
				tt.before(r)
			}
			want := named(r)
			r.apply(want)
			if tt.after != nil {
				tt.after(r)
				r.apply(want)
			}
			if got := strings.Contains(r.network.String(), "route 10.14.0.0/24"); got != tt.routed {
				t.Errorf("routed: %t\n%s", got, r.network)
			}
			if text := r.text(want); text != plan.NoChanges {
				t.Errorf("plan is %s", text)
			}
			r.options.Boot = false
			r.apply(state())
			if text := r.network.String(); strings.Contains(text, "10.14.0.0") {
				t.Errorf("after all:\n%s", text)
			}
		})
	}
}
