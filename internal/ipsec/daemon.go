package ipsec

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/unit"
)

// Daemon is charon as a process of this host.
type Daemon interface {
	// State looks for charon and for what would keep one from running.
	State(ctx context.Context) (DaemonState, error)
	// Start starts charon and returns when it answers; one that runs is success.
	Start(ctx context.Context, d DaemonSetup) error
	// Stop stops charon and returns when it has ended; none there is success.
	Stop(ctx context.Context, d DaemonSetup) error
}

// DaemonState is what there is of charon here.
type DaemonState struct {
	Running   bool // answers on its socket, as a process of this network namespace
	Installed bool // charon-systemd is here
	Systemd   bool // systemd runs, and has the unit
	Enabled   bool // the unit starts at boot
	// Starter names what runs charon in the old way, which reads ipsec.conf; "" for none.
	Starter string
	// Elsewhere is where the charon runs that answers here: another network namespace.
	Elsewhere string
	// Mute says that a charon runs here and does not listen.
	Mute bool
}

// DaemonSetup is how vpnctl made charon run, and how it is taken back.
type DaemonSetup struct {
	Systemd bool `json:"systemd,omitempty"` // by its unit; else as a process of its own
	Enabled bool `json:"enabled,omitempty"` // the unit was enabled, too
	// Kept says that it ran before: it goes on when vpnctl is gone.
	Kept bool `json:"kept,omitempty"`
}

// The daemon's program and unit, as Debian and upstream have them.
const (
	program = "charon-systemd"
	service = "strongswan.service"
)

// The time that charon gets to start or to end: with all of Debian's plugins on a busy
// machine, half a minute has been seen.
const (
	daemonTimeout  = 60 * time.Second
	daemonInterval = 50 * time.Millisecond
)

// startDaemon plans the start of a charon that does not run, and of one that would not at
// boot. At boot its own unit starts it, after this.
func (d *differ) startDaemon() {
	setup := &DaemonSetup{Systemd: d.h.state.Systemd, Enabled: d.h.state.Systemd && !d.h.state.Enabled, Kept: d.h.running}
	if d.w.empty() || d.h.running && !setup.Enabled || d.in.Options.Boot && setup.Systemd {
		return
	}
	d.start = !d.h.running
	var before *DaemonSetup
	d.in.Memory.Get(daemonMemory, &before)
	if before == nil && !restartCutOff(d.in.Memory) {
		d.steps = append(d.steps, backend.Remember(backend.PhaseMemory, daemonMemory, nil, setup))
	}
	c := backend.Change{Action: backend.Create, Object: daemonObject, Fields: []backend.Field{
		{Name: "started_by", Want: backend.Text("vpnctl")},
	}}
	switch {
	case d.h.running:
		c.Action, c.Fields = backend.Update, []backend.Field{{Name: "at_boot", Have: backend.Text("no"), Want: backend.Text("yes")}}
	case setup.Systemd:
		c.Fields[0].Want = backend.Text(service)
	}
	d.step(backend.PhaseStart, backend.Op{Kind: opDaemon, To: setup}, c)
}

const daemonObject = "daemon/" + program

// stopDaemon plans the end of a charon that vpnctl started and that nobody needs any more.
func (d *differ) stopDaemon() {
	var setup *DaemonSetup
	if !d.in.Memory.Get(daemonMemory, &setup) || setup == nil || !d.w.empty() {
		return
	}
	if len(d.foreignConns()) == 0 && (d.h.running || setup.Enabled) {
		c := backend.Change{Action: backend.Delete, Object: daemonObject}
		if setup.Kept {
			c.Action, c.Fields = backend.Update, []backend.Field{{Name: "at_boot", Have: backend.Text("yes"), Want: backend.Text("no")}}
		}
		// Behind the end of the last SA and pool, which undo can put back only into a
		// charon that runs.
		d.step(backend.PhaseSession, backend.Op{Kind: opDaemon, From: setup}, c)
	}
	d.steps = append(d.steps, backend.Remember(backend.PhaseSession, daemonMemory, setup, nil))
}

// foreignConns lists the connections of others.
func (d *differ) foreignConns() []string {
	return slices.DeleteFunc(sortedKeys(d.h.conns), func(name string) bool {
		return d.loaded(string(kindConn) + "/" + name)
	})
}

// applyDaemon starts or stops charon.
func (b *Backend) applyDaemon(ctx context.Context, from, to *DaemonSetup) error {
	switch {
	case to != nil:
		return b.Daemon.Start(ctx, *to)
	case from != nil:
		return b.Daemon.Stop(ctx, *from)
	}
	return nil
}

// system is the Daemon of the real host.
type system struct {
	files host.Tree
	dial  func(ctx context.Context) (Session, error)
}

