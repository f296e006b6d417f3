//go:build vm

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestIPsecFailClosed pings through everything that takes a tunnel away, and nothing of
// it leaves in clear. In the end the tunnel is up again, each time by itself.
func TestIPsecFailClosed(t *testing.T) {
	g := startGateways(t)
	for _, n := range g.nodes() {
		n.destroy()
	}
	seen := watchWire(t, g.r)
	g.a.has(head + lanTunnel)
	g.a.apply()
	// From here on, all that comes to gw-a is protected. Twenty a second, with or
	// without an answer.
	ping := g.ha.Start("ping", "-n", "-i0.05", "10.14.0.10")
	passes := func(g *gateways) {
		g.t.Helper()
		g.ha.Ping("10.14.0.10")
	}
	step := func(name string, do func(t *testing.T, g *gateways)) {
		t.Run(name, func(t *testing.T) { do(t, g.in(t)) })
	}
	step("no peer yet", func(_ *testing.T, g *gateways) {
		g.ha.Unreachable("10.14.0.10")
	})
	step("first SA", func(_ *testing.T, g *gateways) {
		g.apply(head+lanTunnel, g.b)
		passes(g)
	})
	step("changed", func(_ *testing.T, g *gateways) {
		g.apply(head+strings.Replace(lanTunnel, "esp_proposals: [aes128", "esp_proposals: [aes256", 1), g.b, g.a)
		passes(g)
	})
	step("removed and added", func(_ *testing.T, g *gateways) {
		// While there is another tunnel of the same networks.
		g.apply(head+strings.Replace(lanTunnel, "mytunnel:", "other:", 1), g.b, g.a)
		passes(g)
		g.apply(head+lanTunnel, g.b, g.a)
		passes(g)
	})
	step("peer restarts", func(_ *testing.T, g *gateways) {
		g.b.Run("sh", "-ec", charonStops)
		g.up(g.b.Host, "mytunnel") // it is vpnctl's charon, so vpnctl starts it again
		passes(g)
	})
	step("restart", func(_ *testing.T, g *gateways) {
		g.a.Run("sh", "-ec", charonStops)
		g.up(g.a.Host, "mytunnel")
		passes(g)
	})
	step("policies flushed", func(t *testing.T, g *gateways) {
		// charon believes that they are there, until it is told otherwise.
		g.a.Run("ip", "xfrm", "policy", "flush")
		g.ha.Unreachable("10.14.0.10")
		g.a.Run("swanctl", "--terminate", "--ike", "mytunnel", "--force")
		g.a.Run("sh", "-ec", charonStops)
		g.up(g.a.Host, "mytunnel")
		passes(g)
	})
	step("killed", func(t *testing.T, g *gateways) {
		g.a.Run("sh", "-c", "kill -9 $(pidof charon-systemd)")
		g.up(g.a.Host, "mytunnel")
		passes(g)
	})
	ping.Stop()
	seen.sealed("ESP")
	g.a.converged()
	g.b.converged()
}

// farConns are connections of the far end, one an address, each of which refuses gw-a in
// a way of its own.
const farConns = `connections {
  key { local_addrs = 192.168.30.30
    remote_addrs = 192.168.10.10
    proposals = aes128-sha256-x25519
    local { auth = psk
      id = key-far }
    remote { auth = psk
      id = key-a }
    children { key { local_ts = 10.18.0.0/28
      remote_ts = 10.10.0.0/24 } } }
  ike { local_addrs = 192.168.30.31
    remote_addrs = 192.168.10.10
    proposals = IKEOFFER-sha512-x25519
    local { auth = psk
      id = ike-far }
    remote { auth = psk
      id = ike-a }
    children { ike { local_ts = 10.18.0.16/28
      remote_ts = 10.10.0.0/24 } } }
  esp { local_addrs = 192.168.30.32
    remote_addrs = 192.168.10.10
    proposals = aes128-sha256-x25519
    local { auth = psk
      id = esp-far }
    remote { auth = psk
      id = esp-a }
    children { esp { esp_proposals = ESPOFFER-sha512
      local_ts = 10.18.0.32/28
      remote_ts = 10.10.0.0/24 } } }
}
secrets {
  ike-key { id-1 = key-a
    id-2 = key-far
    secret = "PSK" }
  ike-other { id-1 = ike-a
    id-2 = ike-far
    id-3 = esp-a
    id-4 = esp-far
    secret = "the key that both have" }
}
`

