//go:build vm

package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vpnctl/vpnctl/internal/lab"
)

// legacy is the network of the tests of PPTP, those of its example:
//
//	lanh -- vpn ===== out ===== branch
//	                 // \\
//	             c1, c2  n -- far
//
// vpn, branch and the NAT n run vpnctl. The clients c1, c2 and far are configured by hand.
// lanh knows no way to the clients: vpn masquerades them.
type legacy struct {
	t              *testing.T
	l              *lab.Lab
	vpn, branch, n *node
	c1, c2, far    *caller
	// out is the wire between all of them.
	out  *lab.Host
	lanh *lab.Host
}

// others are more addresses of c2: pptp-linux has one connection with a server from each.
var others = func() (text string) {
	for n := range 16 {
		text += fmt.Sprintf(" 10.14.0.%d/24", 120+n)
	}
	return text
}()

var legacyLab = sync.OnceValues(func() (*lab.Lab, error) {
	l, err := lab.New(
		lab.LAN("out", "vpn:eth0 10.14.0.104/24", "branch:eth0 10.14.0.105/24", "c1:eth0 10.14.0.106/24", "c2:eth0 10.14.0.107/24"+others, "n:out0 10.14.0.110/24"),
		lab.Wire("far:eth0 10.77.0.3/24 via 10.77.0.1", "n:in0 10.77.0.1/24"),
		lab.Wire("lanh:eth0 10.20.0.10/24 fd20::10/64 via fd20::1", "vpn:ens33 10.20.0.1/24 fd20::1/64"),
		lab.Wire("bh:eth0 fd05::10/64 via fd05::1", "branch:lan0 fd05::1/64"),
	)
	if err != nil {
		return nil, err
	}
	// An owner's firewall, and an owner's user of an own server that vpnctl knows nothing of.
	_, err = l.Host("vpn").Try("sh", "-ec", `iptables -P FORWARD DROP
		printf 'debug\nlogfile /var/log/pppd.log\n' >>/etc/ppp/options
		printf '# mine\nsomebody elsewhere "secret" *\n' >/etc/ppp/chap-secrets`)
	return l, err
})

// startLegacy returns the lab for a test.
func startLegacy(t *testing.T) *legacy {
	t.Helper()
	l, err := legacyLab()
	if err != nil {
		t.Fatal(err)
	}
	return (&legacy{l: l}).in(t)
}

// in is the same lab in a subtest.
func (p *legacy) in(t *testing.T) *legacy {
	t.Helper()
	n, h := nodes(t, p.l, program, "vpn", "branch", "n"), p.l.With(t)
	call := func(name string) *caller { return &caller{Host: h.Host(name), t: t} }
	in := &legacy{
		t: t, l: p.l, vpn: n[0], branch: n[1], n: n[2], out: h.Host("out"), lanh: h.Host("lanh"),
		c1: call("c1"), c2: call("c2"), far: call("far"),
	}
	t.Cleanup(func() {
		if t.Failed() {
			in.explain()
		}
	})
	return in
}

// explain logs how the hosts are, of a test that failed.
func (p *legacy) explain() {
	for _, name := range []string{"vpn", "branch", "c1", "c2"} {
		out, _ := p.l.Host(name).Try("sh", "-c", `ip -br addr; ip route; pgrep -a 'pppd|pptp|vpnctl'; cat /run/vpnctl/pptpd.conf
			tail -n 60 /var/log/pppd.log
			for f in /run/vpnctl/sessions/* /run/vpnctl/reasons/*; do cat $f; done`)
		p.t.Logf("%s:\n%s", name, out)
	}
}

// caller is a client that somebody has configured by hand.
type caller struct {
	*lab.Host
	t *testing.T
}

// strong are the options of a client as the server wants it.
const strong = "require-mppe-128"

// bound counts the calls from other addresses than the first.
var bound int

// call dials, with options of pppd's beside the usual ones. The name is that of an option
// file; one other than "legacy" calls from an address of its own.
func (c *caller) call(name, user, password, options string) *lab.Process {
	c.t.Helper()
	from := ""
	if name != "legacy" {
		from = fmt.Sprintf("--localbind 10.14.0.%d ", 120+bound)
		bound++
	}
	c.WriteFile("/etc/ppp/chap-secrets", fmt.Sprintf("%q legacy %q *\n", user, password), 0o600)
	c.WriteFile("/etc/ppp/pap-secrets", fmt.Sprintf("%q legacy %q *\n", user, password), 0o600)
	c.WriteFile("/etc/ppp/peers/"+name, fmt.Sprintf(`pty "pptp 10.14.0.104 %s--nolaunchpppd"
user %q
remotename legacy
noauth
noipdefault
ipcp-accept-local
ipcp-accept-remote
nodefaultroute
usepeerdns
nobsdcomp
nodeflate
noipv6
lcp-echo-interval 5
lcp-echo-failure 3
%s
`, from, user, strings.ReplaceAll(options, ",", "\n")), 0o644)
	return c.Start("pppd", "call", name, "nodetach")
}

