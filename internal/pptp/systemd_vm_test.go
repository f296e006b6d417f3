//go:build vm

package pptp_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/file"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/lab"
	"github.com/vpnctl/vpnctl/internal/plan"
	"github.com/vpnctl/vpnctl/internal/ppp"
	"github.com/vpnctl/vpnctl/internal/pptp"
	"github.com/vpnctl/vpnctl/internal/reason"
	"github.com/vpnctl/vpnctl/internal/unit"
)

// TestServiceOnMachine drives the package's own unit, where systemd is the machine's init
// (vmrun -systemd), under sessions of clients in network namespaces.
func TestServiceOnMachine(t *testing.T) {
	if !unit.Booted() {
		t.Fatal("systemd does not run here")
	}
	m := newMachine(t)
	m.run("systemctl", "start", "pptpd.service")
	m.client(1, "pptpd")
	m.up(1, "192.168.1.1")
	pings := m.ping(1)

	// The package's server is taken over, under a session of its own.
	if text := m.apply(small); !strings.Contains(text, "    restarts pptpd's parent: sessions go on\n") {
		t.Errorf("plan is\n%s", text)
	}
	if got := m.property("KillMode"); got != "process" {
		t.Errorf("the unit has KillMode=%s", got)
	}
	m.client(2, "vpnctl-pptp-legacy")
	m.up(2, "192.168.131.100")

	m.apply(large)
	pid := m.property("MainPID")
	m.run("systemctl", "restart", "pptpd.service") // an upgrade of the package does so
	m.again(pid)
	pid = m.property("MainPID")
	m.run("kill", "-HUP", pid)
	m.again(pid)
	// None of these parents knows the second client, and none hands out its address.
	m.client(3, "vpnctl-pptp-legacy")
	m.up(3, "192.168.131.101")
	m.apply(large)
	if got := pings(); !strings.Contains(got, " 0% packet loss") {
		t.Errorf("four restarts cost the first session: %s", got)
	}
	for n, address := range map[int]string{1: "192.168.1.1", 2: "192.168.131.100"} {
		m.up(n, address)
	}

	m.apply(none)
	if got := m.property("KillMode") + m.property("ExecStart"); !strings.Contains(got, "control-group") || strings.Contains(got, "vpnctl") {
		t.Errorf("given back, the unit has %s", got)
	}
	// Ours have ended with our server, and nobody else's.
	m.up(1, "192.168.1.1")
	if out := m.out("ip", "-n", "c2", "link", "show", "ppp102"); !strings.Contains(out, "does not exist") {
		t.Errorf("the second client still has %s", out)
	}
	m.run("systemctl", "stop", "pptpd.service")
}

// TestLinkOnMachine has systemd run the process of a link whose server is not there.
func TestLinkOnMachine(t *testing.T) {
	m := newMachine(t)
	m.wire(4)
	state := linked(func(l *desired.PPPLink) { l.Server = "10.9.4.99" })
	m.apply(state)
	const name = "vpnctl-pptp-home.service"
	if got := m.out("systemctl", "is-active", name) + m.out("systemctl", "is-enabled", name); got != "active\nenabled\n" {
		t.Errorf("the unit is %s", got)
	}
	m.eventually(func() error {
		if why := m.backend().Reason("home"); !strings.HasPrefix(why, "connecting to the server: ") {
			return fmt.Errorf("reason is %q", why)
		}
		return nil
	})
	m.apply(none)
	if got := m.out("systemctl", "is-active", name); got != "inactive\n" || len(host.Processes("pppd")) > 0 {
		t.Errorf("removed, it is %s with %v", got, host.Processes("pppd"))
	}
	if why := m.backend().Reason("home"); why != "" {
		t.Errorf("of a link that is gone there is the reason %q", why)
	}
}

// machine is the machine itself, as a host on which the backend works.
type machine struct {
	*rig
}

func newMachine(t *testing.T) *machine {
	m := &machine{&rig{t: t, memory: backend.Memory{}, reasons: reason.Open(reason.Dir)}}
	for _, module := range []string{"ppp_generic", "ppp_async", "ppp_mppe"} {
		m.run("modprobe", module)
	}
	server := small.PPP.Servers[0]
	m.write(ppp.OptionsPath(&server.PPPTunnel), string(ppp.RenderOptions(&server)), 0o644)
	m.write("/etc/ppp/chap-secrets", "user pptpd pw *\nuser vpnctl-pptp-legacy pw *\n", 0o600)
	return m
}

func (m *machine) write(path, text string, mode os.FileMode) {
	m.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) backend() *pptp.Backend {
	return pptp.New(pptp.Config{Exe: func() (string, error) { return host.LookPath("vpnctl") }})
}