// farTopology is what gw-a has of them, and one of which nobody is at the other end.
func farTopology() string {
	var b strings.Builder
	b.WriteString(head)
	for _, c := range []struct{ name, address, subnet, proposal string }{
		{"key", "192.168.30.30", "10.18.0.0/28", "aes128-sha256"},
		{"ike", "192.168.30.31", "10.18.0.16/28", "aes128-sha256"},
		{"esp", "192.168.30.32", "10.18.0.32/28", "aes128-sha256"},
		{"dead", "192.168.30.99", "10.18.0.48/28", "aes128-sha256"},
	} {
		fmt.Fprintf(&b, `  %[1]s:
    ends:
      gw-a: {id: %[1]s-a, subnets: [10.10.0.0/24]}
      far: {address: %[2]s, id: %[1]s-far, subnets: [%[3]s]}
    auth: {psk: {value: "the key that both have"}}
    ike_proposals: [aes128-sha256-x25519]
    esp_proposals: [%[4]s]
    start_action: start
`, c.name, c.address, c.subnet, c.proposal)
	}
	return b.String()
}

// TestIPsecReasons has tunnels that do not come up, each for a reason of its own, which
// status tells. Put right at the other end, they come up without anything done here.
func TestIPsecReasons(t *testing.T) {
	g := startGateways(t)
	wrong := strings.NewReplacer("PSK", "another key altogether", "IKEOFFER", "aes256", "ESPOFFER", "aes256")
	right := strings.NewReplacer("PSK", "the key that both have", "IKEOFFER-sha512", "aes128-sha256", "ESPOFFER-sha512", "aes128-sha256")
	g.far.has(t, wrong.Replace(farConns))
	seen := watchWire(t, g.r)
	g.apply(farTopology(), g.a)
	applied := time.Now()
	t.Run("wrong", func(t *testing.T) {
		g := g.in(t)
		for name, words := range map[string][]string{
			"key":  {"authentication failed", "PSK", "AUTHENTICATION_FAILED"},
			"ike":  {"no IKE proposal chosen", "aes128-sha256-x25519"},
			"esp":  {"no ESP or AH proposal chosen", "aes128-sha256"},
			"dead": {"no answer from the peer"},
		} {
			var said tunnel
			// Half a minute, on a machine that is not emulated.
			g.a.Eventually(30*time.Second, func() error {
				said = g.tunnel(name)
				if said.State != "down" {
					return fmt.Errorf("%s is %s (%s)", name, said.State, said.Reason)
				}
				return nil
			})
			for _, word := range words {
				if !strings.Contains(said.Reason, word) {
					t.Errorf("%s is down because %q, which lacks %q", name, said.Reason, word)
				}
			}
		}
		t.Logf("told %s after apply", time.Since(applied).Round(time.Second))
		if s := g.a.status(); s.Healthy {
			t.Errorf("status: %+v", s)
		}
		text := g.a.exits(1, "status", "--check").stdout
		if !strings.Contains(text, "no answer from the peer") || !strings.Contains(text, "4 of 4 tunnels down") {
			t.Errorf("status:\n%s", text)
		}
	})
	g.far.has(t, right.Replace(farConns))
	for _, name := range []string{"key", "ike", "esp"} {
		g.up(g.a.Host, name)
		if tn := g.tunnel(name); tn.State != "up" || tn.Reason != "" {
			t.Errorf("status: %+v", tn)
		}
	}
	g.ha.Ping("10.18.0.1")
	if tn := g.tunnel("dead"); tn.State != "down" {
		t.Errorf("status: %+v", tn)
	}
	seen.sealed("ESP")
	g.a.converged()
}

