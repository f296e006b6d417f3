package watch_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpnctl/vpnctl/internal/lab"
)

// self is the test binary, which plays the vpnctl binary.
const self = "/proc/self/exe"

func alone(t *testing.T) *lab.Host {
	t.Helper()
	return lab.Start(t, lab.Alone("gw")).Host("gw")
}

// pid is the process that watches.
func pid(h *lab.Host) string { return strings.TrimSpace(h.ReadFile("/run/vpnctl/watch.pid")) }

func wantRunning(t *testing.T, h *lab.Host, running, litter bool) {
	t.Helper()
	if got, want := h.Run(self, "running"), fmt.Sprintln(running, litter); got != want {
		t.Errorf("running and litter: %s, want %s", got, want)
	}
}

// wantClean fails the test where a process has left something.
func wantClean(t *testing.T, h *lab.Host) {
	t.Helper()
	err := h.Do(func() error {
		entries, err := os.ReadDir("/run/vpnctl")
		if err == nil && len(entries) > 0 {
			err = fmt.Errorf("left: %v", entries)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestProcess(t *testing.T) {
	h := alone(t)
	wantRunning(t, h, false, false)
	h.Run(self, "start")
	wantRunning(t, h, true, false)
	first := pid(h)
	if sid := strings.TrimSpace(h.Run("ps", "-o", "sid=", "-p", first)); sid != first {
		t.Errorf("session of process %s is %s", first, sid)
	}
	h.Run(self, "start")
	if pid(h) != first {
		t.Error("a second process was started")
	}
	if _, err := h.Try(self, "watch"); err == nil || !strings.Contains(err.Error(), "watch/process: process "+first+" watches already") {
		t.Errorf("second process: %v", err)
	}
	wantRunning(t, h, true, false)

	h.Run("kill", "-9", first)
	h.Eventually(10*time.Second, func() error {
		if got := h.Run(self, "running"); got != "false true\n" {
			return fmt.Errorf("running and litter: %s", got)
		}
		return nil
	})
	h.Run(self, "start")
	wantRunning(t, h, true, false)
	if pid(h) == first {
		t.Error("the process that was killed counts")
	}
	h.Run(self, "end")
	wantRunning(t, h, false, false)
	wantClean(t, h)
	h.Run(self, "end")
}

// TestLitter: what a killed process has left goes without a new one.
func TestLitter(t *testing.T) {
	h := alone(t)
	h.Run(self, "start")
	h.Run("kill", "-9", pid(h))
	h.Eventually(10*time.Second, func() error {
		if got := h.Run(self, "running"); got != "false true\n" {
			return fmt.Errorf("running and litter: %s", got)
		}
		return nil
	})
	h.Run(self, "end")
	wantClean(t, h)
	// The number of a process that ended goes to another program.
	other := h.Start("sleep", "1000")
	h.WriteFile("/run/vpnctl/watch.pid", strings.TrimSpace(h.Run("pidof", "sleep"))+"\n", 0o600)
	wantRunning(t, h, false, true)
	h.Run(self, "end")
	wantClean(t, h)
	if other.Ended() {
		t.Error("another program was ended")
	}
}

// TestForeground: one that somebody runs serves; SIGTERM ends it, and it cleans up.
func TestForeground(t *testing.T) {
	h := alone(t)
	p := h.Start(self, "watch")
	h.Eventually(10*time.Second, func() error {
		_, err := h.Try("grep", "-q", ".", "/run/vpnctl/watch.pid")
		return err
	})
	first := pid(h)
	h.Run(self, "start")
	if pid(h) != first {
		t.Error("a second process was started")
	}
	p.Signal(syscall.SIGTERM)
	h.Eventually(10*time.Second, func() error {
		if !p.Ended() {
			return fmt.Errorf("still there")
		}
		return nil
	})
	wantClean(t, h)
}

// TestDeaf ends a process that does not hear.
func TestDeaf(t *testing.T) {
	h := alone(t)
	h.Start(self, "watch", "--state-dir", "/var/lib/vpnctl", "deaf")
	h.Eventually(10*time.Second, func() error {
		_, err := h.Try("grep", "-q", ".", "/run/vpnctl/watch.pid")
		return err
	})
	h.Run(self, "end")
	wantRunning(t, h, false, false)
	wantClean(t, h)
}

// TestOtherNetwork: a process in another network namespace watches another host. Who
// shares its run folder is told of it.
func TestOtherNetwork(t *testing.T) {
	h := alone(t)
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	h.Run(self, "start")
	if out := h.Run("unshare", "--net", path, "running"); out != "false true\n" {
		t.Errorf("from another namespace, running and litter: %s", out)
	}
	want := "process " + pid(h) + ", in another network namespace, watches already"
	if _, err := h.Try("unshare", "--net", path, "start"); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("starting from another namespace: %v, want %s", err, want)
	}
	h.Run("unshare", "--net", path, "end")
	wantRunning(t, h, true, false)
}
