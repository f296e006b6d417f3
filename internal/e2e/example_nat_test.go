package e2e

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/lab"
)

// The public keys of examples/wireguard-nat.yaml.
const (
	linux1Key = "jG+QjJAyc3SfG8b8Mbg60FmN0mgONqsdDzUHjNg7vg4="
	linux2Key = "MbS80tQ9RiHPfTocgAoHFEeaZqVT25ws9ZF+zGueS3g="
)

// example reads one of the shipped examples.
func example(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("../../examples/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// startNATExample builds the network of examples/wireguard-nat.yaml.
func startNATExample(t *testing.T) (l *lab.Lab, linux1, linux2 *node) {
	t.Helper()
	l = lab.Start(t,
		lab.Wire("linux1:ens192 10.12.0.201/16", "linux2:ens192 10.12.0.202/16"),
		lab.Wire("linux2:ens224 10.13.0.201/16", "linux3:ens160 10.13.0.202/16"),
	)
	n := nodes(t, l, program, "linux1", "linux2")
	// An owner's firewall: what is forwarded must be let through by us.
	n[1].Run("iptables", "-P", "FORWARD", "DROP")
	for _, n := range n {
		n.has(example(t, "wireguard-nat.yaml"))
	}
	return l, n[0], n[1]
}

// TestExampleNAT is the first example from nothing to nothing: linux1 reaches
// linux3, on which nothing is installed, through linux2.
func TestExampleNAT(t *testing.T) {
	l, linux1, linux2 := startNATExample(t)
	before := map[*node]state{linux1: snapshot(linux1), linux2: snapshot(linux2)}
	step := func(name string, do func(t *testing.T, linux1, linux2 *node)) {
		t.Run(name, func(t *testing.T) { do(t, linux1.in(t), linux2.in(t)) })
	}
	step("apply", func(t *testing.T, linux1, linux2 *node) {
		linux1.Unreachable("10.13.0.202")
		for _, n := range []*node{linux1, linux2} {
			if out := n.apply(); !strings.Contains(out, "+ wireguard/wg0\n") {
				t.Errorf("apply on %s printed:\n%s", n.Name(), out)
			}
		}
	})
	step("ping", func(t *testing.T, linux1, _ *node) {
		linux3 := l.With(t).Host("linux3")
		seen := linux3.Capture("ens160", "icmp")
		linux1.Ping("10.13.0.202")
		seen.Await("10.13.0.201 > 10.13.0.202: ICMP echo request")
		if out := seen.Stop(); strings.Contains(out, "10.0.0.1") {
			t.Errorf("linux3 sees the tunnel's address:\n%s", out)
		}
		linux3.Unreachable("10.0.0.1")
	})
	step("wg", func(t *testing.T, linux1, linux2 *node) {
		want := []string{"10.0.0.2/32", "10.13.0.0/16"}
		p := linux1.wgPeer(linux2Key)
		if diff := cmp.Diff(want, p.allowedIPs); diff != "" || p.handshake == 0 {
			t.Errorf("linux2 on linux1: handshake %d, allowed IPs (-want +got):\n%s", p.handshake, diff)
		}
		p = linux2.wgPeer(linux1Key)
		if diff := cmp.Diff([]string{"10.0.0.1/32"}, p.allowedIPs); diff != "" || p.handshake == 0 || p.keepalive != "25" {
			t.Errorf("linux1 on linux2: %+v, allowed IPs (-want +got):\n%s", p, diff)
		}
	})
	step("diff", func(_ *testing.T, linux1, linux2 *node) {
		linux1.converged()
		linux2.converged()
	})
	step("status", checkNATStatus)
	step("apply again", func(t *testing.T, linux1, linux2 *node) {
		ping := linux1.PingLoop("10.13.0.202")
		for _, n := range []*node{linux1, linux2} {
			was := snapshot(n)
			if out := n.apply(); out != "no changes\n" {
				t.Errorf("second apply on %s printed:\n%s", n.Name(), out)
			}
			was.same(n, "a second apply")
		}
		ping.Await(3)
		if loss := ping.Stop(); loss.Lost != 0 {
			t.Errorf("a second apply cost packets: %v", loss)
		}
	})
	step("change", changeNAT)
	step("destroy", func(t *testing.T, linux1, linux2 *node) {
		for n, was := range before {
			n = n.in(t)
			n.destroy()
			was.same(n, "destroy")
		}
	})
}

// checkNATStatus compares status with what wg(8) says.
func checkNATStatus(t *testing.T, linux1, linux2 *node) {
	want, err := carrier()
	if err != nil {
		t.Fatal(err)
	}
	for _, end := range []struct {
		n            *node
		peer, remote string
	}{{linux1, "linux2", "10.12.0.202:51820"}, {linux2, "linux1", "10.12.0.201:51820"}} {
		p := end.n.peer(end.peer)
		if p.State != "up" || p.Remote != end.remote || p.Backend != want || p.Name != "wg0" ||
			p.RxBytes == 0 || p.TxBytes == 0 || time.Since(p.LastHandshake) > time.Minute {
			t.Errorf("status on %s: %+v", end.n.Name(), p)
		}
		text := end.n.exits(0, "status").stdout
		for _, word := range []string{"healthy", end.peer, end.remote, "s ago", want} {
			if !strings.Contains(text, word) {
				t.Errorf("status on %s lacks %q:\n%s", end.n.Name(), word, text)
			}
		}
	}
}

// changeNAT adds a network and a peer while packets flow.
func changeNAT(t *testing.T, linux1, linux2 *node) {
	text := example(t, "wireguard-nat.yaml")
	text = strings.Replace(text, "networks: [10.13.0.0/16]", "networks: [10.13.0.0/16, 10.14.0.0/16]", 1)
	text = strings.Replace(text, "\nnat:\n", `
    peers:
      phone: {addresses: [10.0.0.10/32], public_key: TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=, via: [linux2]}

nat:
`, 1)
	ping := linux1.PingLoop("10.13.0.202")
	handshake := linux1.wgPeer(linux2Key).handshake
	for _, n := range []*node{linux1, linux2} {
		n.has(text)
		r := n.exits(1, "diff", siteFile)
		if !strings.Contains(r.stdout, "; 0 disruptive\n") {
			t.Errorf("diff on %s: %s", n.Name(), r)
		}
		if out := n.apply(); !strings.HasPrefix(out, r.stdout) {
			t.Errorf("apply on %s printed another plan than diff:\n%s", n.Name(), out)
		}
		n.converged()
	}
	ping.Await(3)
	if loss := ping.Stop(); loss.Lost != 0 {
		t.Errorf("a change cost packets of an unchanged tunnel: %v", loss)
	}
	p := linux1.wgPeer(linux2Key)
	want := []string{"10.0.0.10/32", "10.0.0.2/32", "10.13.0.0/16", "10.14.0.0/16"}
	if diff := cmp.Diff(want, p.allowedIPs); diff != "" || p.handshake != handshake {
		t.Errorf("linux2 on linux1: handshake %d, was %d, allowed IPs (-want +got):\n%s", p.handshake, handshake, diff)
	}
	if out := linux1.Run("ip", "route", "get", "10.14.0.1"); !strings.Contains(out, "dev wg0") {
		t.Errorf("route to the new network: %s", out)
	}
}

// TestExampleNATUserspace forces what the other test uses only where the kernel
// has no WireGuard.
func TestExampleNATUserspace(t *testing.T) {
	_, linux1, linux2 := startNATExample(t)
	before := snapshot(linux1)
	linux1.apply("--userspace")
	linux2.apply()
	linux1.Ping("10.13.0.202")
	if p := linux1.peer("linux2"); p.Backend != "userspace" || p.State != "up" {
		t.Errorf("status: %+v", p)
	}
	// What carries an interface that exists is no difference.
	linux1.converged()
	if out := linux1.apply(); out != "no changes\n" {
		t.Errorf("apply without --userspace printed:\n%s", out)
	}
	linux1.Ping("10.13.0.202")
	linux1.destroy()
	before.same(linux1, "destroy")
}
