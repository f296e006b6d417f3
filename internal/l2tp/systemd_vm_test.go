//go:build vm

package l2tp_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/l2tp"
	"github.com/vpnctl/vpnctl/internal/lab"
	"github.com/vpnctl/vpnctl/internal/unit"
)

// TestServiceOnMachine drives the package's own service, where systemd is the machine's
// init (vmrun -systemd). It has an init script and no unit.
func TestServiceOnMachine(t *testing.T) {
	if !unit.Booted() {
		t.Fatal("systemd does not run here")
	}
	m := &machine{t: t, memory: backend.Memory{}}
	m.run("systemctl", "start", "xl2tpd.service")
	m.eventually("the package's xl2tpd runs", func() bool { return len(host.Processes("xl2tpd")) == 1 })
	if got := m.property("Type"); got != "forking" {
		t.Errorf("the package's unit is of type %s", got)
	}
	if text := m.apply(ppp(server("office"))); !strings.Contains(text, "    restarts xl2tpd\n") {
		t.Errorf("plan is\n%s", text)
	}
	pid := m.mainPID()
	if got := m.property("Type"); got != "exec" || pid == "0" {
		t.Errorf("the unit is of type %s, its process %s", got, pid)
	}
	if got := m.run("systemctl", "show", "--property=Wants", "multi-user.target"); !strings.Contains(got, "xl2tpd.service") {
		t.Errorf("at boot there starts %s", got)
	}
	m.apply(ppp(server("office", pools(addrs("192.168.131.2", "192.168.131.9")))))
	if got := m.mainPID(); got != pid {
		t.Errorf("another pool, and xl2tpd is process %s, was %s", got, pid)
	}
	m.run("kill", "-9", pid)
	m.eventually("systemd starts it again", func() bool { return m.mainPID() != pid && m.mainPID() != "0" && m.answers() })
	m.apply(ppp(server("office", pools(addrs("192.168.131.2", "192.168.131.9")))))
	m.gone(desired.PPP{})
	if got := m.property("Type"); got != "forking" || len(host.Processes("xl2tpd")) != 1 {
		t.Errorf("given back, the unit is of type %s, its processes %v", got, host.Processes("xl2tpd"))
	}
	// The package's unit does not notice that its xl2tpd dies.
	m.run("sh", "-c", "kill -9 $(pidof xl2tpd)")
	if got := m.property("ActiveState"); got != "active" {
		t.Errorf("with a dead xl2tpd the package's unit is %s", got)
	}
	m.apply(ppp(server("office")))
	m.gone(desired.PPP{})
	if got := host.Processes("xl2tpd"); len(got) > 0 {
		t.Errorf("in the end there runs %v", got)
	}
}

// machine is the machine itself.
type machine struct {
	t      *testing.T
	memory backend.Memory
}

func (m *machine) run(argv ...string) string {
	m.t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("%q: %v\n%s", argv, err, out)
	}
	return string(out)
}

// property is one of the unit's.
func (m *machine) property(name string) string {
	m.t.Helper()
	return strings.TrimSpace(m.run("systemctl", "show", "--value", "--property="+name, "xl2tpd.service"))
}

func (m *machine) mainPID() string { return m.property("MainPID") }

// answers reports whether xl2tpd answers as one that runs.
func (m *machine) answers() bool {
	_, err := l2tp.New(l2tp.Config{}).Control.List(m.t.Context())
	return err == nil
}

func (m *machine) eventually(what string, cond func() bool) {
	m.t.Helper()
	if err := lab.Await(20*time.Second, func() error {
		if !cond() {
			return fmt.Errorf("not yet: %s", what)
		}
		return nil
	}); err != nil {
		m.t.Fatal(err)
	}
}

// apply converges the machine and returns the plan.
func (m *machine) apply(want desired.PPP) string {
	m.t.Helper()
	j := job{Want: want, Memory: m.memory}
	if err := j.run(m.t.Context()); err != nil {
		m.t.Fatalf("%v\nafter\n%s", err, j.Plan)
	}
	return j.Plan
}

// gone applies nothing, and nothing is left.
func (m *machine) gone(none desired.PPP) {
	m.t.Helper()
	m.apply(none)
	if len(m.memory) > 0 {
		m.t.Errorf("this is remembered: %v", m.memory)
	}
	if out, err := exec.Command("ls", "/etc/systemd/system/xl2tpd.service.d", "/etc/systemd/system/multi-user.target.d").CombinedOutput(); err == nil {
		m.t.Errorf("left: %s", out)
	}
}
