package nat_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/lab"
	"github.com/vpnctl/vpnctl/internal/nat"
	"github.com/vpnctl/vpnctl/internal/nat/nattest"
	"github.com/vpnctl/vpnctl/internal/plan"
)

// These tests work on this machine's kernel, with its own iptables, in a namespace. They
// need root.

// applyEnv turns the test binary into a process that applies what it reads, and says what
// it planned: /proc/net is that of a process, not of a thread in another namespace.
const applyEnv = "NAT_TEST_APPLY"

func TestMain(m *testing.M) {
	if os.Getenv(applyEnv) == "" {
		os.Exit(m.Run())
	}
	var j job
	if err := json.NewDecoder(os.Stdin).Decode(&j); err != nil {
		panic(err)
	}
	j.run()
	if err := json.NewEncoder(os.Stdout).Encode(j); err != nil {
		panic(err)
	}
}

// job is one apply in a process of the host, before and after.
type job struct {
	Want, Applied *desired.State
	Memory        backend.Memory
	Unprivileged  bool
	Plan          string
	Err           string
	Refused       bool
}

func (j *job) run() {
	if j.Unprivileged {
		// The thread's capabilities are what counts. It takes them along when it ends.
		runtime.LockOSThread()
		head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		if err := unix.Capset(&head, &make([]unix.CapUserData, 2)[0]); err != nil {
			panic(err)
		}
	}
	c := &converger{memory: j.Memory, applied: j.Applied}
	p, err := c.plan(j.Want)
	if err == nil {
		j.Plan = p.Text(plan.Palette{})
		err = c.apply(j.Want)
	}
	if err != nil {
		j.Err, j.Refused = err.Error(), backend.IsRefusal(err)
	}
}

// gateway is a host of the lab.
type gateway struct {
	*lab.Host
	lab     *lab.Lab
	t       *testing.T
	memory  backend.Memory
	applied *desired.State
}

func newGateway(t *testing.T, links ...lab.Link) *gateway {
	l := lab.Start(t, append(links, lab.Wire("gw:eth0 192.0.2.1/24 2001:db8::1/64 via 192.0.2.2 via 2001:db8::2", "far:eth0 192.0.2.2/24 2001:db8::2/64"))...)
	return &gateway{Host: l.Host("gw"), lab: l, t: t, memory: make(backend.Memory)}
}

// try does a job in a process of the host.
func (g *gateway) try(j job) job {
	g.t.Helper()
	j.Applied, j.Memory = g.applied, g.memory
	in, err := json.Marshal(j)
	if err != nil {
		g.t.Fatal(err)
	}
	cmd := g.Cmd(context.Background(), "/proc/self/exe")
	cmd.Env = append(cmd.Env, applyEnv+"=1")
	var out, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &stderr
	if err := cmd.Run(); err != nil {
		g.t.Fatalf("%v: %s", err, stderr.String())
	}
	if err := json.NewDecoder(&out).Decode(&j); err != nil {
		g.t.Fatal(err)
	}
	return j
}

// apply applies and returns the text of the plan.
func (g *gateway) apply(want *desired.State) string {
	g.t.Helper()
	j := g.try(job{Want: want})
	if j.Err != "" {
		g.t.Fatal(j.Err)
	}
	g.memory, g.applied = j.Memory, want
	return j.Plan
}

// saved is what a kind's iptables-save prints, in the fake's order.
func (g *gateway) saved(k nat.Kind) string {
	g.t.Helper()
	var b strings.Builder
	for _, f := range []string{"iptables", "ip6tables"} {
		b.WriteString(ordered(g.Run(f + "-" + string(k) + "-save")))
	}
	return b.String()
}

var counters = regexp.MustCompile(`\[\d+:\d+\]`)

// ordered drops comments, counters and tables without content, and sorts tables and
// chains, whose order says nothing. That of the rules in a chain stays.
func ordered(save string) string {
	tables := make(map[string][]string)
	name := ""
	for line := range strings.Lines(save) {
		line = strings.TrimSpace(counters.ReplaceAllString(line, "[0:0]"))
		switch {
		case strings.HasPrefix(line, "#") || line == "COMMIT":
		case strings.HasPrefix(line, "*"):
			name = line
		default:
			tables[name] = append(tables[name], line)
		}
	}
	var b strings.Builder
	for _, name := range []string{"*mangle", "*raw", "*nat", "*filter"} {
		lines := tables[name]
		slices.SortStableFunc(lines, func(a, b string) int {
			chain := func(line string) string {
				f := strings.Fields(line)
				if f[0] == "-A" {
					return "-A " + f[1]
				}
				return f[0]
			}
			return -strings.Compare(chain(a), chain(b))
		})
		if slices.ContainsFunc(lines, func(l string) bool { return !strings.HasSuffix(l, " ACCEPT [0:0]") }) {
			fmt.Fprintf(&b, "%s\n%s\n", name, strings.Join(lines, "\n"))
		}
	}
	return b.String()
}

