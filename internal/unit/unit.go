// Package unit drives systemd over D-Bus, on hosts where it runs.
package unit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// Booted reports whether systemd is this host's init, by the test of sd_booted(3).
func Booted() bool {
	info, err := os.Lstat("/run/systemd/system")
	return err == nil && info.IsDir()
}

// Manager is a connection to systemd.
type Manager struct {
	conn *systemd.Conn
}

// Connect connects over the system bus or, where that is down, over systemd's own socket.
func Connect(ctx context.Context) (*Manager, error) {
	conn, err := systemd.NewWithContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("connecting to systemd: %w", err)
	}
	return &Manager{conn: conn}, nil
}

// Close ends the connection.
func (m *Manager) Close() { m.conn.Close() }

// Service is a service that has no file: it is forgotten when it ends. It gets a clean
// environment, and its output goes to the journal.
type Service struct {
	Name        string // with its suffix; escape foreign parts by unit.UnitNameEscape
	Description string
	Args        []string // the program by its absolute path, and its arguments
	Env         []string // "KEY=value"
	Identifier  string   // in the journal
}

// StartTransient starts a service and returns when it has said that it is ready, by
// sd_notify(3). One that is there already, or not quite gone, is fs.ErrExist.
func (m *Manager) StartTransient(ctx context.Context, s Service) error {
	return m.job(ctx, "starting "+s.Name, func(result chan<- string) error {
		_, err := m.conn.StartTransientUnitContext(ctx, s.Name, "fail", s.properties(), result)
		return err
	})
}

func (s Service) properties() []systemd.Property {
	args := []string{s.Args[0]}
	for _, a := range s.Args[1:] {
		// systemd puts variables of the environment into arguments.
		args = append(args, strings.ReplaceAll(a, "$", "$$"))
	}
	return []systemd.Property{
		systemd.PropDescription(s.Description),
		systemd.PropExecStart(args, true),
		property("Type", "notify"),
		property("Environment", s.Env),
		property("SyslogIdentifier", s.Identifier),
		property("KillMode", "process"),
		collected,
	}
}

// collected is how a unit goes that is not needed any more. A failed one would stay, and
// its name be taken until somebody resets it.
var collected = property("CollectMode", "inactive-or-failed")

// monotonic is a time of a timer, as systemd.timer(5) names it, in microseconds.
type monotonic struct {
	Base string
	Time uint64
}

// StartTimer starts a timer that has no file, and that starts the service of its name once,
// after so long. It is gone then.
func (m *Manager) StartTimer(ctx context.Context, timer, description string, after time.Duration) error {
	return m.job(ctx, "starting "+timer, func(result chan<- string) error {
		_, err := m.conn.StartTransientUnitContext(ctx, timer, "fail", []systemd.Property{
			systemd.PropDescription(description),
			property("TimersMonotonic", []monotonic{{"OnActiveSec", uint64(after.Microseconds())}}),
			property("AccuracyUSec", uint64(100e3)),
			property("RemainAfterElapse", false),
			collected,
		}, result)
		return err
	})
}

func property(name string, value any) systemd.Property {
	return systemd.Property{Name: name, Value: dbus.MakeVariant(value)}
}

// Stop asks a unit to stop and does not wait for it; one that is not there is success.
func (m *Manager) Stop(ctx context.Context, name string) error {
	_, err := m.conn.StopUnitContext(ctx, name, "replace", nil)
	if err = sentinel(err); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("stopping %s: %w", name, err)
	}
	return nil
}

// Active reports whether a unit runs or is about to; one that is not there does not.
func (m *Manager) Active(ctx context.Context, name string) (bool, error) {
	p, err := m.conn.GetUnitPropertyContext(ctx, name, "ActiveState")
	if err = sentinel(err); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading state of %s: %w", name, err)
	}
	state, _ := p.Value.Value().(string)
	return state == "active" || state == "activating" || state == "reloading", nil
}

// Start starts a unit and returns when it runs; one that runs is success.
func (m *Manager) Start(ctx context.Context, name string) error {
	return m.job(ctx, "starting "+name, func(result chan<- string) error {
		_, err := m.conn.StartUnitContext(ctx, name, "replace", result)
		return err
	})
}

// Restart stops a unit where it runs, and starts it; it returns when it runs.
func (m *Manager) Restart(ctx context.Context, name string) error {
	return m.job(ctx, "restarting "+name, func(result chan<- string) error {
		_, err := m.conn.RestartUnitContext(ctx, name, "replace", result)
		return err
	})
}

// StopAndWait stops a unit and returns when it has ended; one that is not there is success.
func (m *Manager) StopAndWait(ctx context.Context, name string) error {
	err := m.job(ctx, "stopping "+name, func(result chan<- string) error {
		_, err := m.conn.StopUnitContext(ctx, name, "replace", result)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// job asks for a job and waits for its end.
func (m *Manager) job(ctx context.Context, what string, ask func(result chan<- string) error) error {
	result := make(chan string, 1)
	if err := ask(result); err != nil {
		return fmt.Errorf("%s: %w", what, sentinel(err))
	}
	select {
	case r := <-result:
		if r != "done" {
			return fmt.Errorf("%s: job result is %s", what, r)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
}

// Enable lets a unit start at boot.
func (m *Manager) Enable(ctx context.Context, name string) error {
	if _, _, err := m.conn.EnableUnitFilesContext(ctx, []string{name}, false, false); err != nil {
		return fmt.Errorf("enabling %s: %w", name, sentinel(err))
	}
	return m.reload(ctx)
}

// Disable lets a unit no longer start at boot.
func (m *Manager) Disable(ctx context.Context, name string) error {
	if _, err := m.conn.DisableUnitFilesContext(ctx, []string{name}, false); err != nil {
		return fmt.Errorf("disabling %s: %w", name, sentinel(err))
	}
	return m.reload(ctx)
}

// reload lets systemd see what enabling has changed.
func (m *Manager) reload(ctx context.Context) error {
	if err := m.conn.ReloadContext(ctx); err != nil {
		return fmt.Errorf("reloading systemd: %w", err)
	}
	return nil
}

// Enabler is what SetEnabled asks of systemd; see Manager.
type Enabler interface {
	FileState(ctx context.Context, name string) (string, error)
	Enable(ctx context.Context, name string) error
	Disable(ctx context.Context, name string) error
}

// SetEnabled makes a unit start at boot or not; one without a file does not anyway.
func SetEnabled(ctx context.Context, m Enabler, name string, want bool) error {
	state, err := m.FileState(ctx, name)
	switch {
	case err != nil:
		return err
	case want && state != "enabled":
		return m.Enable(ctx, name)
	case !want && state == "enabled":
		return m.Disable(ctx, name)
	}
	return nil
}

// FileState is whether a unit starts at boot ("enabled", "disabled", "static", ...), ""
// where it has no file.
func (m *Manager) FileState(ctx context.Context, name string) (string, error) {
	p, err := m.conn.GetUnitPropertyContext(ctx, name, "UnitFileState")
	if err = sentinel(err); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading state of %s: %w", name, err)
	}
	state, _ := p.Value.Value().(string)
	return state, nil
}

// sentinel makes systemd's errors ones that callers test for.
func sentinel(err error) error {
	var e dbus.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Name {
	case "org.freedesktop.systemd1.UnitExists":
		return fmt.Errorf("%w: %w", fs.ErrExist, err)
	case "org.freedesktop.systemd1.NoSuchUnit":
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return err
}
