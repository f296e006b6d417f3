package unit_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/dbustest"
	"github.com/vpnctl/vpnctl/internal/unit"
)

const (
	busName = "org.freedesktop.systemd1"
	manager = busName + ".Manager"
	root    = dbus.ObjectPath("/org/freedesktop/systemd1")
)

// fakeSystemd starts and stops transient units.
type fakeSystemd struct {
	mu     sync.Mutex
	conn   *dbus.Conn
	result string // of every job; "" for a job that never ends
	units  map[string]string
	jobs   uint32

	files   map[string]string // installed units and their state
	reloads int
}

func startFake(t *testing.T) (*fakeSystemd, *unit.Manager) {
	t.Helper()
	dbustest.Start(t)
	f := &fakeSystemd{conn: dbustest.Own(t, busName), result: "done", units: map[string]string{}, files: map[string]string{}}
	if err := f.conn.Export(f, root, manager); err != nil {
		t.Fatal(err)
	}
	m, err := unit.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return f, m
}

// answer says what becomes of the jobs to come.
func (f *fakeSystemd) answer(result string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.result = result
}

type property struct {
	Name  string
	Value dbus.Variant
}

type auxiliary struct {
	Name       string
	Properties []property
}

// StartTransientUnit is systemd's method.
func (f *fakeSystemd) StartTransientUnit(name, mode string, props []property, aux []auxiliary) (dbus.ObjectPath, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.units[name]; ok {
		return "", dbus.NewError(busName+".UnitExists", []any{"Unit " + name + " was already loaded."})
	}
	var b strings.Builder
	for _, p := range props {
		fmt.Fprintf(&b, "%s=%v\n", p.Name, p.Value)
	}
	for _, a := range aux {
		fmt.Fprintf(&b, "[%s]\n", a.Name)
		for _, p := range a.Properties {
			fmt.Fprintf(&b, "%s=%v\n", p.Name, p.Value)
		}
	}
	if f.result == "done" {
		f.units[name] = b.String()
	}
	f.export(name)
	return f.job(name), nil
}

// StopUnit is systemd's method.
func (f *fakeSystemd) StopUnit(name, mode string) (dbus.ObjectPath, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.units[name]; !ok {
		return "", dbus.NewError(busName+".NoSuchUnit", []any{"Unit " + name + " not loaded."})
	}
	delete(f.units, name)
	return f.job(name), nil
}

// install puts a unit's file there.
func (f *fakeSystemd) install(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.files[name] = "disabled"
	f.export(name)
}

// StartUnit is systemd's method.
func (f *fakeSystemd) StartUnit(name, _ string) (dbus.ObjectPath, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.files[name]; !ok {
		return "", dbus.NewError(busName+".NoSuchUnit", []any{"Unit " + name + " not found."})
	}
	if f.result == "done" {
		f.units[name] = ""
	}
	return f.job(name), nil
}

// RestartUnit is systemd's method.
func (f *fakeSystemd) RestartUnit(name, _ string) (dbus.ObjectPath, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.files[name]; !ok {
		return "", dbus.NewError(busName+".NoSuchUnit", []any{"Unit " + name + " not found."})
	}
	if f.result == "done" {
		f.units[name] = "restarted"
	}
	return f.job(name), nil
}

// change is what enabling has done to the links.
type change struct{ Type, Link, To string }

// EnableUnitFiles is systemd's method.
func (f *fakeSystemd) EnableUnitFiles(names []string, _, _ bool) (bool, []change, *dbus.Error) {
	changes, err := f.turn(names, "enabled")
	return true, changes, err
}

// DisableUnitFiles is systemd's method.
func (f *fakeSystemd) DisableUnitFiles(names []string, _ bool) ([]change, *dbus.Error) {
	return f.turn(names, "disabled")
}

func (f *fakeSystemd) turn(names []string, state string) ([]change, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range names {
		if _, ok := f.files[name]; !ok {
			return nil, dbus.NewError(busName+".NoSuchUnit", []any{"Unit " + name + " does not exist."})
		}
		f.files[name] = state
	}
	return []change{{"symlink", "/etc/systemd/system/x", "x"}}, nil
}

// Reload is systemd's method.
func (f *fakeSystemd) Reload() *dbus.Error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reloads++
	return nil
}

// job makes a job, and ends it.
func (f *fakeSystemd) job(name string) dbus.ObjectPath {
	f.jobs++
	path := dbus.ObjectPath(fmt.Sprintf("%s/job/%d", root, f.jobs))
	if f.result != "" {
		// Sent after the answer, as systemd does.
		go func(id uint32, result string) {
			_ = f.conn.Emit(root, manager+".JobRemoved", id, path, name, result)
		}(f.jobs, f.result)
	}
	return path
}

// export makes the properties of a unit readable.
func (f *fakeSystemd) export(name string) {
	path := root + "/unit/" + dbus.ObjectPath(systemd.PathBusEscape(name))
	get := func(_, property string) (dbus.Variant, *dbus.Error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if property == "UnitFileState" {
			return dbus.MakeVariant(f.files[name]), nil
		}
		state := "inactive"
		if _, ok := f.units[name]; ok {
			state = "active"
		}
		return dbus.MakeVariant(state), nil
	}
	_ = f.conn.ExportMethodTable(map[string]any{"Get": get}, path, "org.freedesktop.DBus.Properties")
}