// dial dials as the server wants it, and waits for an address.
func (c *caller) dial(user, password, address string) *lab.Process {
	c.t.Helper()
	p := c.call("legacy", user, password, strong)
	p.Await("local  IP address " + address)
	return p
}

// refused fails the test unless a client has ended without an address.
func (c *caller) refused(what string, p *lab.Process) {
	c.t.Helper()
	c.Eventually(20*time.Second, func() error {
		if !p.Ended() {
			return fmt.Errorf("%s goes on:\n%s", what, p.Output())
		}
		return nil
	})
	if strings.Contains(p.Output(), "local  IP address") {
		c.t.Errorf("%s was let in:\n%s", what, p.Output())
	}
}

// rows are the rows of a status that are up, by user.
func (p *legacy) rows(n *node) map[string][]tunnel {
	p.t.Helper()
	rows := map[string][]tunnel{}
	for _, row := range n.status().Tunnels {
		if row.Protocol == "pptp" && row.State == "up" {
			rows[row.User] = append(rows[row.User], row)
		}
	}
	return rows
}

// sees waits until a node has so many sessions of a user, and returns their rows: the
// client is up a moment before the server.
func (p *legacy) sees(n *node, user string, count int) (rows []tunnel) {
	p.t.Helper()
	n.await(fmt.Sprintf("%d sessions of %s", count, user), func() bool {
		rows = p.rows(n)[user]
		return len(rows) == count
	})
	return rows
}

// apply gives a node a topology, and applies it.
func (p *legacy) apply(n *node, topology string) string {
	p.t.Helper()
	n.has(topology)
	return n.apply()
}

// free applies a topology on the server, which must end no session.
func (p *legacy) free(topology string) {
	p.t.Helper()
	if text := p.apply(p.vpn, topology); strings.Contains(text, "!") {
		p.t.Errorf("plan costs somebody a session:\n%s", text)
	}
	p.vpn.converged()
}

// TestPPTP is the example: clients that are configured by hand, and the branch. Then users
// and pools change under them, the server restarts, and in the end all goes.
func TestPPTP(t *testing.T) {
	p := startLegacy(t)
	before := map[*node]state{p.vpn: snapshot(p.vpn), p.branch: snapshot(p.branch)}
	topology := example(t, "pptp.yaml")
	p.apply(p.vpn, topology)
	p.vpn.converged()
	var one, two *lab.Process
	for _, step := range []struct {
		name string
		do   func(t *testing.T, p *legacy)
	}{
		{"two clients", func(t *testing.T, p *legacy) {
			one, two = p.c1.dial("user1", "123456", "192.168.130.100"), p.c2.dial("user2", "123456", "192.168.150.100")
			seen := p.out.Capture("any", "-X", "proto gre")
			p.c1.Run("ip", "route", "add", "10.20.0.0/24", "dev", "ppp0")
			p.c1.Ping("10.20.0.10", "-p", "4c45414b")
			p.c2.Ping("192.168.0.1")
			seen.Await("GREv1")
			if text := seen.Stop(); strings.Contains(text, "LEAK") || strings.Contains(text, "ICMP") {
				t.Errorf("readable on the wire:\n%s", text)
			}
			if dns := p.c1.ReadFile("/etc/ppp/resolv.conf"); dns != "nameserver 8.8.8.8\nnameserver 8.8.4.4\n" {
				t.Errorf("c1 was given DNS %q", dns)
			}
		}},
		{"status", func(t *testing.T, p *legacy) {
			for user, want := range map[string][2]string{"user1": {"192.168.130.100", "10.14.0.106"}, "user2": {"192.168.150.100", "10.14.0.107"}} {
				rows := p.sees(p.vpn, user, 1)
				if rows[0].Remote != want[1] || !strings.Contains(fmt.Sprint(rows[0].Addresses), want[0]) ||
					rows[0].Interface == "" || rows[0].RxBytes == 0 || rows[0].TxBytes == 0 {
					t.Errorf("%s has the rows %+v", user, rows)
				}
			}
			if text := p.vpn.exits(0, "status").stdout; !strings.Contains(text, "2 of 202 addresses in use") {
				t.Errorf("status:\n%s", text)
			}
		}},
		{"users and pools", func(t *testing.T, p *legacy) { p.testUsers(t, topology, two) }},
		{"refusals", func(t *testing.T, p *legacy) {
			// All at once: each takes some seconds to be told.
			ways := map[string]string{
				"PAP":         "refuse-chap,refuse-mschap,refuse-mschap-v2,refuse-eap",
				"CHAP":        "refuse-pap,refuse-mschap,refuse-mschap-v2,refuse-eap",
				"MS-CHAPv1":   "refuse-pap,refuse-chap,refuse-mschap-v2,refuse-eap," + strong,
				"no-MPPE":     "nomppe",
				"no-password": strong,
			}
			calls := map[string]*lab.Process{}
			for what, options := range ways {
				password := "123456"
				if what == "no-password" {
					password = "wrong"
				}
				calls[what] = p.c2.call(what, "user1", password, options)
				// The secrets are read when the call is answered.
				p.c2.Eventually(10*time.Second, func() error {
					if out := calls[what].Output(); !strings.Contains(out, "authentication") && !calls[what].Ended() {
						return fmt.Errorf("%s has not tried to log in:\n%s", what, out)
					}
					return nil
				})
			}
			for what, call := range calls {
				p.c2.refused(what, call)
			}
		}},
		{"branch", func(t *testing.T, p *legacy) { p.testBranch(t, topology) }},
		{"RADIUS", func(t *testing.T, p *legacy) { p.testRadius(t, topology) }},
		{"all goes", func(t *testing.T, p *legacy) {
			p.branch.destroy()
			p.vpn.destroy()
			one.Await("Connection terminated")
		}},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.do(t, p.in(t)) }) {
			return
		}
	}
	for n, was := range before {
		was.same(n, "destroy")
	}
}

