package cli_test

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// keyOf makes the private key of a name.
func keyOf(name string) wgtypes.Key {
	k := wgtypes.Key(sha256.Sum256([]byte(name)))
	k[0] &= 248
	k[31] = k[31]&127 | 64
	return k
}

// dice draws the parts of a topology. What there is to draw is little, so that topologies
// have much in common.
type dice struct{ *rand.Rand }

// one is true once in n times.
func (d dice) one(n int) bool { return d.IntN(n) == 0 }

func (d dice) of(words ...string) string { return words[d.IntN(len(words))] }

// key is one of the two private keys that a name may have.
func (d dice) key(name string) wgtypes.Key { return keyOf(name + d.of("", "'")) }

// topology draws a topology as n1 may see it.
func (d dice) topology() string {
	var b strings.Builder
	b.WriteString("version: 1\nsite: walk\nnodes:\n")
	for n := 1; n <= 4; n++ {
		fmt.Fprintf(&b, "  n%d: {addresses: [192.0.2.%d]}\n", n, n)
	}
	if !d.one(8) {
		b.WriteString("wireguard:\n")
		b.WriteString(d.network(0))
		if d.one(3) {
			b.WriteString(d.network(1))
		}
	}
	b.WriteString(d.ipsec())
	b.WriteString(d.l2tp())
	b.WriteString(d.pptp())
	b.WriteString(d.nat())
	if d.one(3) {
		b.WriteString("firewall:\n  n1: {open_ports: true}\n")
	}
	return b.String()
}

// network draws wgN, whose members have addresses in 10.N.0.0/24 and fd00:N::/64.
func (d dice) network(n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  wg%d:\n    listen_port: %d\n", n, 51820+n+10*d.IntN(2))
	hub := d.of("", "", "n1", "n2")
	if hub != "" {
		fmt.Fprintf(&b, "    hub: %s\n", hub)
	}
	if d.one(3) {
		fmt.Fprintf(&b, "    preshared_key: {value: %s}\n", d.key("psk"))
	}
	if d.one(3) {
		fmt.Fprintf(&b, "    preshared_keys: [{between: [n1, n2], value: %s}]\n", d.key("pair"))
	}
	b.WriteString("    members:\n" + d.self(n))
	full := !d.one(4) // nobody has the default route; it can be but one
	for i := 2; i <= 4; i++ {
		if i > 2 && d.one(2) {
			continue
		}
		more := d.more(n, i)
		if reached := hub != "n2" || i == 2; reached && !full && d.one(2) {
			full = true
			more += ", allowed_ips: {n1: [" + d.of("0.0.0.0/0", "'::/0'", "0.0.0.0/0, '::/0'") + "]}"
		}
		fmt.Fprintf(&b, "      n%d: {addresses: [10.%d.0.%d/24, 'fd00:%d::%d/64'], public_key: %s%s}\n",
			i, n, i, n, i, d.key(fmt.Sprint(n, i)).PublicKey(), more)
	}
	return b.String() + d.peers(n)
}

// self is n1 as a member, with all that only its own host sees.
func (d dice) self(n int) string {
	key := d.key(fmt.Sprint(n, 1))
	addresses := d.of("10.N.0.1/24", "10.N.0.1/24, 'fd00:N::1/64'", "10.N.0.9/24, 10.N.0.1/24", "'fd00:N::1/64'")
	more := ""
	for _, m := range []string{
		", networks: [10.5N.0.0/16]", ", persistent_keepalive: 25s", ", mtu: 1300", ", fwmark: 4711",
		", table: " + d.of("off", "1234"), ", hooks: {post_up: [echo %i], pre_down: [echo -]}",
		d.of(", dns: [10.N.0.53]", ", netns: blue"), // there is no resolver in a namespace
	} {
		if d.one(5) {
			more += m
		}
	}
	text := fmt.Sprintf("      n1: {addresses: [%s], private_key: {value: %s}, public_key: %s%s}\n", addresses, key, key.PublicKey(), more)
	return strings.NewReplacer("10.N.", fmt.Sprintf("10.%d.", n), "10.5N.", fmt.Sprintf("10.%d.", 50+n), "fd00:N:", fmt.Sprintf("fd00:%d:", n)).Replace(text)
}

