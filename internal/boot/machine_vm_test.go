//go:build vm

package boot_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/lab"
	"github.com/vpnctl/vpnctl/internal/lab/vm/guest"
	"github.com/vpnctl/vpnctl/internal/unit"
)

// again is set by a test that wants to go on after a reboot.
var again bool

func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 && again {
		code = guest.Reboot
	}
	os.Exit(code)
}

// labDir is where the test keeps what it needs after the reboot.
const labDir = "/var/lib/vpnctl-lab"

// network is what stands around the machine, which is gateway gw-a:
//
//	ha --- machine ===== m ===== gw-b
//
// Before the machine has any address, m listens on the wire and ha pings the network behind
// gw-b. What the machine forwards in clear arrives there, and is answered.
const network = `#!/bin/sh -e
mount --make-shared / 2>/dev/null || true
for n in ha m b; do ip netns add $n; ip -n $n link set lo up; done
ip link add w0 type veth peer name ma netns m
ip link add lan0 type veth peer name h0 netns ha
ip -n m link add mb type veth peer name wb netns b
ip -n m addr add 192.168.10.1/24 dev ma; ip -n m link set dev ma up
ip -n m addr add 192.168.20.1/24 dev mb; ip -n m link set dev mb up
ip -n b addr add 192.168.20.20/24 dev wb; ip -n b link set dev wb up
ip -n b addr add 10.14.0.10/24 dev lo
ip -n b route add default via 192.168.20.1
ip -n m route add 10.14.0.0/24 via 192.168.20.20
ip -n m route add 10.10.0.0/24 via 192.168.10.10
ip -n m route add blackhole 192.0.2.0/24
ip netns exec m sysctl -qw net.ipv4.ip_forward=1
ip -n ha addr add 10.10.0.10/24 dev h0; ip -n ha link set dev h0 up
ip -n ha route add default via 10.10.0.1
ip netns exec m tcpdump -l -n -i ma 'ip' >` + labDir + `/wire 2>` + labDir + `/tcpdump &
while ! grep -q listening ` + labDir + `/tcpdump; do sleep 0.1; done
ip netns exec ha ping -n -i 0.2 10.14.0.10 >` + labDir + `/pings 2>&1 &
ip addr add 10.10.0.1/24 dev lan0; ip link set dev lan0 up
ip addr add 192.168.10.10/24 dev w0; ip link set dev w0 up
ip route add default via 192.168.10.1
`

// networkUnit configures the interfaces at boot, as any network manager would.
const networkUnit = `[Unit]
DefaultDependencies=no
After=network-pre.target local-fs.target
Wants=network-pre.target network.target
Before=network.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=` + labDir + `/network
ExecStart=` + labDir + `/far
`

// far is gw-b, with a charon of its own, and servers of L2TP and PPTP.
const far = `#!/bin/sh -e
ip netns exec b unshare -m sh -ec '
mount --make-rprivate /; mount -t tmpfs tmpfs /run
mount --bind ` + labDir + `/swanctl /etc/swanctl
mount --bind ` + labDir + `/chap-secrets /etc/ppp/chap-secrets
cd ` + labDir + `
xl2tpd -D -c ` + labDir + `/xl2tpd.conf -p /run/xl2tpd.pid -C /run/xl2tpd.control >xl2tpd.log 2>&1 &
pptpd -f -c ` + labDir + `/pptpd.conf -p /run/pptpd.pid >pptpd.log 2>&1 &
charon-systemd >` + labDir + `/charon 2>&1 &
until swanctl --stats >/dev/null 2>&1; do sleep 0.3; done
swanctl --load-all --noprompt >/dev/null
touch ` + labDir + `/far-is-up
wait' &
`

const farConf = `connections { gw { version = 2
 proposals = aes128-sha256-modp2048
 local_addrs = 192.168.20.20
 remote_addrs = %any
 local { auth = psk
  id = 192.168.20.20 }
 remote { auth = psk
  id = 192.168.10.10 }
 children { site { local_ts = 10.14.0.0/24
  remote_ts = 10.10.0.0/24
  esp_proposals = aes128-sha256 } } } }
secrets { ike-gw { id-1 = 192.168.10.10
  id-2 = 192.168.20.20
  secret = "correct horse" } }
`

// slim leaves out of charon and swanctl what nobody here needs: under emulation the first
// start takes a third of the time.
const slim = `cd /etc/strongswan.d/charon
sed -i 's/^\( *load = \).*/\1no/' $(ls | grep -vxE '(random|nonce|pem|openssl|kernel-netlink|socket-default|vici|updown|sha1|sha2|aes|hmac|gmp|kdf|x509|pubkey|pkcs1|pkcs8).conf')
echo 'swanctl { load = random nonce pem pkcs1 pkcs8 x509 pubkey sha1 sha2 openssl }' >/etc/strongswan.d/zz-lab.conf
`

