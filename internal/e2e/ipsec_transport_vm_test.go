//go:build vm

package e2e

import (
	"strings"
	"testing"
)

// TestIPsecTransport is the example of two servers: AH, and then ESP in its place.
func TestIPsecTransport(t *testing.T) {
	g := startGateways(t)
	ah := same(t, "ipsec-transport-ah.yaml")
	esp := strings.NewReplacer("protocol: ah", "protocol: esp", "ah_proposals: [sha256]", "esp_proposals: [aes128-sha256]").Replace(ah)
	for _, tt := range []struct{ kind, topology string }{{"AH", ah}, {"ESP", esp}} {
		t.Run(tt.kind, func(t *testing.T) {
			g := g.in(t)
			g.apply(tt.topology, g.a, g.b)
			g.up(g.a.Host, "a-to-b")
			seen := watchWire(t, g.l.With(t).Host("net13"))
			g.a.Ping("10.13.0.102")
			g.b.Ping("10.13.0.101")
			seen.sealed(tt.kind)
			for _, n := range []*node{g.a, g.b} {
				n.converged()
				if ike, _ := g.sa(n.Host, "a-to-b", "a-to-b"); !strings.Contains(ike.line, "mode=TRANSPORT protocol="+tt.kind) {
					t.Errorf("SA on %s: %s", n.Name(), ike.line)
				}
			}
		})
	}
}

// windows is what the foreign end of the example may speak: IKEv1, and what Windows
// offers.
const windows = `connections { windows {
  version = 1
  local_addrs = 10.10.10.102
  remote_addrs = 10.10.10.101
  proposals = aes128-sha1-modp1024
  local { auth = psk }
  remote { auth = psk }
  children { windows { mode = transport
    esp_proposals = aes128-sha1 } } } }
secrets { ike-windows { secret = "123456" } }
`

// TestIPsecWindows has a foreign end that speaks IKEv1. What starts the trap is a packet.
func TestIPsecWindows(t *testing.T) {
	g := startGateways(t)
	g.far.has(t, windows)
	g.apply(same(t, "ipsec-windows.yaml"), g.a)
	if s := g.a.status(); !s.Healthy || len(s.Tunnels) != 1 || s.Tunnels[0].State != "idle" {
		t.Errorf("status of a trap: %+v", s)
	}
	seen := watchWire(t, g.l.With(t).Host("net10"))
	g.a.Ping("10.10.10.102")
	g.far.Ping("10.10.10.101")
	seen.sealed("ESP")
	ike, _ := g.sa(g.a.Host, "to-windows", "to-windows")
	for _, word := range []string{"version=1", "mode=TRANSPORT", "encr-alg=AES_CBC encr-keysize=128", "dh-group=MODP_1024"} {
		if !strings.Contains(ike.line, word) {
			t.Errorf("SA lacks %s: %s", word, ike.line)
		}
	}
	if tn := g.a.status().Tunnels[0]; tn.State != "up" || tn.Remote != "10.10.10.102:500" {
		t.Errorf("status: %+v", tn)
	}
	g.a.converged()
}
