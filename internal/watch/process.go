package watch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/host"
)

// The bounds of starting and ending a process. On an emulated machine either takes some
// seconds.
const (
	startPatience = 30 * time.Second
	endPatience   = 10 * time.Second
)

// Processes starts and ends the process that watches, where no systemd does.
type Processes interface {
	// Running reports whether one watches this host.
	Running() bool
	// Start starts one that outlives the caller, and returns when it watches; one that
	// does already is success.
	Start(ctx context.Context) error
	// End ends it and leaves no file of it; none is success.
	End(ctx context.Context) error
	// Litter reports whether one that was killed has left files.
	Litter() bool
}

// processes are those of the real host.
type processes struct {
	runDir, stateDir string
}

func (p processes) Running() bool { return running(p.runDir) != 0 }

func (p processes) Litter() bool { return running(p.runDir) == 0 && litter(p.runDir) }

func (p processes) Start(ctx context.Context) error {
	if p.Running() {
		return nil
	}
	c, err := claim(p.runDir)
	if err != nil {
		return err // the process could say so only in the log
	}
	c.Release()
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding vpnctl: %w", err)
	}
	// The running binary, also where an upgrade has put another in its place.
	d, err := host.Detach("/proc/self/exe", arguments(exe, p.stateDir)...)
	if err != nil {
		return err
	}
	err = await(ctx, startPatience, func() (bool, error) {
		select {
		case err := <-d.Ended():
			return false, fmt.Errorf("process ended: %w", err)
		default:
			return running(p.runDir) == d.PID, nil
		}
	})
	if err != nil {
		return errors.Join(fmt.Errorf("starting watch: %w", err), d.Kill())
	}
	return nil
}

// arguments are the command line of the process.
func arguments(exe, stateDir string) []string {
	return []string{exe, Command, "--state-dir", stateDir}
}

func (p processes) End(ctx context.Context) error {
	if pid := running(p.runDir); pid != 0 {
		if err := end(ctx, p.runDir, pid); err != nil {
			return fmt.Errorf("ending watch: %w", err)
		}
	}
	if !p.Litter() {
		return nil
	}
	// One that was killed loses its memory first, and its lock a moment later.
	return await(ctx, endPatience, func() (bool, error) {
		if watches(noted(p.runDir)) {
			return true, nil // somebody else's by now, or of another host
		}
		c, err := claim(p.runDir)
		if backend.IsRefusal(err) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		c.Release()
		return true, nil
	})
}

// end asks a process to end, and makes it where it does not.
func end(ctx context.Context, runDir string, pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	defer func() { _ = p.Release() }()
	if running(runDir) != pid {
		return nil // it went before its number was held
	}
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := p.Signal(sig); errors.Is(err, os.ErrProcessDone) {
			return nil
		} else if err != nil {
			return err
		}
		if err = await(ctx, endPatience, func() (bool, error) { return !watches(pid), nil }); err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return fmt.Errorf("process %d does not end", pid)
}

// await asks until cond holds or fails.
func await(ctx context.Context, bound time.Duration, cond func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	pause := 5 * time.Millisecond
	for {
		if ok, err := cond(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
			pause = min(2*pause, 100*time.Millisecond)
		}
	}
}