// farFiles are the settings of its servers, whose only user is the machine.
var farFiles = map[string]string{
	"swanctl/swanctl.conf": farConf,
	"chap-secrets":         "machine * word *\n",
	"xl2tpd.conf":          "[lns default]\nip range = 172.31.1.10\nlocal ip = 172.31.1.1\nrequire authentication = yes\npppoptfile = " + labDir + "/options.l2tp\n",
	"options.l2tp":         "auth\nrequire-mschap-v2\nnoccp\n",
	"pptpd.conf":           "option " + labDir + "/options.pptp\nlocalip 172.31.2.1\nremoteip 172.31.2.10-11\n",
	"options.pptp":         "auth\nrequire-mschap-v2\nrequire-mppe-128\n",
}

const topology = `version: 1
site: reboot
nodes:
  gw-a: {addresses: [192.168.10.10]}
  office: {addresses: [192.168.20.20]}
wireguard:
  wg0:
    listen_port: 51820
    members:
      gw-a:
        addresses: [10.20.0.1/24]
        public_key: %[1]s
        private_key: {file: %[3]s/wg0.key}
    peers:
      moved: {addresses: [10.20.0.2/32], networks: [10.21.0.0/16], endpoint: "gone.example:51820", public_key: jG+QjJAyc3SfG8b8Mbg60FmN0mgONqsdDzUHjNg7vg4=}
  wg1:
    listen_port: 51821
    members:
      gw-a:
        addresses: [10.30.0.1/24]
        public_key: %[2]s
        private_key: {file: %[3]s/wg1.key}
    peers:
      phone: {addresses: [10.30.0.2/32], public_key: TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=}
ipsec:
  site:
    ends:
      gw-a: {address: 192.168.10.10, subnets: [10.10.0.0/24]}
      gw-b: {address: 192.168.20.20, subnets: [10.14.0.0/24]}
    auth: {psk: {env: LAB_PSK}}
    ike_proposals: [aes128-sha256-modp2048]
    esp_proposals: [aes128-sha256]
    start_action: start
l2tp:
  dial:
    server: office
    local_ip: 172.31.1.1
    pools: [172.31.1.10]
    ipsec: none
    users: {machine: {password: {value: word}}}
    clients: {gw-a: {user: machine}}
pptp:
  legacy:
    server: office
    allow_insecure: true
    local_ip: 172.31.2.1
    pools: [172.31.2.10]
    users: {machine: {password: {value: word}}}
    clients: {gw-a: {user: machine, routes: [172.31.9.0/24]}}
nat:
  gw-a:
    - {source: [10.0.0.0/8], out: auto}
`

// cutOff is a topology whose apply kills vpnctl, with the power of the machine to follow.
const cutOff = `
  wg2:
    listen_port: 51822
    members:
      gw-a:
        addresses: [10.40.0.1/24]
        public_key: %[2]s
        private_key: {file: %[3]s/wg2.key}
        hooks: {post_up: ['kill -9 $PPID']}
    peers:
      phone: {addresses: [10.40.0.2/32], public_key: TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=}
ipsec:
`

// machine is the virtual machine on which systemd is the init.
type machine struct{ t *testing.T }

func (m machine) try(argv ...string) (string, error) {
	begin := time.Now()
	defer func() {
		if took := time.Since(begin); took > 3*time.Second {
			m.t.Logf("%.60q took %s", argv, took.Round(100*time.Millisecond))
		}
	}()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%q: %w\n%s", argv, err, out)
	}
	return string(out), nil
}

func (m machine) run(argv ...string) string {
	m.t.Helper()
	out, err := m.try(argv...)
	if err != nil {
		m.t.Fatal(err)
	}
	return out
}

func (m machine) write(name, text string, mode fs.FileMode) {
	m.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), mode), os.Chmod(name, mode)); err != nil {
		m.t.Fatal(err)
	}
}

func (m machine) read(name string) string {
	m.t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		m.t.Fatal(err)
	}
	return string(b)
}

// await waits until a command prints all of words.
func (m machine) await(bound time.Duration, words []string, argv ...string) {
	m.t.Helper()
	err := lab.Await(bound, func() error {
		out, err := m.try(argv...)
		for _, w := range words {
			if !strings.Contains(out, w) {
				return errors.Join(fmt.Errorf("%q lacks %q:\n%s", argv, w, out), err)
			}
		}
		return nil
	})
	if err != nil {
		m.t.Error(err)
	}
}

