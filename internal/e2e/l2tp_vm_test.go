//go:build vm

package e2e

import (
	"slices"
	"strings"
	"testing"
)

// l2tpExample is the example with nobody yet who dials by himself.
func l2tpExample(t *testing.T) string { return example(t, "l2tp-ipsec.yaml") }

// with adds a user to it, or takes one away.
func with(topology, user string) string {
	const last = "    clients:"
	return strings.Replace(topology, last, "      "+user+"\n"+last, 1)
}

// dialling is what there is on a node that dials: a whole snapshot takes the virtual machine
// long.
func dialling(n *node) string {
	n.t.Helper()
	return n.Run("sh", "-c", `find /etc/ppp /etc/xl2tpd /etc/swanctl /var/lib/vpnctl /run/vpnctl -type f ! -name lock -exec sha1sum {} + 2>/dev/null | sort
		ip route; ip rule; iptables-save | grep VPNCTL; ps -e -o comm= | grep -E 'ppp|l2tp|charon|vpnctl'; ip -br link | grep ppp; true`)
}

// TestL2TP is the example: two clients that are configured by hand, one of them behind NAT,
// and the branch. Then users come, change and go, and in the end everything.
func TestL2TP(t *testing.T) {
	o := startOffice(t)
	before, dials := snapshot(o.vpn), dialling(o.branch)
	topology := l2tpExample(t)
	step := func(name string, do func(t *testing.T, o *office)) {
		t.Run(name, func(t *testing.T) {
			o := o.in(t)
			t.Cleanup(func() {
				if t.Failed() {
					o.explain()
				}
			})
			do(t, o)
		})
	}
	o.apply(o.vpn, topology)
	o.vpn.converged()

	step("two clients", func(t *testing.T, o *office) {
		seen := watchWire(t, o.out)
		o.c1.dial("user1", "123456")
		o.c2.dial("user2", "123456")
		if a := o.c1.up(); !strings.HasPrefix(a, "192.168.130.1") {
			t.Errorf("user1 has %s, none of the pool", a)
		}
		if a := o.c2.up(); a != "192.168.130.50" {
			t.Errorf("user2 has %s, not his own address", a)
		}
		for _, d := range []*dialler{o.c1, o.c2} {
			d.Run("ip", "route", "add", "10.20.0.0/24", "dev", "ppp0")
			d.Ping("10.20.0.10")
			if link := d.Run("ip", "link", "show", "ppp0"); !strings.Contains(link, "mtu 1400") {
				t.Errorf("link on %s: %s", d.Name(), link)
			}
			if dns := d.ReadFile("/etc/ppp/resolv.conf"); !strings.Contains(dns, "8.8.8.8") || !strings.Contains(dns, "8.8.4.4") {
				t.Errorf("%s was given DNS %q", d.Name(), dns)
			}
		}
		packets := seen.stop()
		if open := slices.Concat(packets[""], packets["AH"]); len(open) > 0 || len(packets["ESP"]) < 4 || len(packets["ESP in UDP"]) < 4 {
			t.Errorf("on the wire: %d of ESP, %d of ESP in UDP, and these:\n%s",
				len(packets["ESP"]), len(packets["ESP in UDP"]), strings.Join(open, ""))
		}
	})
	if t.Failed() {
		return
	}
	step("status", func(t *testing.T, o *office) {
		one, two := o.sees("user1"), o.sees("user2")
		if one.Remote != "10.13.0.106:1701" || one.Local != "10.13.0.101:1701" || !slices.Contains(one.Addresses, o.c1.address()) || one.Interface == "" {
			t.Errorf("user1's row is %+v", one)
		}
		if !strings.HasPrefix(two.Remote, "10.13.0.110:") || !slices.Contains(two.Addresses, "192.168.130.50") || two.RxBytes == 0 {
			t.Errorf("user2's row is %+v", two)
		}
		if s := o.vpn.status(); !s.Healthy {
			t.Errorf("status: %+v", s)
		}
	})
	step("users", func(t *testing.T, o *office) {
		ping := o.c1.PingLoop("192.168.130.1")
		id := o.vpn.Run("pidof", "xl2tpd")
		// A password that needs quotes; another user's changes, and a third comes.
		changed := with(strings.Replace(topology, `user2: {password: {value: "123456"}`, `user2: {password: {value: 'a b"c\d#'}`, 1), `user3: {password: {value: three}}`)
		if text := o.apply(o.vpn, changed); strings.Contains(text, "!") {
			t.Errorf("plan costs somebody a session:\n%s", text)
		}
		o.vpn.converged()
		o.c2.Ping("192.168.130.1")
		// Kicked, he does not come back until he knows the new password.
		if r := o.vpn.exits(0, "kick", "user2"); !strings.Contains(r.stdout, "ended l2tp/office") {
			t.Errorf("kick says %s", r)
		}
		o.c2.down()
		o.c2.has("user2", `a b"c\d#`)
		if a := o.c2.up(); a != "192.168.130.50" {
			t.Errorf("user2 has %s", a)
		}
		o.sees("user2")
		// Removed, he loses his session, and nobody else does. Another pool is for those who
		// come, also in a tunnel that is there.
		gone := strings.Replace(changed, "      user2:", "      user4:", 1)
		gone = strings.Replace(gone, "192.168.130.100-192.168.130.200", "192.168.130.60-192.168.130.70", 1)
		text := o.apply(o.vpn, gone)
		if !strings.Contains(text, "ends 1 session (user2 192.168.130.50)") || strings.Contains(text, "user1") {
			t.Errorf("plan does not name whom it costs his session:\n%s", text)
		}
		o.vpn.converged()
		o.c2.down()
		if s := session(o.vpn.status(), "user2"); s != nil {
			t.Errorf("user2 is still there: %+v", s)
		}
		o.c2.has("user3", "three")
		if a := o.c2.up(); !strings.HasPrefix(a, "192.168.130.6") {
			t.Errorf("with another pool user3 has %s", a)
		}
		if now := o.vpn.Run("pidof", "xl2tpd"); now != id {
			t.Errorf("xl2tpd is process %s, was %s", now, id)
		}
		if loss := ping.Stop(); loss.Lost > 0 {
			t.Errorf("user1: %s", loss)
		}
	})
	step("in clear", func(t *testing.T, o *office) {
		// The connection is known, and its answers are let in by the owner's rule.
		if out := o.vpn.Run("conntrack", "-L", "-p", "udp", "--dport", "1701"); !strings.Contains(out, "10.13.0.106") {
			t.Errorf("connections of c1: %s", out)
		}
		o.c1.hangUp()
		o.c1.Run("sh", "-c", charonStops+"; ip xfrm policy flush; ip xfrm state flush")
		seen := watchWire(t, o.out)
		o.c1.xl2tpd()
		// It tries again after one second, and after two more.
		const tried = "IP 10.13.0.106.1701 > 10.13.0.101.1701"
		o.vpn.await("c1 tries three times", func() bool { return strings.Count(seen.seen.Output(), tried) >= 6 }) // each is seen twice
		if a := o.c1.address(); a != "" {
			t.Errorf("in clear c1 has %s", a)
		}
		packets := strings.Join(seen.stop()[""], "")
		if strings.Contains(packets, "10.13.0.101.1701 >") {
			t.Errorf("it was answered:\n%s", packets)
		}
		o.c1.hangUp()
	})
	step("branch", func(t *testing.T, o *office) {
		o.apply(o.branch, topology)
		o.branch.await("link", func() bool { return o.branch.status().Healthy && session(o.branch.status(), "user1") != nil })
		o.branch.converged()
		o.branch.Ping("10.20.0.10")
		if route := o.branch.Run("ip", "route", "get", "10.20.0.10"); !strings.Contains(route, "dev ppp0") {
			t.Errorf("way on branch: %s", route)
		}
		if routes := o.branch.Run("ip", "route"); !strings.Contains(routes, "unreachable 10.20.0.0/24") {
			t.Errorf("with the link down nothing would hold back what it carries: %s", routes)
		}
		// The server ends. vpnctl starts it again, and the branch dials again; meanwhile
		// nothing for the far network leaves in clear.
		seen := watchWire(t, o.out)
		ping := o.branch.PingLoop("10.20.0.10")
		old := o.branch.Run("pidof", "pppd")
		o.vpn.Run("sh", "-c", "kill $(pidof xl2tpd)")
		o.branch.await("another session", func() bool {
			now, err := o.branch.Try("pidof", "pppd")
			return err == nil && !strings.Contains(now, strings.TrimSpace(old))
		})
		ping.Await(3)
		ping.Stop()
		if open := seen.stop()[""]; len(open) > 0 {
			t.Errorf("%d packets in clear, the first %s", len(open), open[0])
		}
		o.sees("user1")
		o.vpn.converged()
		o.branch.converged()
	})
	step("IPv6, and what is behind the branch", func(t *testing.T, o *office) {
		routed := strings.Replace(topology, "routes: [10.20.0.0/24]", "routes: [10.20.0.0/24, 'fd20::/64'], networks: [10.5.0.0/24, 'fd05::/64']", 1)
		o.apply(o.vpn, routed)
		// With its session down it leads nowhere.
		if out := o.vpn.Run("ip", "-6", "route", "show", "fd05::/64"); !strings.Contains(out, "unreachable") {
			t.Errorf("way on vpn: %s", out)
		}
		if text := o.apply(o.branch, routed); !strings.Contains(text, "ends 1 session") {
			t.Errorf("the branch does not dial anew:\n%s", text)
		}
		seen := watchWire(t, o.out)
		o.bh.Ping("fd20::10")
		o.lanh.Ping("fd05::10")
		o.branch.Ping("fd20::10")
		o.vpn.Ping("10.5.0.10") // from an address of the link, to which bh's answers go by default
		packets := seen.stop()
		if open := slices.Concat(packets[""], packets["AH"]); len(open) > 0 || len(packets["ESP"]) < 8 {
			t.Errorf("on the wire: %d of ESP, and these:\n%s", len(packets["ESP"]), strings.Join(open, ""))
		}
		o.vpn.converged()
		o.branch.converged()
		o.apply(o.vpn, topology)
		o.apply(o.branch, topology)
		o.branch.await("link", func() bool { return o.branch.status().Healthy && session(o.branch.status(), "user1") != nil })
		for _, n := range []*node{o.vpn, o.branch} {
			if out := n.Run("ip", "-6", "route", "show", "proto", "118"); out != "" {
				t.Errorf("left on %s: %s", n.Name(), out)
			}
			n.converged()
		}
	})
	step("RADIUS", func(t *testing.T, o *office) {
		radius := startRadius(t, o.lanh, "192.168.131.77")
		o.c2.hangUp()
		o.apply(o.vpn, byRadius(strings.Replace(topology, ", address: 192.168.130.50", "", 1)))
		o.vpn.converged()
		o.c2.has("dave", "of dave")
		o.c2.xl2tpd()
		if a := o.c2.up(); a != "192.168.131.77" {
			t.Errorf("dave has %s", a)
		}
		o.sees("dave")
		radius.accounted("Acct-Status-Type = Start", `User-Name = "dave"`, "Framed-IP-Address = 192.168.131.77")
		o.c2.hangUp()
		radius.accounted("Acct-Status-Type = Stop", `User-Name = "dave"`, "Acct-Output-Octets = ")
	})
	step("all goes", func(t *testing.T, o *office) {
		for _, n := range []*node{o.branch, o.vpn} {
			n.destroy()
		}
	})
	before.same(o.vpn, "destroy")
	if now := dialling(o.branch); now != dials {
		t.Errorf("branch after destroy:\n%s\nbefore:\n%s", now, dials)
	}
}
