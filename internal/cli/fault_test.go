package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// transition leads a host from one topology to another; "" is none, to which destroy leads.
type transition struct {
	host, node, from, to string
	// idle says that charon does not run at first.
	idle bool
}

// rich has what the examples lack, as n1 sees it.
func rich() string {
	return fmt.Sprintf(`version: 1
site: rich
nodes:
  n1: {addresses: [192.168.10.10]}
  n2: {addresses: [192.168.20.20]}
wireguard:
  wg0:
    listen_port: 51820
    members:
      n1:
        addresses: [10.0.0.1/24]
        private_key: {value: %[1]s}
        public_key: %[2]s
        dns: [10.0.0.53]
        hooks: {post_up: [echo %%i up], pre_down: [echo %%i down]}
      n2: {addresses: [10.0.0.2/24], public_key: %[3]s, allowed_ips: {n1: [0.0.0.0/0]}}
  wg1:
    listen_port: 51821
    members:
      n1: {addresses: [10.1.0.1/24], private_key: {value: %[1]s}, public_key: %[2]s, netns: blue}
      n2: {addresses: [10.1.0.2/24], public_key: %[3]s}
ipsec:
  link:
    ends: {n1: {subnets: [10.10.0.0/24]}, n2: {subnets: [10.14.0.0/24]}}
    auth: {psk: {value: "a long enough PSK"}}
    interface: xfrm0
  dial:
    server: n2
    pools: [10.99.0.0/24]
    auth: {psk: {value: "another long PSK"}}
    users: {alice: {password: {value: "correct horse"}}}
    clients: {n1: {user: alice}}
`, keyOf("n1"), keyOf("n1").PublicKey(), keyOf("n2").PublicKey())
}