// has fails the test where a command does not print all of words.
func (m machine) has(words []string, argv ...string) {
	m.t.Helper()
	out, err := m.try(argv...)
	for _, w := range words {
		if !strings.Contains(out, w) {
			m.t.Errorf("%q lacks %q: %v\n%s", argv, w, err, out)
		}
	}
}

// snapshot is what of the machine vpnctl could change, as lines. Files count by name, mode
// and content.
func (m machine) snapshot() []string {
	m.t.Helper()
	var lines []string
	for _, argv := range [][]string{
		{"sh", "-c", "iptables-save; ip6tables-save"}, {"ip", "-o", "link"}, {"ip", "rule"}, {"ip", "xfrm", "policy"},
		{"sysctl", "net.ipv4.ip_forward", "net.ipv4.conf.all.rp_filter", "net.ipv4.conf.all.send_redirects"},
		{"systemctl", "is-active", "vpnctl.service", "vpnctl-guard.service", "vpnctl-watch.service"},
		{"sh", "-c", "cd /etc; find systemd swanctl sysctl.d iproute2 modules-load.d strongswan.d -exec stat -c '%A %N' {} +; sha256sum swanctl/conf.d/* systemd/system/* sysctl.d/* strongswan.d/* 2>/dev/null"},
		{"sh", "-c", "ls -d /var/lib/vpnctl /run/vpnctl 2>&1"},
	} {
		out, _ := m.try(argv...) // ls fails where there is nothing to list
		for line := range strings.Lines(out) {
			line = strings.Join(strings.Fields(line), " ")
			// The base chains of a table are there once it was listed; link numbers and
			// the agent's own service are this boot's.
			if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ":") || line == "COMMIT" || line[0] == '*' ||
				strings.Contains(line, "vpnctl-vm") {
				continue
			}
			if slices.Contains(argv, "link") {
				line, _, _ = strings.Cut(strings.Fields(line)[1], "@")
			}
			lines = append(lines, argv[0]+": "+line)
		}
	}
	slices.Sort(lines)
	return lines
}

type status struct {
	Healthy     bool
	Interrupted bool
	LeftOut     []struct{ Object, Reason string } `json:"left_out"`
}

func (m machine) status() status {
	m.t.Helper()
	var s status
	out, err := exec.Command("vpnctl", "status", "-o", "json").Output() // warnings apart
	if err != nil {
		m.t.Fatal(err)
	}
	if err := json.Unmarshal(out, &s); err != nil {
		m.t.Fatal(err)
	}
	return s
}

// TestRebootOnMachine runs where systemd is the init, with vmrun -systemd.
func TestRebootOnMachine(t *testing.T) {
	if !unit.Booted() {
		t.Fatal("systemd is not the init: run it by vmrun -systemd")
	}
	m := machine{t}
	if os.Getenv("VPNCTL_BOOT") == "1" {
		m.before()
		again = !t.Failed()
		return
	}
	m.after()
}

// before applies, lets a second apply be cut off, and takes a key away.
func (m machine) before() {
	m.write(labDir+"/network", network, 0o755)
	m.write(labDir+"/far", far, 0o755)
	for name, text := range farFiles {
		m.write(labDir+"/"+name, text, 0o600)
	}
	m.write("/etc/systemd/system/lab-network.service", networkUnit, 0o644)
	var public []string
	for _, name := range []string{"wg0", "wg1", "wg2"} {
		public = append(public, strings.TrimSpace(m.run("sh", "-c", "umask 077; wg genkey | tee "+labDir+"/"+name+".key | wg pubkey")))
	}
	text := fmt.Sprintf(topology, public[0], public[1], labDir)
	m.write(labDir+"/site.yaml", text, 0o600)
	m.write(labDir+"/next.yaml", strings.Replace(text, "ipsec:\n", fmt.Sprintf(cutOff[1:], "", public[2], labDir), 1), 0o600)
	m.run("sh", "-ec", slim)
	m.run("systemctl", "add-wants", "multi-user.target", "lab-network.service")
	m.run("systemctl", "start", "lab-network.service")
	m.nameserver("127.0.0.1") // it refuses at once
	m.write(labDir+"/snapshot", strings.Join(m.snapshot(), "\n"), 0o600)
	// Whoever forwards without a guard is seen: the test would see a leak.
	m.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
	m.await(20*time.Second, []string{"10.10.0.10 > 10.14.0.10: ICMP echo request"}, "cat", labDir+"/wire")
	m.run("sysctl", "-qw", "net.ipv4.ip_forward=0")

	m.run("sh", "-c", "LAB_PSK='correct horse' vpnctl --node gw-a apply "+labDir+"/site.yaml")
	m.has([]string{"enabled"}, "systemctl", "is-enabled", "vpnctl.service")
	m.has([]string{"enabled"}, "systemctl", "is-enabled", "vpnctl-guard.service")
	out, err := m.try("sh", "-c", "LAB_PSK='correct horse' vpnctl --node gw-a apply "+labDir+"/next.yaml")
	if err == nil || !m.status().Interrupted {
		m.t.Errorf("the second apply was not cut off: %v\n%s", err, out)
	}
	m.run("mv", labDir+"/wg1.key", labDir+"/wg1.key.away")
	m.nameserver("192.0.2.53") // it never answers, and must not be asked
}

