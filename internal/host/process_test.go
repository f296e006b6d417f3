package host_test

import (
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/vpnctl/vpnctl/internal/host"
)

func TestProcesses(t *testing.T) {
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	listed := func() bool { return slices.Contains(host.Processes("none-of-that-name", "sleep"), pid) }
	if !listed() {
		t.Errorf("%d is not among %v", pid, host.Processes("sleep"))
	}
	if slices.Contains(host.Processes("slee"), pid) || len(host.Processes()) > 0 {
		t.Error("a process of another name is listed")
	}
	// One in another namespace is of another host.
	other := exec.Command("sleep", "600")
	other.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(host.Processes("sleep"), other.Process.Pid) || host.OwnNamespace(other.Process.Pid) {
		t.Error("a process of another network namespace is listed")
	}
	if !host.OwnNamespace(os.Getpid()) || !host.OwnNamespace(pid) {
		t.Error("a process of this network namespace is of another")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// It has ended, and nobody has reaped it yet.
	for stat := ""; stat != "Z"; {
		stat = state(t, pid)
	}
	if listed() {
		t.Error("a process that has ended is listed")
	}
	_ = cmd.Wait()
	_ = other.Process.Kill()
	_ = other.Wait()
}

// state is the letter of ps(1) for a process.
func state(t *testing.T, pid int) string {
	t.Helper()
	out, err := exec.Command("ps", "-o", "state=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