// State implements Daemon.
func (s *system) State(ctx context.Context) (DaemonState, error) {
	var d DaemonState
	_, err := host.LookPath(program)
	d.Installed = err == nil
	if err := s.unitState(ctx, &d); err != nil {
		return d, err
	}
	c, err := s.patiently(ctx)
	switch {
	case errors.Is(err, ErrNotRunning):
		d.Mute = len(host.Processes(program, "charon")) > 0
	case err != nil:
		return d, err
	default:
		defer func() { _ = c.Close() }()
		d.Running = host.OwnNamespace(c.PID())
		if !d.Running {
			d.Elsewhere = fmt.Sprintf("process %d, in another network namespace", c.PID())
		}
	}
	if len(host.Processes("starter")) > 0 {
		d.Starter = "ipsec starter"
	}
	return d, nil
}

// starting is how long a process that has no socket yet counts as one that starts.
const starting = 20 * time.Second

// patiently opens a session, also with a charon that is about to listen.
func (s *system) patiently(ctx context.Context) (Session, error) {
	ctx, cancel := context.WithTimeout(ctx, starting)
	defer cancel()
	var c Session
	err := poll(ctx, func() (done bool, err error) {
		c, err = s.dial(ctx)
		if !errors.Is(err, ErrNotRunning) {
			return true, err
		}
		return len(host.Processes(program, "charon")) == 0, nil
	})
	if c == nil && (err == nil || errors.Is(err, context.DeadlineExceeded)) {
		err = ErrNotRunning
	}
	return c, err
}

func (s *system) unitState(ctx context.Context, d *DaemonState) error {
	if !unit.Booted() {
		return nil
	}
	m, err := unit.Connect(ctx)
	if err != nil {
		return err
	}
	defer m.Close()
	state, err := m.FileState(ctx, service)
	d.Systemd, d.Enabled = state != "", state != "disabled"
	return err
}

// Start implements Daemon.
func (s *system) Start(ctx context.Context, d DaemonSetup) error {
	ctx, cancel := context.WithTimeout(ctx, daemonTimeout)
	defer cancel()
	if d.Systemd {
		if err := withUnits(ctx, func(m *unit.Manager) error {
			if d.Enabled {
				if err := m.Enable(ctx, service); err != nil {
					return err
				}
			}
			return m.Start(ctx, service)
		}); err != nil {
			return err
		}
		return s.await(ctx, nil)
	}
	if c, err := s.dial(ctx); err == nil {
		return c.Close()
	}
	path, err := host.LookPath(program)
	if err != nil {
		return err
	}
	p, err := host.Detach(path, program)
	if err != nil {
		return err
	}
	return s.await(ctx, p.Ended())
}

// Stop implements Daemon.
func (s *system) Stop(ctx context.Context, d DaemonSetup) error {
	ctx, cancel := context.WithTimeout(ctx, daemonTimeout)
	defer cancel()
	if !d.Systemd {
		return s.stopProcess(ctx)
	}
	return withUnits(ctx, func(m *unit.Manager) error {
		if d.Enabled {
			if err := m.Disable(ctx, service); err != nil {
				return err
			}
		}
		if d.Kept {
			return nil
		}
		return m.StopAndWait(ctx, service)
	})
}

// stopProcess ends the charon of this network namespace.
func (s *system) stopProcess(ctx context.Context) error {
	c, err := s.dial(ctx)
	if errors.Is(err, ErrNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	pid := c.PID()
	_ = c.Close()
	if pid == 0 || !host.OwnNamespace(pid) {
		return fmt.Errorf("stopping charon: process %d is not this host's", pid)
	}
	// It knows this signal only.
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stopping charon: %w", err)
	}
	return poll(ctx, func() (bool, error) {
		_, err := os.Stat("/proc/" + strconv.Itoa(pid) + "/exe")
		return errors.Is(err, fs.ErrNotExist), nil
	})
}

func withUnits(ctx context.Context, fn func(m *unit.Manager) error) error {
	m, err := unit.Connect(ctx)
	if err != nil {
		return err
	}
	defer m.Close()
	return fn(m)
}

// await waits until charon answers, or its process has ended.
func (s *system) await(ctx context.Context, ended <-chan error) error {
	return poll(ctx, func() (bool, error) {
		select {
		case err := <-ended:
			return false, fmt.Errorf("%s ended: %w", program, err)
		default:
		}
		c, err := s.dial(ctx)
		if errors.Is(err, ErrNotRunning) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		return true, c.Close()
	})
}

// poll asks again and again until it is done.
func poll(ctx context.Context, done func() (bool, error)) error {
	ticker := time.NewTicker(daemonInterval)
	defer ticker.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for charon: %w", ctx.Err())
		case <-ticker.C:
		}
	}
}
