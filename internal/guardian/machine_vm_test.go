//go:build vm

package guardian_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

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

// topology is one interface with an address that tells one from the next.
const topology = `version: 1
site: hq
nodes:
  gw: {}
wireguard:
  wg0:
    listen_port: 51820
    members:
      gw:
        addresses: [10.9.0.%d/24]
        private_key: {value: ULgCzX94OpIxbuSfqw57YfoTd+55lkwAEX6BC1PKfWw=}
        public_key: jG+QjJAyc3SfG8b8Mbg60FmN0mgONqsdDzUHjNg7vg4=
`

// unitFile is there for as long as something waits.
const unitFile = "/etc/systemd/system/vpnctl-revert.service"

type machine struct{ *testing.T }

func (m machine) run(argv ...string) string {
	m.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		m.Fatalf("%q: %v\n%s", argv, err, out)
	}
	return string(out)
}

// show is what systemd says of a unit.
func (m machine) show(name, property string) string {
	m.Helper()
	return strings.TrimSpace(m.run("systemctl", "show", name, "--value", "-p", property))
}

// apply applies the topology with an address.
func (m machine) apply(host int, flags ...string) {
	m.Helper()
	file := fmt.Sprintf("/etc/vpnctl/%d.yaml", host)
	if err := errors.Join(os.MkdirAll("/etc/vpnctl", 0o755), os.WriteFile(file, fmt.Appendf(nil, topology, host), 0o600)); err != nil {
		m.Fatal(err)
	}
	m.run(append([]string{"vpnctl", "--node", "gw", "apply", file}, flags...)...)
}

// stands waits until the interface has an address, and checks that nothing waits any more.
func (m machine) stands(host int) {
	m.Helper()
	want := fmt.Sprintf(" 10.9.0.%d/24 ", host)
	err := lab.Await(40*time.Second, func() error {
		out, _ := exec.Command("ip", "-o", "-4", "addr", "show", "wg0").CombinedOutput() // it may be gone
		if !strings.Contains(string(out), want) {
			return fmt.Errorf("wg0 has not %s: %s", want, out)
		}
		if _, err := os.Stat(unitFile); err == nil {
			return fmt.Errorf("%s is still there", unitFile)
		}
		for _, name := range []string{"vpnctl-revert.timer", "vpnctl-revert.service"} {
			if load, active := m.show(name, "LoadState"), m.show(name, "ActiveState"); load != "not-found" || active != "inactive" {
				return fmt.Errorf("%s is %s, %s", name, load, active)
			}
		}
		return nil
	})
	if err != nil {
		m.Fatalf("%v\n%s", err, m.run("journalctl", "-b", "--no-pager", "-t", "vpnctl", "-t", "systemd", "-n", "60"))
	}
	if out := m.run("vpnctl", "diff"); out != "no changes\n" {
		m.Errorf("diff: %s", out)
	}
	if out := m.run("vpnctl", "status", "-o", "json"); !strings.Contains(out, `"armed": null`) {
		m.Errorf("status: %s", out)
	}
}

// TestOnMachine runs where systemd is the init, with vmrun -systemd.
func TestOnMachine(t *testing.T) {
	if !unit.Booted() {
		t.Fatal("systemd is not the init: run it by vmrun -systemd")
	}
	m := machine{t}
	if os.Getenv("VPNCTL_BOOT") == "2" {
		// What a destroy had taken, its units included, is there again.
		m.stands(2)
		if out := m.run("systemctl", "is-enabled", "vpnctl.service"); out != "enabled\n" {
			t.Errorf("vpnctl.service is %s", out)
		}
		m.run("vpnctl", "destroy", "--yes")
		return
	}
	m.apply(1)
	m.apply(3, "--confirm", "2s")
	m.stands(1)
	m.apply(2, "--confirm", "1h")
	if state := m.show("vpnctl-revert.timer", "ActiveState"); state != "active" {
		t.Errorf("timer is %s", state)
	}
	m.run("vpnctl", "confirm")
	m.stands(2)
	m.run("vpnctl", "destroy", "--yes", "--confirm", "1h")
	if out := m.run("systemctl", "is-enabled", "vpnctl-revert.service"); out != "enabled\n" {
		t.Errorf("service is %s", out)
	}
	again = true
}