func (m *machine) steps(want *desired.State) *plan.Plan {
	m.t.Helper()
	steps, err := m.backend().Plan(m.t.Context(), m.input(want))
	if err != nil {
		m.t.Fatal(err)
	}
	return plan.New("hq", "vpn", steps)
}

func (m *machine) apply(want *desired.State) string {
	m.t.Helper()
	if err := m.backend().Check(m.t.Context(), m.input(want)); err != nil {
		m.t.Fatal(err)
	}
	for i := range want.PPP.Links {
		l := &want.PPP.Links[i]
		m.write(ppp.PeerPath(&l.PPPTunnel), string(ppp.RenderPeer(l)), 0o644)
	}
	p := m.steps(want)
	handlers := m.backend().Handlers()
	handlers[file.Op] = file.Handler(host.Disk{})
	handlers[backend.MemoryOp] = m.remember()
	for _, s := range p.Steps {
		if err := handlers[s.Op.Kind].Apply(m.t.Context(), s.Op.From, s.Op.To); err != nil {
			m.t.Fatalf("%s: %v\n%s", s.Op.Kind, err, m.out("journalctl", "-n", "30", "--no-pager"))
		}
	}
	if again := m.steps(want); len(again.Steps) > 0 {
		m.t.Fatalf("after apply there is still to do:\n%s%+v", again.Text(plan.Palette{}), again.Steps)
	}
	return sums(p.Text(plan.Palette{}))
}

func (m *machine) out(argv ...string) string {
	out, _ := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	return string(out)
}

func (m *machine) run(argv ...string) string {
	m.t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("%q: %v\n%s", argv, err, out)
	}
	return string(out)
}

func (m *machine) property(name string) string {
	m.t.Helper()
	return strings.TrimSpace(m.run("systemctl", "show", "pptpd.service", "--value", "-p", name))
}

func (m *machine) eventually(cond func() error) {
	m.t.Helper()
	if err := lab.Await(30*time.Second, cond); err != nil {
		m.t.Fatal(err)
	}
}

// again waits until another parent serves.
func (m *machine) again(pid string) {
	m.t.Helper()
	m.eventually(func() error {
		now := m.property("MainPID")
		pids, _, err := host.Listeners("tcp", 1723)
		if err == nil && (now == pid || len(pids) != 1 || fmt.Sprint(pids[0]) != now) {
			err = fmt.Errorf("process %s, listening %v", now, pids)
		}
		return err
	})
}

// wire makes a network namespace with a wire to the machine.
func (m *machine) wire(n int) (ns string) {
	m.t.Helper()
	ns = fmt.Sprint("c", n)
	m.run("ip", "netns", "add", ns)
	m.run("ip", "link", "add", "to"+ns, "type", "veth", "peer", "name", "eth0", "netns", ns)
	m.run("ip", "addr", "add", fmt.Sprintf("10.9.%d.1/24", n), "dev", "to"+ns)
	m.run("ip", "link", "set", "to"+ns, "up")
	for _, args := range []string{fmt.Sprintf("addr add 10.9.%d.2/24 dev eth0", n), "link set eth0 up", "link set lo up"} {
		m.run(append([]string{"ip", "-n", ns}, strings.Fields(args)...)...)
	}
	m.t.Cleanup(func() { m.run("ip", "netns", "del", ns) })
	return ns
}

// client lets the pppd of a namespace dial.
func (m *machine) client(n int, server string) {
	m.t.Helper()
	ns := m.wire(n)
	peer := fmt.Sprintf("pty \"pptp 10.9.%d.1 --nolaunchpppd\"\nuser user\nremotename %s\nunit %d\nnoauth\nnoipdefault\nrequire-mppe-128\n", n, server, 100+n)
	m.write("/etc/ppp/peers/lab-"+ns, peer+"ipcp-accept-local\nipcp-accept-remote\nnodefaultroute\nnobsdcomp\nnodeflate\nnoipv6\n", 0o644)
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "ip", "netns", "exec", ns, "pppd", "call", "lab-"+ns, "nodetach")
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
	})
}

// up waits until a client has an address, on a link that is up: pppd gives it the address
// first.
func (m *machine) up(n int, address string) {
	m.t.Helper()
	m.eventually(func() error {
		out := m.out("ip", "-n", fmt.Sprint("c", n), "-o", "addr", "show", "up", "dev", fmt.Sprint("ppp", 100+n))
		if !strings.Contains(out, "inet "+address+" peer 192.168.0.1/32") {
			return fmt.Errorf("client %d has %s", n, out)
		}
		return nil
	})
}

// ping goes on through a client's session until it is asked what came of it.
func (m *machine) ping(n int) func() string {
	m.t.Helper()
	var out strings.Builder
	cmd := exec.Command("ip", "netns", "exec", fmt.Sprint("c", n), "ping", "-i", "0.2", "192.168.0.1")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	return func() string {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		return out.String()[max(0, strings.Index(out.String(), "--- ")):]
	}
}
