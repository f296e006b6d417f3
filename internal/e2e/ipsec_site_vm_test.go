//go:build vm

package e2e

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// owners is a connection of the owner's own charon.
const owners = `connections { owners-own {
  remote_addrs = 192.0.2.7
  local { auth = psk
    id = owner }
  remote { auth = psk
    id = partner }
  children { owners-child { remote_ts = 192.0.2.64/26
    start_action = trap } } } }
secrets { ike-owners { id-1 = owner
  id-2 = partner
  secret = "not ours" } }
`

// TestIPsecSiteToSite is the example from nothing to nothing. gw-a has a charon of its
// owner's, gw-b none.
func TestIPsecSiteToSite(t *testing.T) {
	g := startGateways(t)
	for _, n := range g.nodes() {
		n.destroy() // what another test has left
	}
	startCharon(g.a.Host)
	g.a.WriteFile("/root/owner.conf", owners, 0o600)
	// Loaded over vici alone: no file would bring it back.
	g.a.Run("swanctl", "--load-all", "--noprompt", "--file", "/root/owner.conf")
	conns := g.a.Run("swanctl", "--list-conns")
	before := map[*node]state{g.a: snapshot(g.a), g.b: snapshot(g.b)}
	policies := map[*node]string{g.a: xfrm(g.a), g.b: xfrm(g.b)}
	text := example(t, "ipsec-site-to-site.yaml")
	step := func(name string, do func(t *testing.T, g *gateways)) {
		t.Run(name, func(t *testing.T) { do(t, g.in(t)) })
	}
	step("comes up", func(t *testing.T, g *gateways) {
		seen := watchWire(t, g.r)
		for _, plan := range g.apply(text, g.a) {
			if !strings.Contains(plan, "+ ipsec/mytunnel\n") {
				t.Errorf("apply printed:\n%s", plan)
			}
		}
		g.ha.Unreachable("10.14.0.10") // the other end has nothing yet, and no packet leaves in clear
		g.apply(text, g.b)
		g.up(g.a.Host, "mytunnel")
		g.up(g.b.Host, "mytunnel")
		g.ha.Ping("10.14.0.10")
		g.hb.Ping("10.10.0.10")
		seen.sealed("ESP")
	})
	step("outside", func(t *testing.T, g *gateways) {
		seen := g.r.Capture("ra", "icmp")
		g.ha.Ping("9.9.9.9")
		seen.Await("192.168.10.10 > 9.9.9.9: ICMP echo request")
		if out := seen.Stop(); strings.Contains(out, "10.10.0.10") {
			t.Errorf("not masqueraded:\n%s", out)
		}
	})
	step("apply again", func(t *testing.T, g *gateways) {
		ping := g.ha.PingLoop("10.14.0.10")
		for _, n := range []*node{g.a, g.b} {
			was := sas(n.Host)[0]
			n.converged()
			if out := n.apply(); out != "no changes\n" {
				t.Errorf("second apply on %s printed:\n%s", n.Name(), out)
			}
			if now := sas(n.Host)[0]; now.id != was.id || now.children[0].id != was.children[0].id {
				t.Errorf("second apply on %s made another SA: %+v, was %+v", n.Name(), now, was)
			}
		}
		// An admin's reload ends in the same state.
		g.b.Run("swanctl", "--load-all", "--noprompt")
		g.b.converged()
		ping.Await(3)
		if loss := ping.Stop(); loss.Lost != 0 {
			t.Errorf("a second apply cost packets: %v", loss)
		}
	})
	step("status", checkSiteStatus)
	step("destroy", func(t *testing.T, g *gateways) {
		for n, was := range before {
			n = n.in(t)
			n.destroy()
			was.same(n, "destroy")
		}
		for n, was := range policies {
			if diff := cmp.Diff(was, xfrm(n.in(t))); diff != "" {
				t.Errorf("xfrm on %s after destroy (-before +after):\n%s", n.Name(), diff)
			}
		}
		if now := g.a.Run("swanctl", "--list-conns"); now != conns {
			t.Errorf("connections after destroy:\n%s\nbefore:\n%s", now, conns)
		}
	})
	g.a.Run("sh", "-ec", charonStops)
}

func checkSiteStatus(t *testing.T, g *gateways) {
	for _, end := range []struct {
		n             *node
		local, remote string
	}{{g.a, "192.168.10.10:4500", "192.168.20.20:4500"}, {g.b, "192.168.20.20:4500", "192.168.10.10:4500"}} {
		s := end.n.status()
		if len(s.Tunnels) != 1 || !s.Healthy {
			t.Fatalf("status on %s: %+v", end.n.Name(), s)
		}
		tn := s.Tunnels[0]
		if tn.Protocol != "ipsec" || tn.Name != "mytunnel" || tn.Child != "mytunnel" || tn.State != "up" || tn.Reason != "" ||
			tn.Local != end.local || tn.Remote != end.remote || tn.Backend != "kernel" || tn.RxBytes == 0 || tn.TxBytes == 0 {
			t.Errorf("status on %s: %+v", end.n.Name(), tn)
		}
		_, child := g.sa(end.n.Host, "mytunnel", "mytunnel")
		text := end.n.exits(0, "status", "-v").stdout
		for _, word := range []string{"healthy", "mytunnel", end.remote, "AES_CBC_128/HMAC_SHA2_256_128", child.spiIn} {
			if !strings.Contains(text, word) {
				t.Errorf("status -v on %s lacks %q:\n%s", end.n.Name(), word, text)
			}
		}
	}
}
