//go:build vm

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/lab"
)

// walkHead is what all topologies of the walk have in common.
const walkHead = `version: 1
site: walk
nodes:
  gw: {addresses: [192.168.10.10]}
  far: {addresses: [192.168.20.20]}
`

// The parts of the walk's topologies: a network, connections, servers, rules.
const (
	walkNetwork = `wireguard:
  wg0:
    listen_port: %d
    members:
      gw: {addresses: [10.0.0.1/24], {{pair "gw"}}, networks: [10.10.0.0/24]%s}
      far: {addresses: [10.0.0.2/24], public_key: {{public "far"}}, networks: [%s], persistent_keepalive: 25s}
`
	walkTunnel = `ipsec:
  lan:
    ends: {gw: {subnets: [10.10.0.0/24]}, far: {subnets: [%s]}}
    auth: {psk: {value: "the key of both gateways"}}
%s`
	walkOther = `  other:
    ends: {gw: {subnets: [10.11.0.0/24]}, far: {subnets: [10.15.0.0/24]}}
    auth: {psk: {value: "the key of both gateways"}}
    interface: xfrm7
`
	walkOffice = `l2tp:
  office:
    server: gw
    local_ip: 192.168.130.1
    pools: [192.168.130.100-192.168.130.%d]
    ipsec: {psk: {value: "the key of the office"}}
    users: {user1: {password: {value: "%s"}}, user2: {password: {value: two}, address: 192.168.130.50}}
`
	walkLegacy = `pptp:
  legacy:
    server: gw
    allow_insecure: true
    local_ip: 192.168.131.1
    pools: [192.168.131.100-192.168.131.110]
    users: {user1: {password: {value: "%s"}}}
`
	walkNAT = "nat:\n  gw:\n    - {source: [10.10.0.0/24, 192.168.130.0/24], out: %s}\n"
)

// walkTopologies mix all protocols.
func walkTopologies(t *testing.T) []string {
	k := keys{}
	var all []string
	for _, parts := range [][]string{
		{fmt.Sprintf(walkNetwork, 51820, "", "10.14.0.0/24"), fmt.Sprintf(walkNAT, "auto")},
		{fmt.Sprintf(walkNetwork, 51821, ", mtu: 1380", "10.14.0.0/24, 10.16.0.0/24"), fmt.Sprintf(walkTunnel, "10.14.0.0/24", ""), walkOther},
		{fmt.Sprintf(walkTunnel, "10.14.0.0/24, 10.17.0.0/24", "    esp_proposals: [aes256-sha256]\n"), fmt.Sprintf(walkOffice, 110, "one"), fmt.Sprintf(walkNAT, "eth0")},
		{fmt.Sprintf(walkOffice, 120, "another"), fmt.Sprintf(walkLegacy, "one")},
		{fmt.Sprintf(walkNetwork, 51820, "", "10.14.0.0/24"), fmt.Sprintf(walkTunnel, "10.18.0.0/24", ""), fmt.Sprintf(walkLegacy, "another"), fmt.Sprintf(walkNAT, "eth0")},
	} {
		all = append(all, k.topology(t, walkHead+strings.Join(parts, "")))
	}
	return all
}

// inherited are settings of our links that are the kernel's own business: a link takes them
// from the default ones at the moment when it is made, and those are otherwise as long as
// there is IPsec. None of these links has neighbours who could be told a shorter way.
var inherited = regexp.MustCompile(`/net/ipv4/conf/(wg0|xfrm7)/(accept|send)_redirects `)

// renewed is what a link has anew whenever it is made: its number, and the random secret
// of its own addresses (RFC 7217), with those.
var renewed = regexp.MustCompile(`: \d+: |stable_secret.*|(inet6|local) fe80::[0-9a-f].*`)

// whole describes a host as two ways to the same topology must leave it: without what names
// processes and what tells of the past.
func whole(n *node) []string {
	n.t.Helper()
	var out []string
	for _, line := range snapshot(n) {
		if !strings.HasPrefix(line, "/run/") && !strings.HasPrefix(line, "/var/lib/vpnctl/") && !inherited.MatchString(line) {
			out = append(out, renewed.ReplaceAllString(line, ": "))
		}
	}
	for _, what := range []string{"--list-conns", "--list-pools"} {
		text, _ := n.Try("swanctl", what) // without a charon there are none
		for line := range strings.Lines(text) {
			out = append(out, "swanctl "+what+": "+strings.TrimSpace(line))
		}
	}
	slices.Sort(out)
	return out
}

// TestWalk goes through topologies of all protocols at random, and kills vpnctl on the way
// to most of them: the next apply ends where a fresh one does.
func TestWalk(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	l := lab.Start(t,
		lab.Wire("gw:eth0 192.168.10.10/24 via 192.168.10.1", "r:ra 192.168.10.1/24"),
		lab.Wire("gw:lan0 10.10.0.1/24 10.11.0.1/24", "h:eth0 10.10.0.10/24"),
	)
	gw := nodes(t, l, program, "gw")[0]
	gw.Run("sh", "-ec", slim+tuned)
	topologies := walkTopologies(t)
	empty := whole(gw)
	want := make([][]string, len(topologies))
	took := make([]time.Duration, len(topologies))
	for i, text := range topologies {
		gw.has(text)
		began := time.Now()
		gw.apply("--node", "gw")
		took[i] = time.Since(began)
		want[i] = whole(gw)
		gw.destroy()
		if diff := cmp.Diff(empty, whole(gw)); diff != "" {
			t.Fatalf("topology %d destroyed (-before +after):\n%s", i, diff)
		}
	}
	const steps = 6
	killed := 0
	for step := range steps {
		i := random.IntN(len(topologies))
		gw.has(topologies[i])
		if step%4 != 3 && gw.killed(time.Duration(random.Int64N(int64(took[i])))) {
			killed++
		}
		gw.apply("--node", "gw")
		if diff := cmp.Diff(want[i], whole(gw)); diff != "" {
			t.Fatalf("step %d, topology %d (-fresh +walked):\n%s", step, i, diff)
		}
		gw.converged()
	}
	gw.destroy()
	if diff := cmp.Diff(empty, whole(gw)); diff != "" {
		t.Errorf("destroyed in the end (-before +after):\n%s", diff)
	}
	t.Logf("%d topologies, %d steps, %d killed on the way", len(topologies), steps, killed)
}

// killed kills an apply after so long, and reports false where it had ended before.
func (n *node) killed(after time.Duration) bool {
	n.t.Helper()
	cmd := n.Cmd(context.Background(), n.program, "apply", "--node", "gw", siteFile)
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	time.Sleep(after) // a moment at random, not one to wait for
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // killed, or done
	return !cmd.ProcessState.Exited()
}
