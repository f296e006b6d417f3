//go:build vm

package e2e

import (
	"slices"
	"strings"
	"testing"
)

// The tunnels of the tests that change one of several.
const (
	lanTunnel = `
  mytunnel:
    ends:
      gw-a: {subnets: [10.10.0.0/24]}
      gw-b: {subnets: [10.14.0.0/24]}
    auth: {psk: {value: "the key of the first tunnel"}}
    ike_proposals: [aes128-sha256-x25519]
    esp_proposals: [aes128-sha256]
    start_action: start
`
	beeTunnel = `
  bee:
    ends:
      gw-a: {id: bee-a, subnets: [10.11.0.0/24]}
      gw-b: {id: bee-b, subnets: [10.15.0.0/24]}
    auth: {psk: {value: "the key of the second tunnel"}}
    ike_proposals: [aes128-sha256-x25519]
    esp_proposals: [aes128-sha256]
    start_action: start
`
)

// TestIPsecChange changes one tunnel while a ping runs through another. The plan says
// beforehand what becomes of whose SAs, and that is what becomes of them.
func TestIPsecChange(t *testing.T) {
	g := startGateways(t)
	g.apply(head+lanTunnel, g.b, g.a)
	g.up(g.a.Host, "mytunnel")
	was, wasChild := g.sa(g.a.Host, "mytunnel", "mytunnel")
	seen := watchWire(t, g.r)
	ping := g.ha.PingLoop("10.14.0.10")
	bee := beeTunnel
	for _, tt := range []struct {
		name, old, new string
		costs          []string // lines that gw-b's plan has, of all that begin with "!"
		ike, child     bool     // whether the SA of bee stays
		sa             string   // what its SA has then
	}{
		{name: "added", sa: "encr-alg=AES_CBC encr-keysize=128"},
		{name: "key changed", old: "the second tunnel", new: "the second one", ike: true, child: true},
		{
			name: "child changed", old: "esp_proposals: [aes128", new: "esp_proposals: [aes256", ike: true,
			costs: []string{"! replaces CHILD_SA bee: interrupts 1 tunnel (bee 192.168.10.10)"},
			sa:    "encr-alg=AES_CBC encr-keysize=256 integ-alg=HMAC_SHA2_256_128 bytes-in",
		},
		{
			name: "IKE part changed", old: "aes128-sha256-x25519", new: "aes256-sha384-x25519",
			costs: []string{"! replaces IKE_SA bee: interrupts 1 tunnel (bee 192.168.10.10)"},
			sa:    "prf-alg=PRF_HMAC_SHA2_384",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := g.in(t)
			var before sa
			var beforeChild childSA
			if tt.old != "" {
				before, beforeChild = g.sa(g.a.Host, "bee", "bee")
			}
			if tt.old != "" && !strings.Contains(bee, tt.old) {
				t.Fatalf("no %q in topology", tt.old)
			}
			bee = strings.Replace(bee, tt.old, tt.new, 1)
			plans := g.apply(head+lanTunnel+bee, g.b, g.a)
			// The first to apply closes the SA; the other may find none any more.
			if got := costs(plans[0]); !slices.Equal(got, tt.costs) {
				t.Errorf("plan tells costs %q, want %q:\n%s", got, tt.costs, plans[0])
			}
			g.up(g.a.Host, "bee")
			g.ha.Ping("10.15.0.10", "-I", "10.11.0.10")
			now, nowChild := g.sa(g.a.Host, "bee", "bee")
			if tt.old != "" && (now.id == before.id) != tt.ike {
				t.Errorf("IKE_SA is %s, was %s", now.id, before.id)
			}
			if tt.old != "" && (nowChild.spiIn == beforeChild.spiIn) != tt.child {
				t.Errorf("CHILD_SA is %+v, was %+v", nowChild, beforeChild)
			}
			if !strings.Contains(now.line, tt.sa) {
				t.Errorf("SA lacks %q: %s", tt.sa, now.line)
			}
			g.a.converged()
			g.b.converged()
		})
	}
	t.Run("removed", func(t *testing.T) {
		g := g.in(t)
		plans := g.apply(head+lanTunnel, g.a, g.b)
		if got := costs(plans[0]); len(got) != 1 || !strings.Contains(got[0], "(bee 192.168.20.20)") {
			t.Errorf("plan tells costs %q:\n%s", got, plans[0])
		}
		g.gone(g.a.Host, "bee")
		g.gone(g.b.Host, "bee")
		if out := g.a.Run("swanctl", "--list-conns"); strings.Contains(out, "bee") {
			t.Errorf("bee is loaded:\n%s", out)
		}
	})
	ping.Await(3)
	if loss := ping.Stop(); loss.Lost != 0 {
		t.Errorf("changes of one tunnel cost packets of another: %v", loss)
	}
	now, nowChild := g.sa(g.a.Host, "mytunnel", "mytunnel")
	if now.id != was.id || nowChild.id != wasChild.id {
		t.Errorf("the unchanged tunnel has another SA: %+v, was %+v", now, was)
	}
	seen.sealed("ESP")
}

