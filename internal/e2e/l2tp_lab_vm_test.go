//go:build vm

package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vpnctl/vpnctl/internal/lab"
)

// office is the network of the tests of L2TP, those of its example:
//
//	lanh -- vpn ===== out ===== branch -- bh
//	                 // \\
//	                c1   n -- c2
//
// vpn and branch run vpnctl. The clients c1 and c2 are configured by hand, c2 is behind
// NAT. lanh knows no way to the clients: vpn masquerades them. It knows one to all of IPv6.
type office struct {
	t           *testing.T
	l           *lab.Lab
	vpn, branch *node
	c1, c2      *dialler
	// out is the wire between all of them.
	out      *lab.Host
	lanh, bh *lab.Host
}

var officeLab = sync.OnceValues(func() (*lab.Lab, error) {
	l, err := lab.New(
		lab.LAN("out", "vpn:eth0 10.13.0.101/24", "branch:eth0 10.13.0.105/24", "c1:eth0 10.13.0.106/24", "n:out 10.13.0.110/24"),
		lab.Wire("c2:eth0 10.77.0.2/24 via 10.77.0.1", "n:in 10.77.0.1/24"),
		lab.Wire("lanh:eth0 10.20.0.10/24 fd20::10/64 via fd20::1", "vpn:ens33 10.20.0.1/24 fd20::1/64"),
		lab.Wire("bh:eth0 10.5.0.10/24 fd05::10/64 via 10.5.0.1 via fd05::1", "branch:lan0 10.5.0.1/24 fd05::1/64"),
	)
	if err != nil {
		return nil, err
	}
	// Owners' firewalls: what vpnctl needs it must let through, and what it forbids must not
	// come in as an answer. The NAT changes the port of the source.
	for host, script := range map[string]string{
		"n": `sysctl -qw net.ipv4.ip_forward=1
			iptables -t nat -A POSTROUTING -o out -p udp -j MASQUERADE --to-ports 40000-40100
			iptables -t nat -A POSTROUTING -o out -j MASQUERADE`,
		"vpn": slim + tuned + `iptables -P FORWARD DROP
			ip6tables -P FORWARD DROP
			iptables -A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT`,
		"branch": slim + tuned + "ip6tables -P FORWARD DROP\niptables -P FORWARD DROP\n",
		"c1":     slim,
		"c2":     slim,
	} {
		if _, err := l.Host(host).Try("sh", "-ec", script); err != nil {
			return nil, err
		}
	}
	return l, nil
})

// startOffice returns the lab for a test.
func startOffice(t *testing.T) *office {
	t.Helper()
	l, err := officeLab()
	if err != nil {
		t.Fatal(err)
	}
	o := (&office{l: l}).in(t)
	t.Cleanup(func() {
		if t.Failed() {
			o.explain()
		}
	})
	return o
}

// in is the same lab in a subtest.
func (o *office) in(t *testing.T) *office {
	t.Helper()
	n, h := nodes(t, o.l, program, "vpn", "branch"), o.l.With(t)
	return &office{
		t: t, l: o.l, vpn: n[0], branch: n[1], out: h.Host("out"), lanh: h.Host("lanh"), bh: h.Host("bh"),
		c1: &dialler{Host: h.Host("c1"), t: t}, c2: &dialler{Host: h.Host("c2"), t: t},
	}
}

// explain logs what the daemons said, of a test that failed.
func (o *office) explain() {
	for _, name := range []string{"vpn", "branch", "c1", "c2"} {
		out, _ := o.l.Host(name).Try("sh", "-c", `tail -n 25 /var/log/charon.log /var/log/xl2tpd.log /var/log/ppp.log
			ip -br addr; ip route; ip -6 route; ip l2tp show tunnel; pgrep -a 'pppd|xl2tpd|charon'; xl2tpd-control -d available
			for f in /run/vpnctl/sessions/*; do cat $f; done`)
		o.t.Logf("%s:\n%s", name, out)
	}
}

// dialler is a client that somebody has configured by hand.
type dialler struct {
	*lab.Host
	t *testing.T
}