// nameserver is whom the machine asks for names.
func (m machine) nameserver(addr string) {
	m.t.Helper()
	m.write("/etc/resolv.conf", "nameserver "+addr+"\n", 0o644)
}

// after looks at what came up by itself.
func (m machine) after() {
	m.t.Cleanup(func() {
		if m.t.Failed() {
			out, _ := m.try("sh", "-c", "vpnctl status; ip -br addr; ip route; ip xfrm state; tail -n 30 "+labDir+"/*.log "+labDir+"/charon "+labDir+"/pings; journalctl -b -o short-monotonic -n 150 --no-pager")
			m.t.Log(out)
		}
	})
	if out, err := m.try("systemctl", "is-active", "vpnctl-guard.service", "vpnctl.service"); out != "active\nactive\n" {
		m.t.Errorf("the units are not active: %v", err)
	}
	m.t.Logf("%s", m.run("sh", "-c", "journalctl -b -o short-monotonic -t vpnctl --no-pager"))
	m.has([]string{"10.20.0.1/24"}, "ip", "addr", "show", "wg0")
	m.has([]string{"10.21.0.0/16 dev wg0"}, "ip", "route", "show", "proto", "118")
	m.has([]string{"10.20.0.2/32 10.21.0.0/16"}, "wg", "show", "wg0", "allowed-ips")
	m.has([]string{"MASQUERADE"}, "iptables-save", "-t", "nat")
	m.has([]string{"= 1"}, "sysctl", "net.ipv4.ip_forward")
	s := m.status()
	if s.Healthy || s.Interrupted || len(s.LeftOut) != 1 || s.LeftOut[0].Object != "wireguard/wg1" || !strings.Contains(s.LeftOut[0].Reason, "wg1.key") {
		m.t.Errorf("status: %+v", s)
	}
	m.has([]string{"left out at boot: wireguard/wg1: "}, "vpnctl", "status")
	for _, gone := range []string{"wg1", "wg2"} {
		if out, err := m.try("ip", "link", "show", gone); err == nil {
			m.t.Errorf("%s is there:\n%s", gone, out)
		}
	}
	m.nameserver("127.0.0.1")
	m.run("mv", labDir+"/wg1.key.away", labDir+"/wg1.key")
	m.run("sh", "-c", "echo 192.168.20.20 gone.example >>/etc/hosts")
	m.await(15*time.Second, []string{"bytes from 10.14.0.10"}, "cat", labDir+"/pings")
	m.await(15*time.Second, []string{"inet 172.31.1.10 peer 172.31.1.1/32", "inet 172.31.2.10 peer 172.31.2.1/32"}, "ip", "-o", "addr")
	m.await(15*time.Second, []string{"172.31.9.0/24 dev ppp"}, "ip", "route", "show", "proto", "118")
	m.await(15*time.Second, []string{"10.30.0.1/24"}, "ip", "addr", "show", "wg1")
	m.await(15*time.Second, []string{"192.168.20.20:51820"}, "wg", "show", "wg0", "endpoints")
	wire := m.read(labDir + "/wire")
	if !strings.Contains(wire, "ESP(spi=") {
		m.t.Error("no ESP was seen")
	}
	for line := range strings.Lines(wire) {
		if strings.Contains(line, "10.10.0.") || strings.Contains(line, "10.14.0.") || strings.Contains(line, "ICMP echo") {
			m.t.Errorf("in clear: %s", line)
			break
		}
	}
	m.has([]string{"no changes"}, "vpnctl", "diff")
	if s := m.status(); len(s.LeftOut) > 0 {
		m.t.Errorf("left out in the end: %+v", s)
	}
	m.run("sed", "-i", "/gone.example/d", "/etc/hosts")
	m.run("vpnctl", "destroy", "--yes")
	if diff := cmp.Diff(m.read(labDir+"/snapshot"), strings.Join(m.snapshot(), "\n")); diff != "" {
		m.t.Errorf("after destroy (-before +after):\n%s", diff)
	}
}
