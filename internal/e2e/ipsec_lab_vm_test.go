//go:build vm

package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vpnctl/vpnctl/internal/lab"
)

// gateways is the network of the IPsec tests:
//
//	ha --- gw-a ===== r ===== gw-b --- hb
//	         |      //  \\      |
//	         |     far   n -- branch
//	        net10, net13: all three on one wire
//
// The router r knows the way to the networks behind the gateways: what a gateway lets
// out in clear arrives, and is seen.
type gateways struct {
	t *testing.T
	l *lab.Lab
	// a, b and branch run vpnctl; branch is behind NAT.
	a, b, branch *node
	// far is the foreign end, configured by hand.
	far *peer
	// r is between all of them, and has 9.9.9.9, the world outside.
	r, ha, hb *lab.Host
}

// ipsecLab is one lab for all tests of IPsec, because a charon takes long to start under
// emulation: each test applies its topology to what the one before it has left, as
// operators do. It dies with the process.
var ipsecLab = sync.OnceValues(func() (*lab.Lab, error) {
	l, err := lab.New(
		lab.Wire("gw-a:eth0 192.168.10.10/24 fd20:10::10/64 via 192.168.10.1 via fd20:10::1", "r:ra 192.168.10.1/24 fd20:10::1/64"),
		lab.Wire("gw-b:eth0 192.168.20.20/24 fd20:20::20/64 via 192.168.20.1 via fd20:20::1", "r:rb 192.168.20.1/24 fd20:20::1/64"),
		lab.Wire("far:eth0 192.168.30.30/24 192.168.30.31/24 192.168.30.32/24 via 192.168.30.1", "r:rf 192.168.30.1/24"),
		lab.Wire("n:out 192.168.40.40/24 via 192.168.40.1", "r:rn 192.168.40.1/24"),
		lab.Wire("branch:eth0 10.66.0.2/24 via 10.66.0.1", "n:in 10.66.0.1/24"),
		lab.Wire("ha:eth0 10.10.0.10/24 10.11.0.10/24 fd10::10/64 via 10.10.0.1 via fd10::1", "gw-a:lan0 10.10.0.1/24 10.11.0.1/24 fd10::1/64"),
		lab.Wire("hb:eth0 10.14.0.10/24 10.15.0.10/24 fd14::10/64 via 10.14.0.1 via fd14::1", "gw-b:lan0 10.14.0.1/24 10.15.0.1/24 fd14::1/64"),
		lab.LAN("net13", "gw-a:eth1 10.13.0.101/24", "gw-b:eth1 10.13.0.102/24"),
		lab.LAN("net10", "gw-a:eth2 10.10.10.101/24", "far:eth2 10.10.10.102/24"),
	)
	if err != nil {
		return nil, err
	}
	// An owner's firewall: what is forwarded must be let through by vpnctl. That charon
	// raises xfrm_acq_expires, and never lowers it again, is not vpnctl's doing.
	for host, script := range map[string]string{
		"r": `sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
			ip addr add 9.9.9.9/32 dev lo
			ip route add 10.10.0.0/23 via 192.168.10.10
			ip route add 10.14.0.0/23 via 192.168.20.20
			ip route add 10.18.0.0/24 via 192.168.30.30`,
		"n":      `sysctl -qw net.ipv4.ip_forward=1; iptables -t nat -A POSTROUTING -o out -j MASQUERADE`,
		"far":    slim + `ip addr add 10.18.0.1/24 dev lo`,
		"branch": slim + tuned + `ip addr add 10.19.0.1/24 dev lo`,
		"gw-a":   slim + tuned + `iptables -P FORWARD DROP`,
		"gw-b":   slim + tuned + `iptables -P FORWARD DROP`,
	} {
		if _, err := l.Host(host).Try("sh", "-ec", script); err != nil {
			return nil, err
		}
	}
	return l, nil
})