// testUsers changes users and pools under a ping of user1. User2 is logged in.
func (p *legacy) testUsers(t *testing.T, topology string, two *lab.Process) {
	ping := p.c1.PingLoop("192.168.0.1")
	user := func(topology, old, text string) string {
		t.Helper()
		if !strings.Contains(topology, old) {
			t.Fatalf("no %q in the topology", old)
		}
		return strings.Replace(topology, old, text, 1)
	}
	const user2 = `      user2: {password: {value: "123456"}, address: 192.168.150.100}` + "\n"
	// One more user, and another password of another.
	changed := user(topology, user2, `      user2: {password: {value: 'a b"c\d#*'}, address: 192.168.150.100}
      user3: {password: {value: three}}
`)
	p.free(changed)
	p.c2.Ping("192.168.0.1")
	// The same user twice, at the same time: two addresses.
	second := p.c2.call("again", "user1", "123456", strong)
	second.Await("local  IP address 192.168.130.1")
	if rows := p.sees(p.vpn, "user1", 2); rows[0].Addresses[0] == rows[1].Addresses[0] {
		t.Errorf("user1 has the rows %+v", rows)
	}
	second.Stop()
	// Kicked, user2 needs the new password.
	if r := p.vpn.exits(0, "kick", "user2"); r.stdout != "ended pptp/legacy 192.168.150.100 of user2\n" {
		t.Errorf("kick says %s", r)
	}
	two.Await("Connection terminated")
	p.c2.refused("the old password", p.c2.call("legacy", "user2", "123456", strong))
	p.c2.dial("user2", `a b"c\d#*`, "192.168.150.100")
	p.sees(p.vpn, "user2", 1)
	// Another address, another session; his old one is named and ended.
	moved := user(changed, "address: 192.168.150.100", "address: 192.168.150.101")
	if text := p.apply(p.vpn, moved); !strings.Contains(text, "(user2 192.168.150.100)") {
		t.Errorf("plan does not name whom it costs his session:\n%s", text)
	}
	p.vpn.converged()
	three := p.c2.call("three", "user3", "three", strong)
	three.Await("local  IP address 192.168.130.1")
	p.sees(p.vpn, "user3", 1)
	// Removed, user3 loses his.
	removed := user(moved, "      user3: {password: {value: three}}\n", "")
	if text := p.apply(p.vpn, removed); !strings.Contains(text, "(user3 192.168.130.1") {
		t.Errorf("plan does not name whom it costs his session:\n%s", text)
	}
	three.Await("Connection terminated")
	// Another pool, with user1's address in it, is for those who come.
	pool := user(removed, "pools: [192.168.130.100-192.168.130.200,", "pools: [192.168.130.99-192.168.130.101,")
	p.free(pool)
	for _, address := range []string{"192.168.130.99", "192.168.130.101", "192.168.140.100"} {
		name := "at-" + address
		p.c2.call(name, "user1", "123456", strong).Await("local  IP address " + address)
	}
	p.c2.Run("sh", "-c", "kill $(pidof pppd); while pidof pppd; do sleep 0.1; done")
	p.free(topology)
	ping.Await(3)
	if loss := ping.Stop(); loss.Lost > 0 {
		t.Errorf("user1: %s", loss)
	}
}

