package l2tp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/unit"
)

// Daemon is xl2tpd as a process of this host.
type Daemon interface {
	// State looks for xl2tpd and for what would keep one from running.
	State(ctx context.Context) (DaemonState, error)
	// Start starts xl2tpd, anew where one runs, and returns when it answers.
	Start(ctx context.Context) error
	// Stop stops xl2tpd and returns when it has ended; none there is success.
	Stop(ctx context.Context) error
	// Reload lets systemd read the unit's files again, where it runs.
	Reload(ctx context.Context) error
}

// DaemonState is what there is of xl2tpd here.
type DaemonState struct {
	Installed bool
	Systemd   bool // systemd runs and has the unit
	Running   bool // as a process of this network namespace
	// Config is the file that it reads, where that is not ConfPath.
	Config string
}

// The daemon's program and unit, as Debian and upstream have them.
const (
	program = "xl2tpd"
	service = "xl2tpd.service"
)

// pidFile is where xl2tpd writes its number. It does not start where that is anybody's.
const pidFile = "/run/xl2tpd.pid"

// The time that xl2tpd gets to start or to end; it waits for nobody.
const daemonTimeout = 30 * time.Second

// system is the Daemon of the real host.
type system struct {
	control Control
}

// State implements Daemon.
func (s *system) State(ctx context.Context) (DaemonState, error) {
	_, err := host.LookPath(program)
	d := DaemonState{Installed: err == nil}
	if d.Systemd, err = hasUnit(ctx); err != nil {
		return d, err
	}
	if pids := host.Processes(program); len(pids) > 0 {
		d.Running, d.Config = true, configOf(pids[0])
	}
	return d, nil
}

func hasUnit(ctx context.Context) (bool, error) {
	if !unit.Booted() {
		return false, nil
	}
	m, err := unit.Connect(ctx)
	if err != nil {
		return false, err
	}
	defer m.Close()
	state, err := m.FileState(ctx, service)
	return state != "", err
}

// configOf is the file that an xl2tpd was told to read, "" for the usual one.
func configOf(pid int) string {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		return ""
	}
	argv := strings.Split(string(raw), "\x00")
	i := slices.IndexFunc(argv, func(a string) bool { return strings.HasPrefix(a, "-c") })
	if i < 0 || i+1 >= len(argv) || argv[i+1] == ConfPath {
		return ""
	}
	return argv[i+1]
}

// Start implements Daemon.
func (s *system) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, daemonTimeout)
	defer cancel()
	systemd, err := hasUnit(ctx)
	if err != nil {
		return err
	}
	// Also where none runs: a unit that is made of an init script stays active when its
	// xl2tpd has ended, and starting it would do nothing.
	if err := s.Stop(ctx); err != nil {
		return err
	}
	if systemd {
		if err := withUnits(ctx, func(m *unit.Manager) error { return m.Restart(ctx, service) }); err != nil {
			return err
		}
		return s.listens(ctx, nil)
	}
	path, err := host.LookPath(program)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(runFolder, 0o755); err != nil {
		return fmt.Errorf("making run folder: %w", err)
	}
	p, err := host.Detach(path, program, "-D", "-l")
	if err != nil {
		return err
	}
	return s.listens(ctx, p.Ended())
}

// listens waits until xl2tpd answers, or its process has ended.
func (s *system) listens(ctx context.Context, ended <-chan error) error {
	err := await(ctx, func() (bool, error) {
		select {
		case err := <-ended:
			return false, fmt.Errorf("%s ended: %w", program, err)
		default:
		}
		_, err := s.control.List(ctx)
		if errors.Is(err, ErrNotRunning) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return fmt.Errorf("starting %s: %w", program, err)
	}
	return nil
}

// Stop implements Daemon.
func (s *system) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, daemonTimeout)
	defer cancel()
	systemd, err := hasUnit(ctx)
	if err != nil {
		return err
	}
	if systemd {
		if err := withUnits(ctx, func(m *unit.Manager) error { return m.StopAndWait(ctx, service) }); err != nil {
			return err
		}
	}
	for _, pid := range host.Processes(program) {
		if err := end(ctx, pid); err != nil {
			return fmt.Errorf("stopping %s: %w", program, err)
		}
	}
	// What one leaves behind that was killed: the number may be another process's by now,
	// and then the next one would not start.
	for _, path := range []string{pidFile, controlPath} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := syscall.Rmdir(runFolder); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTEMPTY) {
		return os.NewSyscallError("rmdir", err)
	}
	return nil
}

// end asks a process to end, and makes it where it does not.
func end(ctx context.Context, pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	defer func() { _ = p.Release() }()
	for _, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if !slices.Contains(host.Processes(program), pid) {
			return nil
		}
		if err := p.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		bound, cancel := context.WithTimeout(ctx, daemonTimeout/3)
		err := await(bound, func() (bool, error) { return !slices.Contains(host.Processes(program), pid), nil })
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
	return fmt.Errorf("process %d does not end", pid)
}

// Reload implements Daemon.
func (s *system) Reload(ctx context.Context) error {
	if !unit.Booted() {
		return nil
	}
	return withUnits(ctx, func(m *unit.Manager) error { return m.Reload(ctx) })
}

func withUnits(ctx context.Context, fn func(m *unit.Manager) error) error {
	m, err := unit.Connect(ctx)
	if err != nil {
		return err
	}
	defer m.Close()
	return fn(m)
}
