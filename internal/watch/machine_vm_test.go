//go:build vm

package watch_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/file"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/lab"
	"github.com/vpnctl/vpnctl/internal/unit"
	"github.com/vpnctl/vpnctl/internal/watch"
)

// realHost is the machine itself, and as much of an engine as applies and undoes.
type realHost struct {
	t       *testing.T
	memory  backend.Memory
	journal []backend.Step
}

func (h *realHost) backend() *watch.Backend {
	return watch.New(watch.Config{StateDir: "/var/lib/vpnctl"})
}

func (h *realHost) steps(want *desired.State) []backend.Step {
	h.t.Helper()
	steps, err := h.backend().Plan(h.t.Context(), backend.Input{Want: want, Memory: h.memory})
	if err != nil {
		h.t.Fatal(err)
	}
	slices.SortStableFunc(steps, func(a, b backend.Step) int { return int(a.Phase - b.Phase) })
	return steps
}

func (h *realHost) do(kind string, from, to any) {
	h.t.Helper()
	handlers := h.backend().Handlers()
	handlers[file.Op] = file.Handler(host.Disk{})
	handlers[backend.MemoryOp] = remember(h.memory)
	if err := handlers[kind].Apply(h.t.Context(), from, to); err != nil {
		h.t.Fatalf("%s: %v", kind, err)
	}
}

// apply applies, and there must be nothing left to do.
func (h *realHost) apply(want *desired.State) {
	h.t.Helper()
	h.journal = h.steps(want)
	for _, s := range h.journal {
		h.do(s.Op.Kind, s.Op.From, s.Op.To)
	}
	if left := h.steps(want); len(left) > 0 {
		h.t.Fatalf("after apply there is still to do: %+v", left)
	}
}

func (h *realHost) undo() {
	h.t.Helper()
	for _, s := range slices.Backward(h.journal) {
		h.do(s.Op.Kind, s.Op.To, s.Op.From)
	}
}

// show is what systemd says of the unit.
func (h *realHost) show(property string) string {
	h.t.Helper()
	out, err := exec.Command("systemctl", "show", "vpnctl-watch.service", "--value", "-p", property).CombinedOutput()
	if err != nil {
		h.t.Fatalf("systemctl: %v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}

func (h *realHost) want(load, active, enabled string) {
	h.t.Helper()
	got := fmt.Sprint(h.show("LoadState"), " ", h.show("ActiveState"), " ", h.show("UnitFileState"))
	if want := fmt.Sprint(load, " ", active, " ", enabled); got != want {
		h.t.Errorf("unit is %s, want %s", got, want)
	}
}

// TestOnMachine runs where systemd is the init, with vmrun -systemd.
func TestOnMachine(t *testing.T) {
	if !unit.Booted() {
		t.Fatal("systemd is not the init: run it by vmrun -systemd")
	}
	h := &realHost{t: t, memory: backend.Memory{}}
	h.apply(needs)
	h.want("loaded", "active", "enabled")
	h.undo()
	h.want("not-found", "inactive", "")

	h.apply(needs)
	pid := h.show("MainPID")
	if b, err := os.ReadFile("/run/vpnctl/watch.pid"); err != nil || strings.TrimSpace(string(b)) != pid {
		t.Errorf("pid file: %q, %v, want %s", b, err, pid)
	}
	// Killed, systemd starts it again by itself.
	if err := exec.Command("kill", "-9", pid).Run(); err != nil {
		t.Fatal(err)
	}
	err := lab.Await(30*time.Second, func() error {
		if now := h.show("MainPID"); now == pid || now == "0" || h.show("ActiveState") != "active" {
			return fmt.Errorf("process is %s", now)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	// Stopped by somebody, apply does.
	for _, verb := range []string{"stop", "disable"} {
		if out, err := exec.Command("systemctl", verb, "vpnctl-watch.service").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	h.want("loaded", "inactive", "disabled")
	h.apply(needs)
	h.want("loaded", "active", "enabled")
	h.apply(free)
	h.want("not-found", "inactive", "")
	if _, err := os.Stat(unitPath); !errors.Is(err, fs.ErrNotExist) || len(h.memory) > 0 {
		t.Errorf("left: %v, %v", err, h.memory)
	}
	if entries, _ := os.ReadDir("/run/vpnctl"); len(entries) > 0 {
		t.Errorf("left in the run folder: %v", entries)
	}
}
