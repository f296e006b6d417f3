package watch_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/file"
	"github.com/vpnctl/vpnctl/internal/host/hosttest"
	"github.com/vpnctl/vpnctl/internal/plan"
	"github.com/vpnctl/vpnctl/internal/watch"
)

const unitPath = "/etc/systemd/system/vpnctl-watch.service"

// fakeHost is a host on which one process may watch: a detached one, one that somebody
// runs in the foreground, or systemd's.
type fakeHost struct {
	*hosttest.Files
	systemd    bool
	exe        string
	process    bool
	foreground bool
	litter     bool
	unit       struct{ loaded, enabled, active bool }

	memory  backend.Memory
	journal []backend.Step
	fault   func(write string) error
}

func newFakeHost(systemd bool) *fakeHost {
	h := &fakeHost{Files: &hosttest.Files{}, systemd: systemd, exe: "/usr/sbin/vpnctl", memory: backend.Memory{}}
	h.Files.Put("/etc/systemd/system/own.service", "[Unit]\n", 0o644)
	h.Files.Fault = h.write
	return h
}

func (h *fakeHost) write(what string) error {
	if h.fault == nil {
		return nil
	}
	return h.fault(what)
}

// String is the host in the words of its tools.
func (h *fakeHost) String() string {
	return fmt.Sprintf("process %t, foreground %t, litter %t, unit %+v\n%s%s\n",
		h.process, h.foreground, h.litter, h.unit, h.Files, keys(h.memory))
}

func keys(m backend.Memory) string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// Running implements watch.Processes.
func (h *fakeHost) Running() bool { return h.process || h.foreground || h.unit.active }

// Start implements watch.Processes.
func (h *fakeHost) Start(context.Context) error {
	if h.Running() {
		return nil
	}
	if err := h.write("start process"); err != nil {
		return err
	}
	h.process, h.litter = true, false
	return nil
}

// End implements watch.Processes.
func (h *fakeHost) End(context.Context) error {
	if err := h.write("end process"); err != nil {
		return err
	}
	h.process, h.foreground, h.litter = false, false, false
	return nil
}

// Litter implements watch.Processes.
func (h *fakeHost) Litter() bool { return h.litter && !h.Running() }

// units is systemd.
type units struct{ h *fakeHost }

func (units) Close() {}

func (u units) Reload(context.Context) error {
	if err := u.h.write("daemon-reload"); err != nil {
		return err
	}
	_, err := u.h.Read(unitPath)
	u.h.unit.loaded = err == nil
	return nil
}

func (u units) Enable(_ context.Context, name string) error {
	if _, err := u.h.Read(unitPath); err != nil {
		return err
	}
	if err := u.h.write("enable " + name); err != nil {
		return err
	}
	u.h.unit.enabled = true
	return nil
}

func (u units) Disable(_ context.Context, name string) error {
	if err := u.h.write("disable " + name); err != nil {
		return err
	}
	u.h.unit.enabled = false
	return nil
}

func (u units) Start(_ context.Context, name string) error {
	switch {
	case !u.h.unit.loaded:
		return fmt.Errorf("starting %s: no such unit", name)
	case u.h.foreground:
		return fmt.Errorf("starting %s: job result is failed", name)
	}
	if err := u.h.write("start " + name); err != nil {
		return err
	}
	u.h.unit.active = true
	return nil
}

func (u units) StopAndWait(_ context.Context, name string) error {
	if err := u.h.write("stop " + name); err != nil {
		return err
	}
	u.h.unit.active = false
	return nil
}

func (u units) Active(context.Context, string) (bool, error) { return u.h.unit.active, nil }

func (u units) FileState(context.Context, string) (string, error) {
	switch {
	case !u.h.unit.loaded:
		return "", nil
	case u.h.unit.enabled:
		return "enabled", nil
	}
	return "disabled", nil
}

func (h *fakeHost) backend() *watch.Backend {
	return watch.New(watch.Config{
		StateDir: "/var/lib/vpnctl", Files: h.Files, Processes: h,
		Units:  func(context.Context) (watch.Units, error) { return units{h}, nil },
		Booted: func() bool { return h.systemd },
		Exe:    func() (string, error) { return h.exe, nil },
	})
}

