//go:build vm

package e2e

import (
	"strings"
	"testing"
)

// sites is a tunnel between the networks of two gateways.
const sites = head + `  sites:
    ends:
      gw-a: {subnets: [10.10.0.0/24]}
      gw-b: {subnets: [10.14.0.0/24]}
    auth: {psk: {value: "who works over a tunnel"}}
`

// capturing leads the world outside into a tunnel of which the other end knows nothing.
const capturing = `  office:
    ends:
      gw-a: {subnets: [192.168.10.0/24]}
      gw-b: {subnets: [9.9.9.0/24]}
    auth: {psk: {value: "who works over a tunnel"}}
`

// TestIPsecLockout takes the operator's connection away in the ways that IPsec has.
func TestIPsecLockout(t *testing.T) {
	g := startGateways(t)
	g.apply(sites, g.a, g.b)
	harmless := sites + strings.NewReplacer("192.168.10.0/24", "10.11.0.0/24", "9.9.9.0/24", "10.15.0.0/24").Replace(capturing)
	for _, tt := range []struct{ name, topology, object string }{
		{"policy", sites + capturing, "ipsec/office/child/office"},
		{"link", sites + strings.NewReplacer("    ends", "    interface: xfrm0\n    ends", "192.168.10.0/24", "10.10.0.0/24").Replace(capturing), "route/9.9.9.0/24"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := g.in(t)
			o := logIn(t, g.r, "9.9.9.9", g.a, "192.168.10.10")
			g.a.has(tt.topology)
			o.refuses(tt.object, "apply", siteFile)
			g.apply(sites, g.a)
		})
	}
	t.Run("inside", func(t *testing.T) {
		g := g.in(t)
		o := logIn(t, g.hb, "10.14.0.10", g.a, "10.10.0.1")
		o.alive("by the tunnel")
		g.a.has(harmless)
		o.allows("apply", siteFile)
		g.a.has(strings.Replace(sites, "10.10.0.0/24", "10.11.0.0/24", 1))
		o.refuses("ipsec/sites/child/sites", "apply", siteFile)
		g.apply(sites, g.a)
	})
}
