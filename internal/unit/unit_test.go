package unit_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"

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
}

func startFake(t *testing.T) (*fakeSystemd, *unit.Manager) {
	t.Helper()
	dbustest.Start(t)
	f := &fakeSystemd{conn: dbustest.Own(t, busName), result: "done", units: map[string]string{}}
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
func (f *fakeSystemd) StartTransientUnit(name, mode string, props []property, _ []auxiliary) (dbus.ObjectPath, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.units[name]; ok {
		return "", dbus.NewError(busName+".UnitExists", []any{"Unit " + name + " was already loaded."})
	}
	var b strings.Builder
	for _, p := range props {
		fmt.Fprintf(&b, "%s=%v\n", p.Name, p.Value)
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

func TestConnectFails(t *testing.T) {
	dbustest.None(t)
	if m, err := unit.Connect(t.Context()); err == nil {
		m.Close()
		t.Error("connected to nothing")
	} else if !strings.HasPrefix(err.Error(), "connecting to systemd: ") {
		t.Errorf("error is %v", err)
	}
}
