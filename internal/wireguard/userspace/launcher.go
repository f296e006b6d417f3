package userspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"

	systemd "github.com/coreos/go-systemd/v22/unit"

	"github.com/vpnctl/vpnctl/internal/eventlog"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/unit"
)

// patience bounds a start. It takes some 20 ms, on an emulated machine some seconds.
const patience = 30 * time.Second

// Launcher starts the processes that carry interfaces.
type Launcher struct {
	// Exe is the vpnctl binary; empty for the one that runs.
	Exe string
}

// Start makes the interface and returns when its socket answers. The process outlives
// the caller: systemd's where that runs, else a session of its own. An interface that is
// carried already is success, unless its link was moved to another namespace.
func (l Launcher) Start(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	carried, err := settled(ctx, name)
	if carried || err != nil {
		return err
	}
	takeReason(name)
	if err := l.launch(ctx, name); err != nil {
		if reason := takeReason(name); reason != "" {
			return errors.New(reason)
		}
		return fmt.Errorf("carrying interface %s: %w", name, err)
	}
	return nil
}

// settled waits until the process of an interface of that name that was deleted just now
// has ended too, and reports whether the interface is there and carried.
func settled(ctx context.Context, name string) (carried bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err = await(ctx, func() error {
		pid, err := findProcess(name)
		if err != nil {
			return nil
		}
		if _, err := net.InterfaceByName(name); err == nil && probe(ctx, name) == nil {
			carried = true
			return nil
		}
		return fmt.Errorf("interface %s: process %d carries it in another network namespace: %w", name, pid, fs.ErrExist)
	})
	return carried, err
}

// launch starts the process in one way or the other, and waits until it is ready.
func (l Launcher) launch(ctx context.Context, name string) error {
	if unit.Booted() {
		m, err := unit.Connect(ctx)
		if err == nil {
			defer m.Close()
			return l.startUnit(ctx, m, name)
		}
	}
	return l.startProcess(ctx, name)
}

// unitName is the interface's transient service.
func unitName(name string) string {
	return "vpnctl-wireguard-" + systemd.UnitNameEscape(name) + ".service"
}

func (l Launcher) startUnit(ctx context.Context, m *unit.Manager, name string) error {
	exe, err := l.exe()
	if err != nil {
		return err
	}
	s := unit.Service{
		Name:        unitName(name),
		Description: "WireGuard interface " + name + " of vpnctl",
		Args:        []string{exe, Command, name},
		Env:         []string{"PATH=" + host.Path},
		Identifier:  eventlog.Identifier,
	}
	err = await(ctx, func() error {
		// The unit of a link that was deleted just now goes a moment after its process.
		err := m.StartTransient(ctx, s)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fatal{err}
		}
		return err
	})
	if ctx.Err() != nil {
		return errors.Join(err, m.Stop(context.WithoutCancel(ctx), s.Name))
	}
	return err
}

// startProcess starts the process in a session of its own.
func (l Launcher) startProcess(ctx context.Context, name string) error {
	exe, err := l.exe()
	if err != nil {
		return err
	}
	program := l.Exe
	if program == "" {
		// The running binary, also where an upgrade has put another in its place.
		program = "/proc/self/exe"
	}
	p, err := host.Detach(program, exe, Command, name)
	if err != nil {
		return err
	}
	err = await(ctx, func() error {
		select {
		case err := <-p.Ended():
			return fatal{fmt.Errorf("process ended: %w", err)}
		default:
		}
		if pid, err := findProcess(name); err != nil || pid != p.PID {
			return errors.New("process is not ready")
		}
		return probe(ctx, name)
	})
	if err != nil {
		return errors.Join(err, p.Kill())
	}
	return nil
}

// exe is the path of the vpnctl binary.
func (l Launcher) exe() (string, error) {
	if l.Exe != "" {
		return l.Exe, nil
	}
	return os.Executable()
}