// tunnel is gw-a's status of a child.
func (g *gateways) tunnel(child string) tunnel {
	g.t.Helper()
	s := g.a.status()
	for _, tn := range s.Tunnels {
		if tn.Child == child {
			return tn
		}
	}
	g.t.Fatalf("status has no %s: %+v", child, s)
	return tunnel{}
}

// TestIPsecForeignComesBack has a tunnel to a foreign end, which waits and never dials:
// its restart, and that of our own charon, are ours to mend.
func TestIPsecForeignComesBack(t *testing.T) {
	g := startGateways(t)
	right := strings.NewReplacer("PSK", "the key that both have", "IKEOFFER-sha512", "aes128-sha256", "ESPOFFER-sha512", "aes128-sha256")
	g.far.has(t, right.Replace(farConns))
	one, _, _ := strings.Cut(farTopology(), "  ike:\n")
	g.apply(one, g.a)
	g.up(g.a.Host, "key")
	seen := watchWire(t, g.r)
	for _, tt := range []struct {
		name string
		do   func(g *gateways)
	}{
		{"peer restarts", func(g *gateways) {
			g.far.Run("sh", "-ec", charonStops)
			startCharon(g.far.Host)
			g.far.Run("swanctl", "--load-all", "--noprompt")
		}},
		{"peer deletes", func(g *gateways) { g.far.Run("swanctl", "--terminate", "--ike", "key") }},
		{"restart", func(g *gateways) { g.a.Run("sh", "-ec", charonStops) }},
		{"peer refuses meanwhile", func(g *gateways) {
			wrong := strings.NewReplacer("PSK", "another key altogether", "IKEOFFER", "aes256", "ESPOFFER", "aes256")
			g.far.has(g.t, wrong.Replace(farConns))
			g.a.Eventually(30*time.Second, func() error {
				if tn := g.tunnel("key"); !strings.Contains(tn.Reason, "authentication failed") {
					return fmt.Errorf("status: %+v", tn)
				}
				return nil
			})
			g.far.has(g.t, right.Replace(farConns))
		}},
		{"peer is away until charon has given up", testAway},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := g.in(t)
			tt.do(g)
			g.up(g.a.Host, "key")
			g.ha.Ping("10.18.0.1")
		})
	}
	seen.sealed("ESP")
}

// testAway has the peer away for as long as it takes: charon gives up, which it does after
// 165 seconds elsewhere, and so does each attempt of vpnctl's. From then on a minute is as
// an hour.
func testAway(g *gateways) {
	g.a.WriteFile("/etc/strongswan.d/zz-away.conf", "charon-systemd {\n retransmit_timeout = 0.5\n retransmit_tries = 2\n}\n", 0o644)
	g.a.Run("swanctl", "--reload-settings")
	before, _ := g.sa(g.a.Host, "key", "key")
	g.far.Run("swanctl", "--terminate", "--ike", "key") // the next IKE_SA has these settings
	g.a.await("another IKE_SA", func() bool {
		return slices.ContainsFunc(sas(g.a.Host), func(s sa) bool { return s.id != before.id && len(s.children) == 1 })
	})
	given := func() int { return strings.Count(g.a.ReadFile("/var/log/charon.log"), "giving up after 2 retransmits") }
	old := given()
	g.far.Run("iptables", "-I", "INPUT", "-j", "DROP")
	_, _ = g.a.Try("swanctl", "--rekey", "--ike", "key") // so that charon notices at once
	g.a.Eventually(60*time.Second, func() error {
		if n, tn := given()-old, g.tunnel("key"); n < 3 || tn.State != "down" || !strings.Contains(tn.Reason, "no answer from the peer") {
			return fmt.Errorf("charon has given up %d times; status: %+v", n, tn)
		}
		return nil
	})
	g.a.Run("sh", "-ec", "rm /etc/strongswan.d/zz-away.conf; swanctl --reload-settings")
	g.far.Run("iptables", "-D", "INPUT", "-j", "DROP")
}
