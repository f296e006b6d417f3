package e2e

import (
	"net"
	"strings"
	"testing"
)

// TestForeignState has an owner's rules, interfaces and routes around ours, on
// hosts of both kinds of iptables.
func TestForeignState(t *testing.T) {
	for _, kind := range []string{"nft", "legacy"} {
		t.Run(kind, func(t *testing.T) { testForeignState(t, kind) })
	}
}

// ownersRules are an owner's rules, with what is hard to keep: quotes, an
// order that matters, a user's chain, other tables.
const ownersRules = `*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:MINE - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -m comment --comment "a \"quoted\" comment" -j ACCEPT
-A FORWARD -j MINE
-A FORWARD -s 172.16.0.0/12 -j ACCEPT
-A MINE -p udp -m udp --dport 53 -j DROP
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --dport 8080 -j REDIRECT --to-ports 80
-A POSTROUTING -s 172.16.0.0/12 -o ens224 -j MASQUERADE
COMMIT
`

func testForeignState(t *testing.T, kind string) {
	_, linux1, linux2 := startNATExample(t)
	linux2.Run("iptables", "-P", "FORWARD", "ACCEPT")
	linux2.useIPTables(kind)
	linux2.Input(ownersRules, "iptables-restore")
	linux2.Run("ip", "link", "add", "lan9", "type", "veth", "peer", "name", "lan9p")
	linux2.Run("ip", "link", "set", "lan9p", "up")
	linux2.Run("ip", "link", "set", "lan9", "up")
	// The kernel notices in its own time that the other end is up.
	for _, end := range []string{"lan9", "lan9p"} {
		linux2.await(end, func() bool { return strings.Contains(linux2.Run("ip", "-o", "link", "show", end), " state UP ") })
	}
	linux2.Run("ip", "addr", "add", "172.16.0.1/24", "dev", "lan9")
	linux2.Run("ip", "route", "add", "10.99.0.0/16", "dev", "lan9")
	linux2.Run("ip", "rule", "add", "from", "172.16.0.0/12", "table", "100")
	linux2.Run("ip", "route", "add", "default", "dev", "lan9", "table", "100")
	before := snapshot(linux2)

	linux1.apply()
	linux2.apply()
	linux1.Ping("10.13.0.202")
	other := map[string]string{"nft": "legacy", "legacy": "nft"}[kind]
	if out := linux2.Run("iptables-" + kind + "-save"); !strings.Contains(out, "VPNCTL-") {
		t.Errorf("no rules of ours in iptables-%s:\n%s", kind, out)
	}
	if out := linux2.Run("iptables-" + other + "-save"); strings.Contains(out, "VPNCTL-") {
		t.Errorf("rules of ours in iptables-%s:\n%s", other, out)
	}
	// What the owner adds while ours are there stays as well.
	owner := [][]string{
		{"iptables", "-I", "FORWARD", "-s", "192.0.2.0/24", "-j", "DROP"},
		{"iptables", "-t", "nat", "-I", "POSTROUTING", "-s", "192.0.2.0/24", "-j", "RETURN"},
	}
	for _, rule := range owner {
		linux2.Run(rule...)
	}
	linux2.converged()
	linux2.apply()
	linux2.destroy()
	for _, rule := range owner {
		for i, arg := range rule {
			if arg == "-I" {
				rule[i] = "-D"
			}
		}
		linux2.Run(rule...)
	}
	before.same(linux2, "destroy")
}

// useIPTables makes one kind of iptables the host's.
func (n *node) useIPTables(kind string) {
	n.t.Helper()
	for _, family := range []string{"iptables", "ip6tables"} {
		for _, suffix := range []string{"", "-save", "-restore"} {
			n.Run("ln", "-sfn", "/usr/sbin/"+family+"-"+kind+suffix, "/etc/alternatives/"+family+suffix)
		}
	}
}

// TestRefusals are hosts on which apply must not begin.
func TestRefusals(t *testing.T) {
	_, linux1, linux2 := startNATExample(t)
	t.Run("foreign interface", func(t *testing.T) {
		n := linux1.in(t)
		n.Run("ip", "link", "add", "wg0", "type", "veth", "peer", "name", "wg0p")
		defer n.Run("ip", "link", "del", "wg0")
		n.refuses([]string{"apply", siteFile}, "wg0", "--adopt")
		if r := n.vpnctl("diff", siteFile); r.code != 3 {
			t.Errorf("diff: %s", r)
		}
	})
	t.Run("port in use", func(t *testing.T) {
		n := linux1.in(t)
		var conn net.PacketConn
		err := n.Do(func() (err error) {
			conn, err = net.ListenPacket("udp", ":51820")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		n.refuses([]string{"apply", siteFile}, "51820")
	})
	t.Run("foreign route", func(t *testing.T) {
		n := linux1.in(t)
		n.Run("ip", "route", "add", "10.13.0.0/16", "dev", "ens192")
		defer n.Run("ip", "route", "del", "10.13.0.0/16", "dev", "ens192")
		n.refuses([]string{"apply", siteFile}, "10.13.0.0/16")
	})
	t.Run("no CAP_NET_ADMIN", func(t *testing.T) {
		n := linux1.in(t)
		before := snapshot(n)
		r := n.exec("setpriv", "--bounding-set=-net_admin", n.program, "apply", siteFile)
		if r.code != 3 || !strings.Contains(r.stderr, "CAP_NET_ADMIN") {
			t.Errorf("apply: %s", r)
		}
		before.same(n, "a refused apply")
	})
	t.Run("other site", func(t *testing.T) {
		n := linux1.in(t)
		n.apply()
		n.has(strings.Replace(example(t, "wireguard-nat.yaml"), "site: wireguard-nat", "site: other", 1))
		n.refuses([]string{"apply", siteFile}, "wireguard-nat")
		n.destroy()
	})
	t.Run("no iptables", func(t *testing.T) {
		n := linux2.in(t)
		n.Run("sh", "-ec", `
			mkdir -p /run/sbin/upper /run/sbin/work
			mount -t overlay -o lowerdir=/usr/sbin,upperdir=/run/sbin/upper,workdir=/run/sbin/work overlay /usr/sbin
			rm /usr/sbin/*tables*`)
		r := n.exits(3, "apply", siteFile)
		if !strings.Contains(r.stderr, "apt install iptables") {
			t.Errorf("refusal lacks the cure:\n%s", r.stderr)
		}
		if out := n.Run("ip", "-o", "link"); strings.Contains(out, "wg0") {
			t.Errorf("refused, but not untouched:\n%s", out)
		}
		if out, err := n.Try("ls", "/var/lib/vpnctl/applied"); err == nil {
			t.Errorf("refused, but remembered:\n%s", out)
		}
	})
}