// costs are the lines of a plan that say what a change costs.
func costs(plan string) []string {
	var all []string
	for line := range strings.Lines(plan) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "!") {
			all = append(all, line)
		}
	}
	return all
}

// TestIPsecForeign has connections of the owner's beside ours: one in a file, one loaded
// over vici alone.
func TestIPsecForeign(t *testing.T) {
	g := startGateways(t)
	g.apply(head+lanTunnel, g.b, g.a)
	g.up(g.a.Host, "mytunnel")
	g.a.WriteFile("/etc/swanctl/conf.d/owner.conf", owners, 0o600)
	t.Cleanup(func() {
		g.a.Run("rm", "/etc/swanctl/conf.d/owner.conf")
		g.a.Run("swanctl", "--load-all", "--noprompt", "--clear")
	})
	// An owner's reload keeps our SA.
	was, _ := g.sa(g.a.Host, "mytunnel", "mytunnel")
	g.a.Run("swanctl", "--load-all", "--noprompt")
	if now, _ := g.sa(g.a.Host, "mytunnel", "mytunnel"); now.id != was.id {
		t.Errorf("a reload made another SA: %+v, was %+v", now, was)
	}
	g.a.converged()
	loaded := func() (own []string) {
		for conn := range strings.SplitSeq(g.a.Run("swanctl", "--list-conns", "--raw"), "list-conn event ") {
			if strings.HasPrefix(conn, "{owners-own ") {
				own = append(own, conn)
			}
		}
		return own
	}
	before := loaded()
	if len(before) != 1 {
		t.Fatalf("the owner's connection is not loaded: %q", before)
	}
	policies := ownersPolicies(g.a)
	// Gone from the file and still loaded: what a reload would take away.
	g.a.Run("mv", "/etc/swanctl/conf.d/owner.conf", "/root/owner.conf")
	g.apply(head+lanTunnel+beeTunnel, g.b, g.a)
	g.apply(head+lanTunnel, g.a, g.b)
	if after := loaded(); !slices.Equal(before, after) || ownersPolicies(g.a) != policies {
		t.Errorf("the owner's connection is %q\n%s, was %q\n%s", after, ownersPolicies(g.a), before, policies)
	}
	clash := head + lanTunnel + strings.Replace(beeTunnel, "bee:", "owners-own:", 1)
	t.Run("loaded name", func(t *testing.T) {
		n := g.a.in(t)
		n.has(clash)
		n.refuses([]string{"apply", siteFile}, "ipsec/owners-own")
	})
	g.a.Run("mv", "/root/owner.conf", "/etc/swanctl/conf.d/owner.conf")
	t.Run("name in a file", func(t *testing.T) {
		n := g.a.in(t)
		n.has(clash)
		n.refuses([]string{"apply", siteFile}, "ipsec/owners-own", "/etc/swanctl/conf.d/owner.conf")
	})
	g.a.has(head + lanTunnel)
	if now, _ := g.sa(g.a.Host, "mytunnel", "mytunnel"); now.id != was.id {
		t.Errorf("our tunnel has another SA: %+v, was %+v", now, was)
	}
}

func ownersPolicies(n *node) string {
	return n.Run("sh", "-c", "ip xfrm policy | grep -A3 192.0.2.64/26")
}