// slim leaves out of charon and swanctl what no test here needs: under emulation the
// first start takes a third of the time. The log is there for a test that fails.
const slim = `
	for p in addrblock af-alg agent bliss bypass-lan ccm certexpire cmac connmark ctr curl dhcp dnskey \
		eap-aka eap-gtc eap-radius eap-tls eap-tnc eap-ttls error-notify farp forecast gcrypt ha kernel-libipsec \
		ldap led lookip md5 ntru pgp pkcs11 rc2 resolve sshkey stroke test-vectors tnc-tnccs tpm unity xauth-eap xauth-pam xcbc; do
		f=/etc/strongswan.d/charon/$p.conf
		if [ -e $f ]; then sed -i 's/^\( *load = \).*/\1no/' $f; fi
	done
	cat > /etc/strongswan.d/zz-lab.conf <<-'END'
	swanctl { load = random nonce pem pkcs1 pkcs8 x509 pubkey sha1 sha2 openssl }
	charon-systemd {
	 journal { default = -1 }
	 filelog { lab {
	 path = /var/log/charon.log
	 default = 1
	 ike_name = yes
	 time_format = %H:%M:%S
	 flush_line = yes } } }
	END
`

const tuned = "sysctl -qw net.core.xfrm_acq_expires=165\n"

// startGateways returns the lab for a test.
func startGateways(t *testing.T) *gateways {
	t.Helper()
	l, err := ipsecLab()
	if err != nil {
		t.Fatal(err)
	}
	g := (&gateways{l: l}).in(t)
	t.Cleanup(func() {
		if t.Failed() {
			g.explain()
			g.reset()
		}
	})
	return g
}

// in is the same lab in a subtest.
func (g *gateways) in(t *testing.T) *gateways {
	t.Helper()
	n := nodes(t, g.l, program, "gw-a", "gw-b", "branch")
	h := g.l.With(t)
	return &gateways{
		t: t, l: g.l, a: n[0], b: n[1], branch: n[2], far: &peer{Host: h.Host("far")},
		r: h.Host("r"), ha: h.Host("ha"), hb: h.Host("hb"),
	}
}

// nodes are the hosts on which vpnctl runs.
func (g *gateways) nodes() []*node { return []*node{g.a, g.b, g.branch} }

// explain logs what charon said, of a test that failed.
func (g *gateways) explain() {
	for _, name := range []string{"gw-a", "gw-b", "branch", "far"} {
		log, err := g.l.Host(name).Try("tail", "-n", "60", "/var/log/charon.log")
		if err == nil {
			g.t.Logf("charon on %s:\n%s", name, log)
		}
	}
}

// reset makes hosts of which a failed test has left who knows what into those that the
// next test can begin with.
func (g *gateways) reset() {
	for _, n := range g.nodes() {
		_ = n.vpnctl("destroy", "--yes")
		_, _ = n.Try("sh", "-c", `kill -9 $(pidof charon-systemd vpnctl); rm -rf /var/lib/vpnctl /run/vpnctl /etc/swanctl/conf.d/* /run/charon*
			ip xfrm state flush; ip xfrm policy flush
			iptables-save | grep -v VPNCTL- | iptables-restore; ip6tables-save | grep -v VPNCTL- | ip6tables-restore`)
	}
}

// apply gives all of some nodes the same topology, and applies it on one after the other.
func (g *gateways) apply(topology string, nodes ...*node) (plans []string) {
	g.t.Helper()
	for _, n := range nodes {
		n.has(topology)
		plans = append(plans, n.apply())
	}
	return plans
}

// head is the beginning of every topology that is no shipped example: one site, so that
// each follows the one before.
const head = `version: 1
site: gateways
nodes:
  gw-a: {addresses: [192.168.10.10]}
  gw-b: {addresses: [192.168.20.20]}
  branch: {}
ipsec:
`

// same gives an example the site of all other topologies.
func same(t *testing.T, name string) string {
	t.Helper()
	return regexp.MustCompile(`(?m)^site: .*$`).ReplaceAllString(example(t, name), "site: gateways")
}

// sa is an IKE_SA as swanctl lists it.
type sa struct {
	name, id, line string
	children       []childSA
}

// childSA is one of its CHILD_SAs.
type childSA struct {
	name, id, state, spiIn string
}