var service = unit.Service{
	Name:        `vpnctl-wireguard-w\x2dg.service`,
	Description: "WireGuard interface w-g of vpnctl",
	Args:        []string{"/usr/sbin/vp$nctl", "wireguard-userspace", "$x${y}"},
	Env:         []string{"PATH=/bin"},
	Identifier:  "vpnctl",
}

func TestStartTransient(t *testing.T) {
	f, m := startFake(t)
	if err := m.StartTransient(t.Context(), service); err != nil {
		t.Fatal(err)
	}
	want := `Description="WireGuard interface w-g of vpnctl"
ExecStart=[["/usr/sbin/vp$nctl", ["/usr/sbin/vp$nctl", "wireguard-userspace", "$$x$${y}"], true]]
Type="notify"
Environment=["PATH=/bin"]
SyslogIdentifier="vpnctl"
KillMode="process"
CollectMode="inactive-or-failed"
`
	f.mu.Lock()
	if diff := cmp.Diff(want, f.units[service.Name]); diff != "" {
		t.Errorf("unit (-want +got):\n%s", diff)
	}
	f.mu.Unlock()
	wantActive(t, m, true)

	err := m.StartTransient(t.Context(), service)
	if !errors.Is(err, fs.ErrExist) || !strings.HasPrefix(err.Error(), "starting "+service.Name+": ") {
		t.Errorf("starting it again: %v", err)
	}
	for range 2 { // what is not there counts as stopped
		if err := m.Stop(t.Context(), service.Name); err != nil {
			t.Errorf("stopping: %v", err)
		}
		wantActive(t, m, false)
	}
}

func TestStartTimer(t *testing.T) {
	f, m := startFake(t)
	if err := m.StartTimer(t.Context(), "w.timer", "goes back", 90*time.Second); err != nil {
		t.Fatal(err)
	}
	want := `Description="goes back"
TimersMonotonic=@a(st) [["OnActiveSec", 90000000]]
AccuracyUSec=@t 100000
RemainAfterElapse=false
CollectMode="inactive-or-failed"
`
	f.mu.Lock()
	defer f.mu.Unlock()
	if diff := cmp.Diff(want, f.units["w.timer"]); diff != "" {
		t.Errorf("unit (-want +got):\n%s", diff)
	}
}

func wantActive(t *testing.T, m *unit.Manager, want bool) {
	t.Helper()
	if got, err := m.Active(t.Context(), service.Name); got != want || err != nil {
		t.Errorf("active: %v, %v", got, err)
	}
}

func TestStartTransientFails(t *testing.T) {
	f, m := startFake(t)
	f.answer("failed")
	err := m.StartTransient(t.Context(), service)
	if want := "starting " + service.Name + ": job result is failed"; err == nil || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
	wantActive(t, m, false)

	f.answer("")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.StartTransient(ctx, service); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestInstalledUnit drives a unit that a package has brought.
func TestInstalledUnit(t *testing.T) {
	const name = "strongswan.service"
	f, m := startFake(t)
	f.install(name)
	state := func(want string) {
		t.Helper()
		if got, err := m.FileState(t.Context(), name); got != want || err != nil {
			t.Errorf("state of the file is %q, %v, want %q", got, err, want)
		}
	}
	active := func(want bool) {
		t.Helper()
		if got, err := m.Active(t.Context(), name); got != want || err != nil {
			t.Errorf("active: %v, %v, want %v", got, err, want)
		}
	}
	state("disabled")
	for _, step := range []struct {
		do     func(context.Context, string) error
		state  string
		active bool
	}{
		{m.Enable, "enabled", false}, {m.Start, "enabled", true}, {m.Start, "enabled", true},
		{m.StopAndWait, "enabled", false}, {m.StopAndWait, "enabled", false}, {m.Disable, "disabled", false},
	} {
		if err := step.do(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		state(step.state)
		active(step.active)
	}
	f.mu.Lock()
	reloads := f.reloads
	f.mu.Unlock()
	if reloads != 2 {
		t.Errorf("systemd was reloaded %d times, want after each change of links", reloads)
	}

	f.answer("failed")
	if err := m.Start(t.Context(), name); err == nil || err.Error() != "starting "+name+": job result is failed" {
		t.Errorf("a start that fails: %v", err)
	}
	for _, do := range []func(context.Context, string) error{m.Start, m.Enable, m.Disable} {
		if err := do(t.Context(), "absent.service"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a unit that is not there: %v", err)
		}
	}
}

func TestConnectFails(t *testing.T) {
	dbustest.None(t)
	if m, err := unit.Connect(t.Context()); err == nil {
		m.Close()
		t.Error("connected to nothing")
	} else if !strings.HasPrefix(err.Error(), "connecting to systemd: ") {
		t.Errorf("error is %v", err)
	}
}

func TestRestart(t *testing.T) {
	f, m := startFake(t)
	if err := m.Restart(t.Context(), "xl2tpd.service"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("restarting an unknown unit: %v", err)
	}
	f.install("xl2tpd.service")
	for range 2 { // one that does not run, and one that does
		if err := m.Restart(t.Context(), "xl2tpd.service"); err != nil {
			t.Fatal(err)
		}
		if active, err := m.Active(t.Context(), "xl2tpd.service"); !active || err != nil {
			t.Errorf("restarted, active is %v, %v", active, err)
		}
	}
	f.mu.Lock()
	how := f.units["xl2tpd.service"]
	f.mu.Unlock()
	if how != "restarted" {
		t.Error("the unit was not restarted")
	}
	f.answer("failed")
	if err := m.Restart(t.Context(), "xl2tpd.service"); err == nil {
		t.Error("a failed job is success")
	}
}