// more is what another member may say.
func (d dice) more(n, i int) string {
	more := ""
	if d.one(2) {
		more += fmt.Sprintf(", networks: [10.%d%d.0.0/16%s]", n+6, i, d.of("", fmt.Sprintf(", 'fd%d%d::/32'", n+1, i)))
	}
	if d.one(4) {
		more += fmt.Sprintf(", endpoint: '198.51.100.%d:%d'", i, 1000+d.IntN(2))
	}
	return more
}

// peers are machines without vpnctl, of which n1 accepts some.
func (d dice) peers(n int) string {
	var b strings.Builder
	for i := range 3 {
		if d.one(2) {
			continue
		}
		more := d.of("", ", via: [n1]", ", via: [n2]")
		if d.one(2) {
			more += fmt.Sprintf(", preshared_key: {value: %s}", d.key("phone"))
		}
		if i == 0 { // of the same peers always: the kernel cannot forget an endpoint
			more += ", endpoint: '203.0.113.9:" + d.of("4500", "4501") + "'"
		}
		if d.one(3) {
			more += ", persistent_keepalive: 20s"
		}
		fmt.Fprintf(&b, "      p%d: {addresses: [10.%d.1.%d/32], public_key: %s%s}\n", i, n, i+1, d.key(fmt.Sprint("p", n, i)).PublicKey(), more)
	}
	if b.Len() == 0 {
		return ""
	}
	return "    peers:\n" + b.String()
}