// tmp writes a topology to a file of its own.
func tmp(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func example(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "examples", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// transitions lead over the examples and to changes of them.
func transitions(t *testing.T) map[string]transition {
	t.Helper()
	exampleNAT, exampleHub := example(t, "wireguard-nat.yaml"), example(t, "wireguard-hub.yaml")
	change := strings.NewReplacer(
		"listen_port: 51820", "listen_port: 51900",
		"networks: [10.13.0.0/16]", "networks: [10.13.0.0/17, 'fd13::/64']",
		"persistent_keepalive: 25s", "persistent_keepalive: 15s",
		"out: ens224", "out: ens224, snat: 10.13.0.201",
		"[10.0.0.1/24]", "[10.0.0.1/24, 'fd00::1/64']",
		"[192.168.0.0/16]", "[192.168.0.0/17]",
		"[10.10.10.230/32]", "[10.10.10.231/32]",
	)
	otherNAT, otherHub := change.Replace(exampleNAT), change.Replace(exampleHub)
	tunnel, transport, windows := example(t, "ipsec-site-to-site.yaml"), example(t, "ipsec-transport-ah.yaml"), example(t, "ipsec-windows.yaml")
	connection := strings.NewReplacer(
		"subnets: [10.14.0.0/24]", "subnets: [10.14.0.0/24, 10.15.0.0/24]",
		"action: restart}\n    start_action: start", "action: trap}\n    start_action: trap",
		"ah_proposals: [sha256]", "ah_proposals: [sha384]",
		"aes128-sha1, ", "", "aes128-sha1]", "aes256-sha1]", `"123456"`, `"another PSK"`,
	)
	other := strings.NewReplacer("0.0.0.0/0", "10.0.0.0/8", "10.0.0.53", "10.0.0.54", "[10.14.0.0/24]", "[10.15.0.0/24]", "netns: blue", "netns: red",
		"user: alice", "user: alice, use_dns: true")
	dialIn, legacy := example(t, "l2tp-ipsec.yaml"), example(t, "pptp.yaml")
	users := strings.NewReplacer(`user1: {password: {value: "123456"}}`, `user1: {password: {value: "another"}}`,
		"192.168.130.50", "192.168.130.51", "192.168.150.100", "192.168.150.101", "[10.20.0.0/24]", "[10.21.0.0/24]",
		"192.168.140.100-192.168.140.200", "192.168.140.100-192.168.140.190", "130.100-192.168.130.200", "130.100-192.168.130.190")
	behind := strings.NewReplacer("[10.21.0.0/24]", "[10.21.0.0/24, 'fd21::/64'], networks: [10.5.0.0/24, 'fd05::/64']")
	out := map[string]transition{}
	for _, pair := range []struct{ name, node, from, to string }{
		{"nat", "linux1", exampleNAT, otherNAT}, {"nat", "linux2", exampleNAT, otherNAT},
		{"hub", "hub", exampleHub, otherHub}, {"hub", "east", exampleHub, otherHub}, {"hub", "west", exampleHub, otherHub},
		{"tunnel", "gw-a", tunnel, connection.Replace(tunnel)}, {"tunnel", "gw-b", tunnel, connection.Replace(tunnel)},
		{"AH", "server-b", transport, connection.Replace(transport)}, {"windows", "linux-a", windows, connection.Replace(windows)},
		{"L2TP", "vpn", dialIn, behind.Replace(users.Replace(dialIn))}, {"L2TP", "branch", dialIn, behind.Replace(users.Replace(dialIn))},
		{"PPTP", "vpn", legacy, users.Replace(legacy)}, {"PPTP", "branch", legacy, users.Replace(legacy)},
		{"rich", "n1", rich(), other.Replace(rich())}, {"rich idle", "n1", rich(), other.Replace(rich())},
	} {
		from, to := tmp(t, "site.yaml", pair.from), tmp(t, "site.yaml", pair.to)
		name := pair.name + " " + pair.node
		host := "linux1" // east is behind NAT: any host
		if pair.node == "linux2" {
			host = "linux2"
		}
		idle := pair.name == "rich idle"
		out[name+" first"] = transition{host, pair.node, "", from, idle}
		out[name+" change"] = transition{host, pair.node, from, to, idle}
		out[name+" back"] = transition{host, pair.node, to, from, idle}
		out[name+" destroy"] = transition{host, pair.node, to, "", idle}
	}
	return out
}

func (tr transition) machine(t *testing.T) *machine {
	m := newMachine(tr.host, memoryDir(t))
	if tr.host == "linux2" {
		m.link("ens224", "10.13.0.201/16")
	}
	// What the packages bring, and a run of vpnctl.
	m.files.Put("/etc/ppp/options", "auth\n", 0o644)
	m.files.Put("/run/vpnctl/lock", "", 0o600)
	if tr.idle {
		m.charon.Kill()
	}
	return m
}

// apply leads a machine to a topology.
func (tr transition) apply(t *testing.T, m *machine, file string) result {
	t.Helper()
	if file == "" {
		return m.vpnctl(t.TempDir(), "", "destroy", "--yes")
	}
	return m.vpnctl(t.TempDir(), "", "apply", "--node", tr.node, file)
}

func (tr transition) mustApply(t *testing.T, m *machine, file string) {
	t.Helper()
	if r := tr.apply(t, m, file); r.code != 0 {
		t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}

// remembered is what of the state folder decides what later applies do.
func (m *machine) remembered(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, name := range []string{"applied", "memory.json", "journal"} {
		data, err := os.ReadFile(filepath.Join(m.state, name))
		if err == nil {
			b.WriteString(name + "\n" + string(data))
		}
	}
	return b.String()
}

// TestFaults: whichever write of an apply fails, the host and what is remembered of it are as
// before; and where vpnctl is killed there instead, the next apply converges.
func TestFaults(t *testing.T) {
	for name, tr := range transitions(t) {
		t.Run(name, func(t *testing.T) {
			direct := tr.machine(t)
			tr.mustApply(t, direct, tr.from)
			direct.failAt(0)
			tr.mustApply(t, direct, tr.to)
			writes := direct.repair()
			direct.charon.BringUp()
			if writes == 0 {
				t.Fatal("nothing was written")
			}
			for k := 1; k <= writes; k++ {
				tr.failed(t, k)
				tr.killed(t, k, direct.String())
			}
			t.Logf("%d writes", writes)
		})
	}
}

// failed fails the k-th write.
func (tr transition) failed(t *testing.T, k int) {
	t.Helper()
	m := tr.machine(t)
	tr.mustApply(t, m, tr.from)
	before, remembered := m.String(), m.remembered(t)
	m.failAt(k)
	r := tr.apply(t, m, tr.to)
	m.repair()
	if r.code != 4 || !strings.Contains(r.stderr, "injected fault; everything that was done has been undone") {
		t.Fatalf("write %d failed: exit code %d, %s", k, r.code, r.stderr)
	}
	if diff := cmp.Diff(before, m.String()); diff != "" {
		t.Fatalf("write %d failed, host (-before +after):\n%s", k, diff)
	}
	if diff := cmp.Diff(remembered, m.remembered(t)); diff != "" {
		t.Fatalf("write %d failed, state (-before +after):\n%s", k, diff)
	}
}

// killed kills vpnctl ahead of the k-th write.
func (tr transition) killed(t *testing.T, k int, want string) {
	t.Helper()
	m := tr.machine(t)
	tr.mustApply(t, m, tr.from)
	m.killAt(k)
	r := tr.apply(t, m, tr.to)
	m.repair()
	if r.code != exitKilled {
		t.Fatalf("killed at write %d: exit code %d", k, r.code)
	}
	if r := m.vpnctl(t.TempDir(), "", "status"); !strings.HasPrefix(r.stderr, "warning: an apply of 2026-01-02T03:04:05Z was cut off: ") {
		t.Fatalf("killed at write %d: status says nothing of it: %q", k, r.stderr)
	}
	tr.mustApply(t, m, tr.to)
	m.charon.BringUp() // as watch does what was not begun
	if diff := cmp.Diff(want, m.String()); diff != "" {
		t.Fatalf("killed at write %d, applied again (-direct +again):\n%s", k, diff)
	}
	tr.mustApply(t, m, "")
	if diff := cmp.Diff(tr.machine(t).String(), m.String()); diff != "" {
		t.Fatalf("killed at write %d, applied again and destroyed (-before +after):\n%s", k, diff)
	}
}

// closed is an output that nobody reads any more.
type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, os.ErrClosed }

// TestClosedOutput: an apply goes on to its end when its terminal is gone.
func TestClosedOutput(t *testing.T) {
	for name, tr := range transitions(t) {
		if tr.to == "" {
			continue
		}
		direct, m := tr.machine(t), tr.machine(t)
		tr.mustApply(t, direct, tr.to)
		args := []string{"-v", "apply", "--node", tr.node, tr.to}
		if code := m.program(t.TempDir(), strings.NewReader(""), closed{}, closed{}, args); code != 0 {
			t.Errorf("%s: exit code %d", name, code)
		}
		if diff := cmp.Diff(direct.String(), m.String()); diff != "" {
			t.Errorf("%s, host (-read +closed):\n%s", name, diff)
		}
	}
}