func (h *fakeHost) plan(t *testing.T, want *desired.State) *plan.Plan {
	t.Helper()
	in := backend.Input{Want: want, Memory: h.memory}
	if err := h.backend().Check(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	steps, err := h.backend().Plan(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return plan.New("hq", "n1", steps)
}

// do applies a plan through the journal, up to the first error.
func (h *fakeHost) do(p *plan.Plan) error {
	h.journal = nil
	for _, s := range p.Steps {
		h.journal = append(h.journal, s)
		if err := h.op(s.Op.Kind, s.Op.From, s.Op.To); err != nil {
			return err
		}
	}
	return nil
}

func (h *fakeHost) undo() error {
	for _, s := range slices.Backward(h.journal) {
		if err := h.op(s.Op.Kind, s.Op.To, s.Op.From); err != nil {
			return err
		}
	}
	return nil
}

func (h *fakeHost) op(kind string, from, to any) error {
	handlers := h.backend().Handlers()
	handlers[file.Op] = file.Handler(h.Files)
	handlers[backend.MemoryOp] = remember(h.memory)
	var sides [2]any
	for i, v := range []any{from, to} {
		raw, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if sides[i], err = handlers[kind].Decode(raw); err != nil {
			return err
		}
	}
	return handlers[kind].Apply(context.Background(), sides[0], sides[1])
}

// remember is the engine's handler for a memory.
func remember(m backend.Memory) backend.Handler {
	return backend.Handle(func(_ context.Context, from, to *backend.MemoryEntry) error {
		if to != nil {
			m[to.Key] = to.Value
		} else {
			delete(m, from.Key)
		}
		return nil
	})
}

// apply applies, and there must be nothing left to do.
func (h *fakeHost) apply(t *testing.T, want *desired.State) string {
	t.Helper()
	p := h.plan(t, want)
	if err := h.do(p); err != nil {
		t.Fatal(err)
	}
	if again := h.plan(t, want); len(again.Steps) > 0 {
		t.Fatalf("after apply there is still to do:\n%s%+v\n%s", again.Text(plan.Palette{}), again.Steps, h)
	}
	return p.Text(plan.Palette{})
}

var (
	needs = &desired.State{Site: "hq", IPsec: desired.IPsec{Connections: make([]desired.Connection, 1)}}
	free  = &desired.State{Site: "hq"}
)

func TestPlans(t *testing.T) {
	for _, tt := range []struct {
		name    string
		systemd bool
		before  func(h *fakeHost)
		want    *desired.State
		text    string
	}{
		{"process", false, nil, needs, "+ watch/process\nplan: 1 to create, 0 to update, 0 to delete; 0 disruptive\n"},
		{"process, not needed", false, nil, free, "no changes\n"},
		{"foreground process", false, func(h *fakeHost) { h.foreground = true }, needs, "no changes\n"},
		{"foreground process, not needed", false, func(h *fakeHost) { h.foreground = true }, free, "no changes\n"},
		{
			"dead process", false, func(h *fakeHost) {
				h.apply(t, needs)
				h.process, h.litter = false, true
			}, needs, "+ watch/process\nplan: 1 to create, 0 to update, 0 to delete; 0 disruptive\n",
		},
		{
			"process no longer needed", false, func(h *fakeHost) { h.apply(t, needs) }, free,
			"- watch/process\nplan: 0 to create, 0 to update, 1 to delete; 0 disruptive\n",
		},
		{
			"dead process no longer needed", false, func(h *fakeHost) {
				h.apply(t, needs)
				h.process, h.litter = false, true
			}, free, "no changes\n",
		},
		{
			"unit", true, nil, needs,
			"+ file" + unitPath + "\n    content: sha256 SUM\n    mode: 0644\n+ watch/vpnctl-watch.service\n" +
				"plan: 2 to create, 0 to update, 0 to delete; 0 disruptive\n",
		},
		{
			"dead unit", true, func(h *fakeHost) {
				h.apply(t, needs)
				h.unit.active = false
			}, needs,
			"~ watch/vpnctl-watch.service\n    running: no -> yes\nplan: 0 to create, 1 to update, 0 to delete; 0 disruptive\n",
		},
		{
			"another vpnctl that is not there", true, func(h *fakeHost) {
				h.apply(t, needs)
				h.exe = "/usr/local/sbin/vpnctl"
			}, needs,
			"~ file" + unitPath + "\n    content: sha256 SUM -> sha256 SUM\n" +
				"plan: 0 to create, 1 to update, 0 to delete; 0 disruptive\n",
		},
		{
			"unit no longer needed", true, func(h *fakeHost) { h.apply(t, needs) }, free,
			"- watch/vpnctl-watch.service\n- file" + unitPath + "\nplan: 0 to create, 0 to update, 2 to delete; 0 disruptive\n",
		},
		{
			"systemd has come", true, func(h *fakeHost) {
				h.systemd = false
				h.apply(t, needs)
				h.systemd, h.process = true, false
			}, needs,
			"+ file" + unitPath + "\n    content: sha256 SUM\n    mode: 0644\n+ watch/vpnctl-watch.service\n" +
				"plan: 2 to create, 0 to update, 0 to delete; 0 disruptive\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newFakeHost(tt.systemd)
			if tt.before != nil {
				tt.before(h)
			}
			if diff := cmp.Diff(tt.text, sums(h.apply(t, tt.want))); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			if tt.want == needs && !h.Running() {
				t.Errorf("nobody watches:\n%s", h)
			}
			if h.litter {
				t.Errorf("files are left:\n%s", h)
			}
		})
	}
}

var digest = regexp.MustCompile(`sha256 [0-9a-f]+`)

// sums hides what digests are.
func sums(text string) string {
	return digest.ReplaceAllString(text, "sha256 SUM")
}

// TestUnitFile shows the file, with words that systemd would take apart.
func TestUnitFile(t *testing.T) {
	h := newFakeHost(true)
	h.exe = "/opt/v p/100%/vpn$ctl"
	h.apply(t, needs)
	f, err := h.Read(unitPath)
	if err != nil {
		t.Fatal(err)
	}
	want := `# Written by vpnctl; changes are overwritten.
[Unit]
Description=vpnctl watch: what has to be done between two applies
After=network.target

[Service]
Type=notify
ExecStart="/opt/v p/100%%/vpn$$ctl" watch --state-dir /var/lib/vpnctl
SyslogIdentifier=vpnctl
Restart=always
RestartSec=5
RestartPreventExitStatus=3

[Install]
WantedBy=multi-user.target
`
	if diff := cmp.Diff(want, string(f.Data)); diff != "" {
		t.Errorf("unit (-want +got):\n%s", diff)
	}
}

// TestOtherPath: the unit stays with the vpnctl that it names, while that is there.
func TestOtherPath(t *testing.T) {
	h := newFakeHost(true)
	h.exe = "/bin/sh" // it is there, and will stay
	h.apply(t, needs)
	h.exe = "/usr/local/sbin/vpnctl"
	if text := h.apply(t, needs); text != "no changes\n" {
		t.Errorf("plan:\n%s", text)
	}
}

func TestForeignUnit(t *testing.T) {
	h := newFakeHost(true)
	h.Files.Put(unitPath, "[Unit]\n", 0o644)
	err := h.backend().Check(t.Context(), backend.Input{Want: needs, Memory: h.memory})
	if !backend.IsRefusal(err) {
		t.Errorf("error is %v", err)
	}
}

// TestUndo fails each write of each way between two states: undo leads back.
func TestUndo(t *testing.T) {
	for _, systemd := range []bool{false, true} {
		for _, from := range []*desired.State{free, needs} {
			to := free
			if from == free {
				to = needs
			}
			for k, failed := 1, true; failed; k++ {
				h := newFakeHost(systemd)
				h.apply(t, from)
				before := h.String()
				n := 0
				h.fault = func(string) error {
					if n++; n == k {
						return errFault
					}
					return nil
				}
				err := h.do(h.plan(t, to))
				h.fault = nil
				if failed = errors.Is(err, errFault); !failed {
					if k == 1 {
						t.Error("there was no write")
					}
					err = nil
				} else {
					err = h.undo()
				}
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(before, h.String()); failed && diff != "" {
					t.Errorf("systemd %t, write %d (-before +undone):\n%s", systemd, k, diff)
				}
			}
		}
	}
}

// TestWalk goes from state to state past what may happen in between; in the end nothing
// of ours is left.
func TestWalk(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	d := rand.New(rand.NewPCG(seed, 0))
	for range 50 {
		h := newFakeHost(d.IntN(2) == 0)
		before := h.String()
		for range 20 {
			switch d.IntN(6) {
			case 0:
				if h.process {
					h.process, h.litter = false, true
				}
			case 1:
				h.unit.active = false
			case 2:
				h.foreground = !h.Running()
			}
			want := []*desired.State{free, needs}[d.IntN(2)]
			h.apply(t, want)
			if h.Running() != (want == needs) && !h.foreground {
				t.Fatalf("seed %d: needed %t:\n%s", seed, want == needs, h)
			}
		}
		h.apply(t, free)
		h.foreground = false
		if diff := cmp.Diff(before, h.String()); diff != "" {
			t.Fatalf("seed %d (-before +after):\n%s", seed, diff)
		}
	}
}
