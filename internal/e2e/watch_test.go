package e2e

import (
	"strings"
	"syscall"
	"testing"

	"github.com/vpnctl/vpnctl/internal/lab"
)

// byName has a hub that is dialled by name.
const byName = `
version: 1
site: names
nodes:
  hub: {addresses: [hub.example.net]}
  spoke: {}
wireguard:
  wg0:
    listen_port: 51820
    hub: hub
    members:
      hub: {addresses: [10.77.0.1/24], {{pair "hub"}}}
      spoke: {addresses: [10.77.0.2/24], persistent_keepalive: 25s, {{pair "spoke"}}}
`

// resolvesTo is what the node's hosts file says of the hub.
func (n *node) resolvesTo(addr string) {
	n.t.Helper()
	hosts := "127.0.0.1 localhost\n"
	if addr != "" {
		hosts += addr + " hub.example.net\n"
	}
	n.WriteFile("/etc/hosts", hosts, 0o644)
}

// watchPID is the process that watches, "" for none.
func (n *node) watchPID() string {
	n.t.Helper()
	return strings.TrimSpace(n.exec("cat", "/run/vpnctl/watch.pid").stdout)
}

// TestWatch has a name that does not resolve at apply, then to a wrong address, then to
// the right one: the tunnel comes up without anybody's help.
func TestWatch(t *testing.T) {
	l := lab.Start(t, lab.Wire("hub:eth0 192.0.2.1/24", "spoke:eth0 192.0.2.2/24"))
	n := nodes(t, l, program, "hub", "spoke")
	hub, spoke := n[0], n[1]
	k := make(keys)
	text := k.topology(t, byName)
	spoke.resolvesTo("")
	before := snapshot(spoke)
	for _, n := range n {
		n.has(text)
		n.apply()
		n.converged()
	}
	if pid := hub.watchPID(); pid != "" {
		t.Errorf("process %s watches the hub, where nothing is to be watched", pid)
	}
	if spoke.watchPID() == "" {
		t.Error("nobody watches the spoke")
	}
	endpoint := func(want string) {
		t.Helper()
		spoke.await("endpoint "+want, func() bool { return spoke.wgPeer(k.public("hub")).endpoint == want })
		spoke.converged()
	}
	endpoint("(none)")
	spoke.resolvesTo("192.0.2.9")
	endpoint("192.0.2.9:51820")
	spoke.resolvesTo("192.0.2.1")
	endpoint("192.0.2.1:51820")
	spoke.await("a handshake", func() bool { return spoke.peer("hub").State == "up" })
	spoke.Ping("10.77.0.1")

	spoke.testProcess()
	spoke.resolvesTo("")
	spoke.destroy()
	before.same(spoke, "destroy")
}

// testProcess goes through the life of the process that watches a node.
func (n *node) testProcess() {
	n.t.Helper()
	first := n.watchPID()
	if r := n.exits(3, "watch"); !strings.Contains(r.stderr, "process "+first+" watches already") {
		n.t.Errorf("a second watch: %s", r)
	}
	if out := n.apply(); out != "no changes\n" || n.watchPID() != first {
		n.t.Errorf("apply with nothing to do printed:\n%s", out)
	}
	n.Run("kill", "-9", first)
	n.await("the end of process "+first, func() bool { return n.exec("kill", "-0", first).code != 0 })
	if r := n.exits(1, "diff"); !strings.Contains(r.stdout, "+ watch/process\n") {
		n.t.Errorf("diff after the process was killed: %s", r)
	}
	n.exits(0, "apply")
	n.converged()
	if pid := n.watchPID(); pid == "" || pid == first {
		n.t.Errorf("after apply process %q watches", pid)
	}
}

// TestWatchGuards flushes what guards a full tunnel: it comes back, and the rest is left
// to apply.
func TestWatchGuards(t *testing.T) {
	l := lab.Start(t, lab.Wire("hub:eth0 192.0.2.1/24", "laptop:eth0 192.0.2.2/24 via 192.0.2.1"))
	laptop := nodes(t, l, program, "laptop")[0]
	laptop.has(make(keys).topology(t, strings.Replace(fullTunnel, "{{.}}", "192.0.2.1", 1)))
	before := snapshot(laptop)
	laptop.apply()
	guards := func() string { return laptop.Run("iptables-save", "-t", "raw") }
	want := guards()
	if !strings.Contains(want, "-j DROP") {
		t.Fatalf("there is no guard:\n%s", want)
	}
	laptop.Run("iptables", "-t", "raw", "-F")
	laptop.Run("iptables", "-t", "raw", "-X")
	laptop.await("the guard", func() bool { return strings.Contains(guards(), "-j DROP") })
	laptop.converged()
	laptop.destroy()
	before.same(laptop, "destroy")
}

// TestWatchForeground runs it as a container's supervisor does: before the first apply,
// which then needs no other, and until SIGTERM.
func TestWatchForeground(t *testing.T) {
	l := lab.Start(t, lab.Wire("hub:eth0 192.0.2.1/24", "spoke:eth0 192.0.2.2/24"))
	spoke := nodes(t, l, program, "spoke")[0]
	p := spoke.Start(program, "watch")
	spoke.await("the process", func() bool { return spoke.watchPID() != "" })
	pid := spoke.watchPID()
	k := make(keys)
	spoke.resolvesTo("")
	spoke.has(k.topology(t, byName))
	if out := spoke.apply(); strings.Contains(out, "watch/process") || spoke.watchPID() != pid {
		t.Errorf("apply beside a watch in the foreground printed:\n%s", out)
	}
	p.Await("wireguard/wg0/peer/hub: hub.example.net does not resolve; trying again")
	spoke.resolvesTo("192.0.2.1")
	p.Await("wireguard/wg0/peer/hub: endpoint (none) -> 192.0.2.1:51820 (hub.example.net)")
	spoke.destroy()
	if p.Ended() {
		t.Errorf("destroy ended a process that is not apply's:\n%s", p.Output())
	}
	p.Signal(syscall.SIGTERM)
	spoke.await("the end of the process", p.Ended)
	if pid := spoke.watchPID(); pid != "" {
		t.Errorf("process %s has left its file", pid)
	}
}