const diallerIPsec = `connections { l2tp { version = 1
  remote_addrs = 10.13.0.101
  proposals = aes128-sha256-modp2048
  keyingtries = 0
  local { auth = psk }
  remote { auth = psk
    id = 10.13.0.101 }
  children { l2tp { mode = transport
    local_ts = dynamic[udp/1701]
    remote_ts = dynamic[udp/1701]
    esp_proposals = aes128-sha256
    dpd_action = restart
    close_action = start
    start_action = trap } } } }
secrets { ike-l2tp { id-1 = 10.13.0.101
  secret = "123456" } }
`

const diallerXL2TPD = `[global]
port = 1701
access control = no
[lac office]
lns = 10.13.0.101
autodial = yes
redial = yes
redial timeout = 2
pppoptfile = /etc/ppp/options.client
length bit = yes
`

const diallerPPP = `name "%s"
remotename vpn
noauth
noipdefault
ipcp-accept-local
ipcp-accept-remote
nodefaultroute
usepeerdns
noccp
mtu 1400
mru 1400
lcp-echo-interval 5
lcp-echo-failure 3
debug
logfile /var/log/ppp.log
`

// has gives it the user's name and password.
func (d *dialler) has(user, password string) {
	d.t.Helper()
	d.WriteFile("/etc/ppp/options.client", fmt.Sprintf(diallerPPP, user), 0o644)
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(password)
	d.WriteFile("/etc/ppp/chap-secrets", fmt.Sprintf("\"%s\" vpn \"%s\" *\n", user, quoted), 0o600)
}

// dial starts to dial; up waits for the result.
func (d *dialler) dial(user, password string) {
	d.t.Helper()
	d.has(user, password)
	d.WriteFile("/etc/swanctl/conf.d/lab.conf", diallerIPsec, 0o600)
	d.WriteFile("/etc/xl2tpd/xl2tpd.conf", diallerXL2TPD, 0o644)
	if _, err := d.Try("swanctl", "--stats"); err != nil {
		startCharon(d.Host)
	}
	if out := d.Run("swanctl", "--load-all", "--noprompt"); strings.Contains(out, "failed") {
		d.t.Fatalf("loading configuration on %s:\n%s", d.Name(), out)
	}
	d.xl2tpd()
}

func (d *dialler) xl2tpd() {
	d.t.Helper()
	d.Run("sh", "-c", "mkdir -p /run/xl2tpd; setsid xl2tpd -D </dev/null >>/var/log/xl2tpd.log 2>&1 &")
}

var inner = regexp.MustCompile(`inet (\S+) peer`)

// address is the one that it was given, "" for none.
func (d *dialler) address() string {
	// On whatever interface: the one of the session before may not be gone yet.
	out := d.Run("ip", "-o", "-4", "addr", "show")
	if m := inner.FindStringSubmatch(out); m != nil {
		return m[1]
	}
	return ""
}

// up waits until it has an address, and returns that.
func (d *dialler) up() string {
	d.t.Helper()
	d.Eventually(40*time.Second, func() error {
		if d.address() == "" {
			return fmt.Errorf("%s is not up", d.Name())
		}
		return nil
	})
	d.Ping("192.168.130.1")
	return d.address()
}

// down waits until it has none.
func (d *dialler) down() {
	d.t.Helper()
	d.Eventually(20*time.Second, func() error {
		if a := d.address(); a != "" {
			return fmt.Errorf("%s is still up with %s", d.Name(), a)
		}
		return nil
	})
}

// hangUp ends everything of L2TP on it.
func (d *dialler) hangUp() {
	d.t.Helper()
	d.Run("sh", "-c", "kill $(pidof xl2tpd); while pidof xl2tpd pppd; do sleep 0.1; done; rm -f /run/xl2tpd.pid")
}

// session is a user's row of a status, nil for none.
func session(s status, user string) *tunnel {
	for i := range s.Tunnels {
		if t := &s.Tunnels[i]; t.Protocol == "l2tp" && t.User == user && t.State == "up" {
			return t
		}
	}
	return nil
}

// sees waits until the server has a session of a user, and returns its row.
func (o *office) sees(user string) tunnel {
	o.t.Helper()
	var row tunnel
	o.vpn.await("session of "+user, func() bool {
		s := session(o.vpn.status(), user)
		if s != nil {
			row = *s
		}
		return s != nil
	})
	return row
}

// apply gives a node a topology, and applies it.
func (o *office) apply(n *node, topology string) string {
	o.t.Helper()
	n.has(topology)
	return n.apply()
}