// fakeSaved is the same of a fake.
func fakeSaved(h *nattest.Host, k nat.Kind) string {
	return ordered(h.Saved(nat.IPv4, k)) + ordered(h.Saved(nat.IPv6, k))
}

// install loads into the real host what the fake one holds.
func (g *gateway) install(h *nattest.Host, k nat.Kind) {
	g.t.Helper()
	g.Input(h.Saved(nat.IPv4, k), "iptables-"+string(k)+"-restore", "-n")
	g.Input(h.Saved(nat.IPv6, k), "ip6tables-"+string(k)+"-restore", "-n")
}

// TestRealTables walks a real host and a fake one through the same states. They hold the
// same afterwards, and at the end what the owner had at the beginning.
func TestRealTables(t *testing.T) {
	for _, k := range []nat.Kind{nat.NFT, nat.Legacy} {
		t.Run(string(k), func(t *testing.T) {
			g, m := newGateway(t), newMachine(nat.NFT, nat.Legacy)
			owner(m.Host, k)
			g.install(m.Host, k)
			before := g.saved(k)
			if diff := cmp.Diff(fakeSaved(m.Host, k), before); diff != "" {
				t.Fatalf("the owner's rules differ from the fake's:\n%s", diff)
			}
			states := someStates(random(t), 8)
			for i, s := range append(slices.Clone(states[1:]), states[0]) {
				want := m.mustApply(t, s)
				if diff := cmp.Diff(want, g.apply(s)); diff != "" {
					t.Errorf("state %d: plan:\n%s", i, diff)
				}
				if diff := cmp.Diff(fakeSaved(m.Host, k), g.saved(k)); diff != "" {
					t.Fatalf("state %d:\n%s", i, diff)
				}
			}
			if diff := cmp.Diff(before, g.saved(k)); diff != "" {
				t.Errorf("after the end of it:\n%s", diff)
			}
		})
	}
}

// TestRealMove: the owner's rules change to the other kind, and ours follow.
func TestRealMove(t *testing.T) {
	g := newGateway(t)
	want := nats(masquerade("10.0.0.0/16", "auto"), masquerade("fd00::/48", "auto"))
	g.apply(want)
	if s := g.saved(nat.NFT); !strings.Contains(s, "-o eth0") || strings.Contains(g.saved(nat.Legacy), "VPNCTL") {
		t.Fatalf("on a bare host:\n%s", s)
	}
	for _, program := range []string{"iptables-legacy", "ip6tables-legacy"} {
		g.Run(program, "-A", "INPUT", "-i", "dmz0", "-j", "DROP")
	}
	g.apply(want)
	if s := g.saved(nat.NFT); s != "" || !strings.Contains(g.saved(nat.Legacy), "VPNCTL") {
		t.Errorf("nft still holds\n%s", s)
	}
	g.apply(nothing())
	if s := g.saved(nat.Legacy); strings.Contains(s, "VPNCTL") || !strings.Contains(s, "dmz0") {
		t.Errorf("at the end:\n%s", s)
	}
}

// TestRealSpoiledTable: nft(8) wrote a rule that iptables-nft cannot print.
func TestRealSpoiledTable(t *testing.T) {
	g := newGateway(t)
	g.Run("iptables-nft", "-A", "FORWARD", "-i", "dmz0", "-j", "DROP")
	g.Run("nft", "add rule ip filter FORWARD ct state established reject with tcp reset")
	before := g.Run("nft", "list", "table", "ip", "filter")
	want := nats(masquerade("10.0.0.0/16", "eth0"))
	g.apply(want)
	g.Run("iptables-nft", "-D", "FORWARD", "-m", "comment", "--comment", "vpnctl", "-j", "VPNCTL-FORWARD")
	if diff := cmp.Diff("+ nat/linux2/jump/filter/FORWARD\nplan: 1 to create, 0 to update, 0 to delete; 0 disruptive\n", g.apply(want)); diff != "" {
		t.Error(diff)
	}
	g.apply(nothing())
	if diff := cmp.Diff(before, g.Run("nft", "list", "table", "ip", "filter")); diff != "" {
		t.Error(diff)
	}
}

