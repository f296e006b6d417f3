package boot_test

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

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/boot"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/host/hosttest"
	"github.com/vpnctl/vpnctl/internal/plan"
)

const (
	folder    = "/etc/systemd/system/"
	guardUnit = "vpnctl-guard.service"
	mainUnit  = "vpnctl.service"
)

// fakeHost is a host with systemd, or without.
type fakeHost struct {
	*hosttest.Files
	systemd bool
	exe     string
	inside  string            // the unit in which this process runs
	loaded  map[string]string // what systemd has read
	enabled map[string]bool
	active  map[string]bool

	memory  backend.Memory
	journal []backend.Step
	fault   func(write string) error
}

func newFakeHost() *fakeHost {
	h := &fakeHost{
		Files: &hosttest.Files{}, systemd: true, exe: "/usr/sbin/vpnctl", memory: backend.Memory{},
		loaded: map[string]string{}, enabled: map[string]bool{}, active: map[string]bool{},
	}
	h.Files.Put(folder+"own.service", "[Unit]\n", 0o644)
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
	var b strings.Builder
	for _, name := range []string{guardUnit, mainUnit} {
		fmt.Fprintf(&b, "%s: loaded %t, enabled %t, active %t\n", name, h.loaded[name] != "", h.enabled[name], h.active[name])
	}
	for _, k := range sortedKeys(h.memory) {
		fmt.Fprintf(&b, "memory %s\n", k)
	}
	return b.String() + h.Files.String()
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// units is systemd.
type units struct{ h *fakeHost }

func (units) Close() {}

func (u units) Reload(context.Context) error {
	if err := u.h.write("daemon-reload"); err != nil {
		return err
	}
	for _, name := range []string{guardUnit, mainUnit} {
		delete(u.h.loaded, name)
		if f, err := u.h.Read(folder + name); err == nil {
			u.h.loaded[name] = string(f.Data)
		}
	}
	return nil
}

func (u units) Enable(_ context.Context, name string) error {
	if _, err := u.h.Read(folder + name); err != nil {
		return err
	}
	if err := u.h.write("enable " + name); err != nil {
		return err
	}
	u.h.enabled[name] = true
	return nil
}

func (u units) Disable(_ context.Context, name string) error {
	if err := u.h.write("disable " + name); err != nil {
		return err
	}
	delete(u.h.enabled, name)
	return nil
}

func (u units) StopAndWait(_ context.Context, name string) error {
	if err := u.h.write("stop " + name); err != nil {
		return err
	}
	if name == u.h.inside {
		return errors.New("a unit waits for its own end")
	}
	delete(u.h.active, name)
	return nil
}

func (u units) FileState(_ context.Context, name string) (string, error) {
	switch {
	case u.h.loaded[name] == "":
		return "", nil
	case u.h.enabled[name]:
		return "enabled", nil
	}
	return "disabled", nil
}

func (h *fakeHost) backend() *boot.Backend {
	return boot.New(boot.Config{
		StateDir: "/var/lib/vpnctl", Files: h.Files,
		Units:  func(context.Context) (boot.Units, error) { return units{h}, nil },
		Booted: func() bool { return h.systemd },
		Exe:    func() (string, error) { return h.exe, nil },
		Inside: func(unit string) bool { return unit == h.inside },
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
	handlers[backend.MemoryOp] = backend.Handle(func(_ context.Context, from, to *backend.MemoryEntry) error {
		if to != nil {
			h.memory[to.Key] = to.Value
		} else {
			delete(h.memory, from.Key)
		}
		return nil
	})
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
	return sums(p.Text(plan.Palette{}))
}

// reboot lets systemd start what is enabled.
func (h *fakeHost) reboot() {
	h.active = map[string]bool{guardUnit: h.enabled[guardUnit], mainUnit: h.enabled[mainUnit]}
}

var digest = regexp.MustCompile(`sha256 [0-9a-f]+`)

// sums hides what digests are.
func sums(text string) string { return digest.ReplaceAllString(text, "sha256 SUM") }

var (
	tunnel  = &desired.State{Site: "hq", Interfaces: []desired.Interface{{Name: "wg0"}}}
	gateway = &desired.State{Site: "hq", Interfaces: tunnel.Interfaces, Sysctl: map[string]string{"net/ipv4/ip_forward": "1"}}
	empty   = &desired.State{Site: "hq", Node: "n1", Files: []desired.File{{Path: "/etc/x"}}}
)

func TestPlans(t *testing.T) {
	const created = "+ file/etc/systemd/system/%s\n    content: sha256 SUM\n    mode: 0644\n"
	guard, main := fmt.Sprintf(created, guardUnit), fmt.Sprintf(created, mainUnit)
	count := func(c, u, d int) string {
		return fmt.Sprintf("plan: %d to create, %d to update, %d to delete; 0 disruptive\n", c, u, d)
	}
	for _, tt := range []struct {
		name   string
		before func(h *fakeHost)
		want   *desired.State
		text   string
	}{
		{"nothing", nil, empty, "no changes\n"},
		{"no systemd", func(h *fakeHost) { h.systemd = false }, gateway, "no changes\n"},
		{"interface", nil, tunnel, main + "+ boot/vpnctl.service\n" + count(2, 0, 0)},
		{"gateway", nil, gateway, guard + main + "+ boot/vpnctl-guard.service\n+ boot/vpnctl.service\n" + count(4, 0, 0)},
		{
			"no longer a gateway", func(h *fakeHost) { h.apply(t, gateway); h.reboot() }, tunnel,
			"- boot/vpnctl-guard.service\n- file/etc/systemd/system/vpnctl-guard.service\n" + count(0, 0, 2),
		},
		{
			"disabled by somebody", func(h *fakeHost) { h.apply(t, gateway); h.enabled = map[string]bool{guardUnit: true} }, gateway,
			"+ boot/vpnctl.service\n" + count(1, 0, 0),
		},
		{
			"destroy", func(h *fakeHost) { h.apply(t, gateway); h.reboot() }, empty,
			"- boot/vpnctl-guard.service\n- boot/vpnctl.service\n" +
				"- file/etc/systemd/system/vpnctl-guard.service\n- file/etc/systemd/system/vpnctl.service\n" + count(0, 0, 4),
		},
		{
			"systemd is gone", func(h *fakeHost) { h.apply(t, tunnel); h.systemd, h.loaded, h.enabled = false, nil, nil }, tunnel,
			"- file/etc/systemd/system/vpnctl.service\n" + count(0, 0, 1),
		},
		{
			"a vpnctl that will not last", func(h *fakeHost) { h.exe = "/tmp/vpnctl" }, tunnel,
			"+ file/etc/systemd/system/vpnctl.service (/tmp/vpnctl may be gone at the next boot: install vpnctl, and apply with that)\n" +
				"    content: sha256 SUM\n    mode: 0644\n+ boot/vpnctl.service\n" + count(2, 0, 0),
		},
		{
			"another vpnctl", func(h *fakeHost) { h.apply(t, tunnel); h.exe = "/opt/vpnctl" }, tunnel,
			"~ file/etc/systemd/system/vpnctl.service\n    content: sha256 SUM -> sha256 SUM\n" + count(0, 1, 0),
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newFakeHost()
			if tt.before != nil {
				tt.before(h)
			}
			if diff := cmp.Diff(tt.text, h.apply(t, tt.want)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

// TestUnitFiles shows what matters of the files, with words that systemd would take apart.
func TestUnitFiles(t *testing.T) {
	h := newFakeHost()
	h.exe = "/opt/v p/vpn$ctl"
	h.apply(t, gateway)
	for name, lines := range map[string][]string{
		guardUnit: {
			`ExecStart="/opt/v p/vpn$$ctl" boot --state-dir /var/lib/vpnctl --guard`, "DefaultDependencies=no",
			"Before=network-pre.target shutdown.target", `RequiresMountsFor=/var/lib/vpnctl "/opt/v p/vpn$$ctl"`,
		},
		mainUnit: {
			`ExecStart="/opt/v p/vpn$$ctl" boot --state-dir /var/lib/vpnctl`, "After=network.target vpnctl-guard.service",
			"Before=strongswan.service strongswan-starter.service xl2tpd.service pptpd.service", "WantedBy=multi-user.target",
		},
	} {
		for _, line := range lines {
			if !slices.Contains(strings.Split(h.loaded[name], "\n"), line) {
				t.Errorf("%s lacks %s:\n%s", name, line, h.loaded[name])
			}
		}
		for _, word := range []string{"network-online", "nss-lookup"} {
			if strings.Contains(h.loaded[name], word) {
				t.Errorf("%s waits for %s", name, word)
			}
		}
	}
}

// TestForeignUnit is refused, and taken over when that is asked for.
func TestForeignUnit(t *testing.T) {
	h := newFakeHost()
	h.Put(folder+mainUnit, "[Unit]\n", 0o644)
	in := backend.Input{Want: tunnel, Memory: h.memory}
	if err := h.backend().Check(t.Context(), in); !backend.IsRefusal(err) {
		t.Errorf("error is %v", err)
	}
	in.Options.Adopt = true
	if err := h.backend().Check(t.Context(), in); err != nil {
		t.Error(err)
	}
}

// TestUndoInItsOwnUnit: the boot that goes back to before the first apply removes the unit
// in which it runs.
func TestUndoInItsOwnUnit(t *testing.T) {
	h := newFakeHost()
	before := h.String()
	h.apply(t, gateway)
	h.reboot()
	h.inside = guardUnit
	if err := h.undo(); err != nil {
		t.Fatal(err)
	}
	if !h.active[guardUnit] || h.active[mainUnit] {
		t.Errorf("active are %v", h.active)
	}
	h.reboot()
	if diff := cmp.Diff(before, h.String()); diff != "" {
		t.Errorf("host (-before +after):\n%s", diff)
	}
}

// TestFaults fails each write in turn, before it is done and after: undo leads back, and
// applying again on.
func TestFaults(t *testing.T) {
	states := []*desired.State{empty, tunnel, gateway, tunnel, empty, gateway, empty}
	count := 0
	for i := 1; i < len(states); i++ {
		for n := 1; ; n++ {
			h := newFakeHost()
			for _, s := range states[:i] {
				h.apply(t, s)
			}
			before, writes := h.String(), 0
			h.fault = func(write string) error {
				if writes++; writes == n {
					return errors.New(write + ": no")
				}
				return nil
			}
			err := h.do(h.plan(t, states[i]))
			h.fault = nil
			if err == nil {
				break
			}
			count++
			if err := h.undo(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, h.String()); diff != "" {
				t.Errorf("%d, write %d: after undo (-before +after):\n%s", i, n, diff)
			}
			h.apply(t, states[i])
		}
	}
	if count < 20 {
		t.Errorf("only %d faults", count)
	}
}

func TestWalk(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	h, want := newFakeHost(), map[*desired.State]string{}
	for _, s := range []*desired.State{tunnel, gateway, empty} {
		fresh := newFakeHost()
		fresh.apply(t, s)
		want[s] = fresh.String()
	}
	for range 60 {
		s := []*desired.State{tunnel, gateway, empty}[r.IntN(3)]
		h.apply(t, s)
		if diff := cmp.Diff(want[s], h.String()); diff != "" {
			t.Fatalf("host (-fresh +after):\n%s", diff)
		}
	}
}
