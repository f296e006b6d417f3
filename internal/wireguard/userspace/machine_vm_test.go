//go:build vm

package userspace_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/lab"
	"github.com/vpnctl/vpnctl/internal/unit"
)

// run runs a command on the machine itself, not in a host of a lab.
func run(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("running %q: %v\n%s", argv, err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestOnMachine runs where systemd is the init, with vmrun -systemd, and where it is not.
func TestOnMachine(t *testing.T) {
	units := map[string]string{
		"wg0": "vpnctl-wireguard-wg0.service",
		// udev renames a new interface that has other signs than these in its name.
		`w-g.1=x@+`: `vpnctl-wireguard-w\x2dg.1\x3dx\x40\x2b.service`,
	}
	for name, unitName := range units {
		t.Run(name, func(t *testing.T) {
			run(t, self, "start", name)
			pid := pidOnMachine(t, name)
			if unit.Booted() {
				testUnit(t, unitName, pid)
			} else if got := run(t, "ps", "-o", "sid=", "-p", pid); strings.TrimSpace(got) != pid {
				t.Errorf("session of process %s is %s", pid, got)
			}
			// Deleted and started again at once: the unit of before is still there.
			for range 3 {
				run(t, "ip", "link", "del", name)
				run(t, self, "start", name)
				if next := pidOnMachine(t, name); next == pid {
					t.Errorf("process %s is still there", pid)
				}
			}
			run(t, "ip", "link", "del", name)
			awaitUnitGone(t, unitName)
		})
	}
}

func pidOnMachine(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("/run/vpnctl/wireguard-" + name + ".pid")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// testUnit looks at the transient unit of an interface.
func testUnit(t *testing.T, name, pid string) {
	t.Helper()
	m, err := unit.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if active, err := m.Active(t.Context(), name); !active || err != nil {
		t.Errorf("active: %v, %v", active, err)
	}
	got := run(t, "systemctl", "show", name, "-p", "MainPID,Type,KillMode,CollectMode,SyslogIdentifier,Transient,SubState")
	want := map[string]bool{
		"MainPID=" + pid: true, "Type=notify": true, "KillMode=process": true, "CollectMode=inactive-or-failed": true,
		"SyslogIdentifier=vpnctl": true, "Transient=yes": true, "SubState=running": true,
	}
	lines := map[string]bool{}
	for _, line := range strings.Split(got, "\n") {
		lines[line] = true
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("unit %s (-want +got):\n%s", name, diff)
	}
}

// awaitUnitGone waits until systemd has forgotten a unit.
func awaitUnitGone(t *testing.T, name string) {
	t.Helper()
	if !unit.Booted() {
		return
	}
	err := lab.Await(10*time.Second, func() error {
		out, err := exec.Command("systemctl", "show", name, "-p", "LoadState").CombinedOutput()
		if got := strings.TrimSpace(string(out)); err == nil && got != "LoadState=not-found" {
			return fmt.Errorf("unit %s: %s", name, got)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestStartFailsOnMachine(t *testing.T) {
	out, err := exec.Command(self, "start", "lo").CombinedOutput()
	if err == nil || string(out) != "carrying interface lo: creating link: file already exists\n" {
		t.Errorf("error is %v, %s", err, out)
	}
	awaitUnitGone(t, "vpnctl-wireguard-lo.service")
}