// TestRealConntrack: connections whose translation goes are counted and ended, and no
// others.
func TestRealConntrack(t *testing.T) {
	g := newGateway(t)
	g.apply(nats(masquerade("10.0.0.0/16", "eth0"), masquerade("10.1.0.0/16", "eth0")))
	connect := func(source string, options ...string) {
		g.Run(append([]string{"conntrack", "-I", "-s", source, "-d", "192.0.2.2", "-p", "udp", "--sport", "1000", "--dport", "53", "-t", "600"}, options...)...)
	}
	connect("10.0.0.5", "-n", "192.0.2.1")
	connect("10.0.0.6", "-n", "192.0.2.1")
	connect("10.0.0.7")
	connect("10.1.0.5", "-n", "192.0.2.1")
	want := `- nat/linux2/rule/10.0.0.0/16->eth0
    ! ends 2 translated connections of 10.0.0.0/16
plan: 0 to create, 0 to update, 1 to delete; 1 disruptive
`
	if diff := cmp.Diff(want, g.apply(nats(masquerade("10.1.0.0/16", "eth0")))); diff != "" {
		t.Error(diff)
	}
	left := g.Run("conntrack", "-L", "-p", "udp", "--dport", "53")
	for source, stays := range map[string]bool{"10.0.0.5": false, "10.0.0.6": false, "10.0.0.7": true, "10.1.0.5": true} {
		if strings.Contains(left, "src="+source+" ") != stays {
			t.Errorf("connection of %s: should stay: %v\n%s", source, stays, left)
		}
	}
}

// TestRealDefaultRoute: `out: auto` is the interface of the default route that the kernel
// prefers, a tunnel of ours left out.
func TestRealDefaultRoute(t *testing.T) {
	g := newGateway(t, lab.Wire("gw:wg0", "far:wg0"), lab.Wire("gw:eth1", "far:eth1"), lab.Wire("gw:eth2", "far:eth2"))
	for name, metric := range map[string]string{"wg0": "1", "eth1": "50", "eth2": "2000"} {
		g.Run("ip", "route", "add", "default", "dev", name, "metric", metric)
		g.Run("ip", "-6", "route", "add", "default", "dev", name, "metric", metric)
	}
	g.Run("ip", "route", "del", "default", "dev", "eth0")
	want := nats(masquerade("10.0.0.0/16", "auto"), masquerade("fd00::/48", "auto"))
	want.Interfaces = []desired.Interface{{Name: "wg0"}}
	g.apply(want)
	saved := g.saved(nat.NFT)
	for _, rule := range []string{"-s 10.0.0.0/16 -o eth1 ", "-s fd00::/48 -o eth1 "} {
		if !strings.Contains(saved, rule) {
			t.Errorf("no %s in\n%s", rule, saved)
		}
	}

	g.Run("ip", "route", "del", "default", "dev", "eth1")
	g.Run("ip", "route", "add", "default", "metric", "10", "nexthop", "via", "192.0.2.2", "dev", "eth0", "nexthop", "dev", "eth2")
	g.apply(want)
	if saved := g.saved(nat.NFT); !strings.Contains(saved, "-s 10.0.0.0/16 -o eth0 ") {
		t.Errorf("with two next hops:\n%s", saved)
	}
}

// TestRealRefusals: without the capability, and without a default route.
func TestRealRefusals(t *testing.T) {
	g := newGateway(t)
	j := g.try(job{Want: nats(masquerade("10.0.0.0/16", "eth0")), Unprivileged: true})
	if want := "nat/linux2: changing the packet filter needs CAP_NET_ADMIN; run it as root"; j.Err != want || !j.Refused {
		t.Errorf("got  %s\nwant %s", j.Err, want)
	}
	g.Run("ip", "route", "del", "default")
	j = g.try(job{Want: nats(masquerade("10.0.0.0/16", "auto"))})
	if want := "nat/linux2/rule/10.0.0.0/16->auto: there is no default route; name the interface: `out: eth0`"; j.Err != want || !j.Refused {
		t.Errorf("got  %s\nwant %s", j.Err, want)
	}
	for _, k := range []nat.Kind{nat.NFT, nat.Legacy} {
		if s := g.saved(k); s != "" {
			t.Errorf("something was written:\n%s", s)
		}
	}
}