var (
	ikePattern   = regexp.MustCompile(`^list-sa event \{(\S+) \{uniqueid=(\d+) version=\d state=ESTABLISHED`)
	childPattern = regexp.MustCompile(`\{name=(\S+) uniqueid=(\d+) reqid=\d+ state=(\w+) .*?spi-in=(\w+)`)
)

// sas lists the established IKE_SAs of a host, in the order of their numbers.
func sas(h *lab.Host) []sa {
	var all []sa
	// Without a charon there are none.
	out, _ := h.Try("swanctl", "--list-sas", "--raw")
	for line := range strings.Lines(out) {
		m := ikePattern.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		s := sa{name: m[1], id: m[2], line: line}
		for _, c := range childPattern.FindAllStringSubmatch(line, -1) {
			s.children = append(s.children, childSA{name: c[1], id: c[2], state: c[3], spiIn: c[4]})
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(x, y sa) int { return strings.Compare(x.id, y.id) })
	return all
}

// sa returns the one IKE_SA of a connection, with an installed CHILD_SA of that name, and
// fails the test where there are more or none.
func (g *gateways) sa(h *lab.Host, conn, child string) (ike sa, installed childSA) {
	g.t.Helper()
	var ikes []sa
	var children []childSA
	for _, s := range sas(h) {
		if s.name != conn {
			continue
		}
		ikes = append(ikes, s)
		for _, c := range s.children {
			if c.name == child && c.state == "INSTALLED" {
				children = append(children, c)
			}
		}
	}
	if len(ikes) != 1 || len(children) != 1 {
		g.t.Fatalf("%s of %s on %s: want one IKE_SA with one CHILD_SA, have %+v", child, conn, h.Name(), sas(h))
	}
	return ikes[0], children[0]
}

// up waits until a child is installed.
func (g *gateways) up(h *lab.Host, child string) {
	g.t.Helper()
	h.Eventually(20*time.Second, func() error {
		all := sas(h)
		for _, s := range all {
			if slices.ContainsFunc(s.children, func(c childSA) bool { return c.name == child && c.state == "INSTALLED" }) {
				return nil
			}
		}
		return fmt.Errorf("%s is not installed: %+v", child, all)
	})
}

// gone waits until a connection has no SA.
func (g *gateways) gone(h *lab.Host, conn string) {
	g.t.Helper()
	h.Eventually(10*time.Second, func() error {
		for _, s := range sas(h) {
			if s.name == conn {
				return fmt.Errorf("%s is still there: %+v", conn, s)
			}
		}
		return nil
	})
}

// charonStops ends charon as a restart does, and waits for its end.
const charonStops = `pid=$(pidof charon-systemd); kill $pid; while [ -e /proc/$pid/exe ]; do sleep 0.1; done`

// startCharon starts a charon of the owner's, as systemd would.
func startCharon(h *lab.Host) {
	h.Run("sh", "-c", "setsid charon-systemd </dev/null >/dev/null 2>&1 &")
	h.Eventually(20*time.Second, func() error {
		_, err := h.Try("swanctl", "--stats")
		return err
	})
}

// xfrm is the state of IPsec in the kernel, without what counts.
func xfrm(n *node) string {
	n.t.Helper()
	lines := strings.Split(n.Run("ip", "xfrm", "policy")+n.Run("ip", "xfrm", "state"), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// peer is a strongSwan that somebody has configured by hand.
type peer struct {
	*lab.Host
}

// has gives it a configuration in place of the one before, with no SA left of that.
func (p *peer) has(t *testing.T, conf string) {
	t.Helper()
	if _, err := p.Try("swanctl", "--stats"); err != nil {
		startCharon(p.Host)
	}
	p.WriteFile("/etc/swanctl/conf.d/lab.conf", conf, 0o600)
	out := p.Run("swanctl", "--load-all", "--noprompt", "--clear")
	if strings.Contains(out, "failed") {
		t.Fatalf("loading configuration on %s:\n%s", p.Name(), out)
	}
	// After the load: the other side comes again at once, and must find what is new.
	for _, s := range sas(p.Host) {
		p.Run("swanctl", "--terminate", "--ike-id", s.id, "--force", "--timeout", "2")
	}
}