// testBranch has a node dial as user2, and the server restart under it.
func (p *legacy) testBranch(t *testing.T, topology string) {
	topology = strings.Replace(topology, "routes: [10.20.0.0/24]", "routes: [10.20.0.0/24, 'fd20::/64'], networks: ['fd05::/64']", 1)
	p.apply(p.vpn, topology)
	p.apply(p.branch, topology)
	p.sees(p.branch, "user2", 1)
	p.branch.converged()
	p.branch.Ping("10.20.0.10")
	p.lanh.Ping("fd05::10")
	if row := p.rows(p.branch)["user2"][0]; row.Endpoint != "10.14.0.104" && row.Remote != "10.14.0.104" || !strings.Contains(fmt.Sprint(row.Addresses), "192.168.150.100") {
		t.Errorf("the link's row is %+v", row)
	}
	seen := p.out.Capture("any", "icmp or icmp6[0] == 128")
	// The whole server ends, sessions and all, and nobody can call for a while. vpnctl starts
	// it again, and the branch dials.
	const away = "INPUT -p tcp --dport 1723 -j REJECT --reject-with tcp-reset"
	p.vpn.Run("sh", "-c", "iptables -I "+away+"; pkill '^(pptpd|pptpctrl)$'")
	p.branch.await("the link's reason", func() bool {
		s := p.branch.status()
		return !s.Healthy && strings.Contains(fmt.Sprint(s.Tunnels), "connecting to the server: connection refused")
	})
	if route, err := p.branch.Try("ip", "route", "get", "10.20.0.10"); err == nil {
		t.Errorf("with the link down, the way is %s", route)
	}
	p.branch.converged()
	p.vpn.Run("sh", "-c", "iptables -D "+away)
	p.branch.await("link again", func() bool { _, err := p.branch.Try("ping", "-c1", "-W1", "10.20.0.10"); return err == nil })
	p.lanh.Ping("fd05::10")
	p.vpn.converged()
	p.branch.converged()
	if text := seen.Stop(); strings.Contains(text, "10.20.0.10") || strings.Contains(text, "fd05::10") {
		t.Errorf("in clear on the wire:\n%s", text)
	}
}

// testRadius has RADIUS say who may log in, with the keys of MPPE, and at which address; and
// hear of the session.
func (p *legacy) testRadius(t *testing.T, topology string) {
	radius := startRadius(t, p.lanh, "192.168.131.77")
	p.apply(p.vpn, byRadius(strings.Replace(topology, ", address: 192.168.150.100", "", 1)))
	p.vpn.converged()
	p.c2.refused("a wrong password", p.c2.call("legacy", "dave", "of user1", strong))
	p.c2.refused("no MPPE", p.c2.call("legacy", "dave", "of dave", "nomppe"))
	dave := p.c2.dial("dave", "of dave", "192.168.131.77")
	p.c2.Ping("192.168.0.1")
	p.sees(p.vpn, "dave", 1)
	radius.accounted("Acct-Status-Type = Start", `User-Name = "dave"`, "Framed-IP-Address = 192.168.131.77")
	dave.Stop()
	radius.accounted("Acct-Status-Type = Stop", `User-Name = "dave"`, "Acct-Output-Octets = ")
}

// TestPPTPBehindNAT: a client behind a masquerade of vpnctl's gets through by the helper of
// conntrack, which nobody but vpnctl asks for.
func TestPPTPBehindNAT(t *testing.T) {
	p := startLegacy(t)
	topology := strings.Replace(example(t, "pptp.yaml"), "  branch: {addresses: [10.14.0.105]}\n",
		"  far: {addresses: [10.77.0.3]}\n  n: {addresses: [10.14.0.110]}\n", 1)
	topology = strings.Replace(topology, "branch: {user: user2, routes: [10.20.0.0/24]}", "far: {user: user2}", 1) + `  n:
    - {source: [10.77.0.0/24], out: out0}
`
	for _, n := range []*node{p.vpn, p.n} {
		p.apply(n, topology)
		n.converged()
	}
	call := p.far.dial("user2", "123456", "192.168.150.100")
	p.far.Ping("192.168.0.1")
	if rows := p.sees(p.vpn, "user2", 1); rows[0].Remote != "10.14.0.110" {
		t.Errorf("user2 has the rows %+v", rows)
	}
	call.Stop()
	p.n.destroy()
	p.vpn.destroy()
}