// ipsec draws connections of n1: to a node, to a foreign gateway, and a server's.
func (d dice) ipsec() string {
	var b strings.Builder
	for i, far := range []string{"n2", "other"} {
		if !d.one(2) {
			continue
		}
		address := ""
		if far == "other" {
			address = "address: 198.51.100.7, "
		}
		fmt.Fprintf(&b, "  to-%s:\n    ends: {n1: {subnets: [10.30.0.0/24]}, %s: {%ssubnets: [10.3%d.0.0/24%s]}}\n",
			far, far, address, i+1, d.of("", ", '10.40.0.0/24[tcp/80]'"))
		fmt.Fprintf(&b, "    auth: {psk: {value: %s}}\n", d.key("psk of "+far))
		for _, line := range []string{
			"esp_proposals: [aes128-sha256]", "ike_rekey: 60m", "dpd: {delay: 10s}", "start_action: " + d.of("start", "trap"),
			"fail_closed: false", "ike_version: 1", "children: {web: {start_action: start}, rest: {child_rekey: " + d.of("1h", "2h") + "}}",
			d.of("interface: xfrm"+strconv.Itoa(i), "mobike: 'no'"),
		} {
			if d.one(4) {
				fmt.Fprintf(&b, "    %s\n", line)
			}
		}
	}
	if d.one(3) {
		fmt.Fprintf(&b, "  dial-in:\n    server: n1\n    pools: [10.99.%d.0/24]\n    subnets: [10.30.0.0/16]\n    auth: {psk: {value: %s}}\n    users:\n",
			d.IntN(2), d.key("psk of the server"))
		for _, user := range []string{"alice", "bob"} {
			fmt.Fprintf(&b, "      %s: {password: {value: %s}}\n", user, d.of("one", "two"))
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "ipsec:\n" + b.String()
}

// l2tp draws servers of L2TP, in clear or inside IPsec.
func (d dice) l2tp() string {
	return d.ppp("l2tp", 20, func(i int) string {
		return "ipsec: " + d.of("none", "{id: office"+strconv.Itoa(i)+", psk: {value: "+d.key("psk of l2tp").String()+"}}")
	}, "auth: ["+d.of("mschapv2", "mschapv2, pap")+"]")
}

// pptp draws servers of PPTP, which encrypt or not.
func (d dice) pptp() string {
	return d.ppp("pptp", 30, func(int) string { return "allow_insecure: true" }, "mppe: none")
}

// ppp draws a server on n1, and servers to which it dials: each with the lines that it must
// have, and maybe one of its protocol alone. Their networks are 10.FIRST.0.0/24 and following.
func (d dice) ppp(protocol string, first int, must func(i int) string, may string) string {
	var b strings.Builder
	for i, server := range []string{"n1", "n3", "n4"} {
		if !d.one(3) {
			continue
		}
		net := fmt.Sprintf("10.%d.0", first+i)
		fmt.Fprintf(&b, "  office%d:\n    server: %s\n    local_ip: %s.1\n    pools: [%s.10-%s.%d]\n    %s\n", i, server, net, net, net, 20+d.IntN(2), must(i))
		for _, line := range []string{"mtu: 1400", "idle: 30m", "dns: [8.8.8.8]", "max_sessions: 5", may} {
			if d.one(4) {
				fmt.Fprintf(&b, "    %s\n", line)
			}
		}
		fmt.Fprintf(&b, "    users:\n      alice: {password: {value: %s}}\n", d.of("one", "two"))
		if d.one(2) {
			fmt.Fprintf(&b, "      bob: {password: {value: %s}, address: %s.%d}\n", d.of("one", "two"), net, 5+d.IntN(2))
		}
		fmt.Fprintf(&b, "    clients: {%s: {user: alice%s%s}}\n", map[bool]string{true: "n2", false: "n1"}[server == "n1"],
			d.of("", fmt.Sprintf(", routes: [10.%d.0.0/16, 'fd%d::/64']", 50+first+i, first+i), ", use_dns: true"),
			d.of("", fmt.Sprintf(", networks: [10.%d.0.0/16, 'fd%d::/64']", 90+first+i, 50+first+i)))
	}
	if b.Len() == 0 {
		return ""
	}
	return protocol + ":\n" + b.String()
}

// nat draws rules for n1.
func (d dice) nat() string {
	var b strings.Builder
	for _, source := range []string{"10.0.0.0/16", "10.1.0.0/16", "'fd00::/16'"} {
		if !d.one(3) {
			continue
		}
		snat := ""
		if d.one(3) {
			snat = ", snat: " + map[bool]string{true: "'2001:db8::5'", false: "203.0.113.5"}[strings.Contains(source, ":")]
		}
		fmt.Fprintf(&b, "    - {source: [%s], out: %s%s}\n", source, d.of("auto", "eth0", "ens224"), snat)
	}
	if b.Len() == 0 {
		return ""
	}
	return "nat:\n  n1:\n" + b.String()
}

// drift is somebody who breaks what is ours, and touches nothing else.
func (d dice) drift(m *machine) {
	for _, name := range []string{"wg0", "wg1"} {
		if d.one(4) {
			m.breakLink(name, d.IntN(3))
		}
	}
}

// stumble runs a command line that fails or is killed at some write; it returns 0 where it had
// fewer. What a failed one did is undone, what a killed one did is left to the next.
func (d dice) stumble(t *testing.T, m *machine, args []string) int {
	t.Helper()
	k := 1 + d.IntN(20)
	before, want := m.String(), 4
	if m.failAt(k); d.one(2) {
		m.killAt(k)
		want = exitKilled
	}
	r := m.vpnctl(t.TempDir(), "", args...)
	switch {
	case m.repair() < k:
		return 0
	case r.code != want:
		t.Fatalf("%v: write %d: exit code %d, not %d: %s", args, k, r.code, want, r.stderr)
	case want == 4:
		if diff := cmp.Diff(before, m.String()); diff != "" {
			t.Fatalf("%v: write %d failed, host (-before +after):\n%s", args, k, diff)
		}
	}
	return 1
}

// newWalker makes a host for a walk, which leads through everything.
func newWalker(t *testing.T) *machine {
	m := newMachine("n1", memoryDir(t))
	m.pppd()
	return m
}

// TestWalk goes from topology to topology at random, past drift: wherever it comes from, the
// host is as a fresh one with that topology, and there is nothing left to do; and without us
// it is as before.
func TestWalk(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	d := dice{rand.New(rand.NewPCG(seed, 0))}
	const topologies, steps = 40, 160
	files := []string{""} // as destroy leaves it
	want := []string{newWalker(t).String()}
	for len(files) <= topologies {
		text := d.topology()
		file := tmp(t, "site.yaml", text)
		m := newWalker(t)
		if r := m.vpnctl(t.TempDir(), "", "apply", file); r.code != 0 {
			t.Fatalf("exit code %d: %s\n%s", r.code, r.stderr, text)
		}
		m.charon.BringUp()
		files, want = append(files, file), append(want, m.String())
	}
	m := newWalker(t)
	applied, failed := 0, 0
	for step := range steps {
		i := d.IntN(len(files))
		if step == steps-1 {
			i = 0
		}
		d.drift(m)
		file := files[i]
		args := []string{"apply", file}
		if i == 0 {
			args = []string{"destroy", "--yes"}
		}
		if d.one(2) {
			failed += d.stumble(t, m, args)
		}
		r := m.vpnctl(t.TempDir(), "", args...)
		if r.code != 0 {
			t.Fatalf("step %d, topology %d: exit code %d: %s", step, i, r.code, r.stderr)
		}
		m.charon.BringUp()
		if diff := cmp.Diff(want[i], m.String()); diff != "" {
			t.Fatalf("step %d, topology %d, host (-fresh +walked):\n%s", step, i, diff)
		}
		if strings.Contains(r.stdout, "\napplied: ") {
			applied++
		}
		if i > 0 {
			m.unchanged(t, []string{"diff"}, []string{"diff", file}, []string{"apply"}, []string{"apply", file})
		}
	}
	t.Logf("%d topologies, %d steps, %d of them with changes; %d failed or killed before", topologies, steps, applied, failed)
}

// unchanged runs command lines that have nothing to do, and so write nothing.
func (m *machine) unchanged(t *testing.T, lines ...[]string) {
	t.Helper()
	remembered := m.remembered(t)
	for _, args := range lines {
		m.failAt(1)
		r := m.vpnctl(t.TempDir(), "", args...)
		if writes := m.repair(); r.code != 0 || r.stdout != "no changes\n" || writes > 0 {
			t.Fatalf("%v: exit code %d, %d writes\n%s%s", args, r.code, writes, r.stdout, r.stderr)
		}
	}
	if diff := cmp.Diff(remembered, m.remembered(t)); diff != "" {
		t.Fatalf("nothing to do, and the state changed:\n%s", diff)
	}
}

// breakLink breaks an interface in one of three ways, where it is there and ours.
func (m *machine) breakLink(name string, how int) {
	n, err := m.wg.Network("")
	if err != nil {
		panic(err)
	}
	l, err := n.Link(name)
	if err != nil {
		return
	}
	// A resolver may keep what a link brought that is gone; that is told by nothing on the host.
	brings := strings.Contains(m.wg.String(), "dns "+name+":")
	switch {
	case how == 0 && !brings:
		m.wg.Must("", rtnl.DelLink{Name: name})
	case how == 1:
		m.wg.Must("", rtnl.AddAddr{Index: l.Index, Prefix: netip.MustParsePrefix("10.99.0.1/32")})
	case how == 2:
		m.wg.Configure("", name, wgtypes.Config{Peers: []wgtypes.PeerConfig{{PublicKey: keyOf("stranger").PublicKey()}}})
	}
}
