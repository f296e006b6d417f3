// Package guardian carries the way back of an apply that waits to be confirmed, outside of
// the process that made it: a timer of systemd's, or where that does not run a process of
// its own.
//
// The service behind the timer has a file, and starts at boot, too: a reboot takes the timer,
// and a destroy that waits has taken vpnctl's other units.
package guardian

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/vpnctl/vpnctl/internal/engine"
	"github.com/vpnctl/vpnctl/internal/file"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/unit"
)

// Command is the subcommand that waits and goes back.
const Command = "revert"

// The units. There is one apply on a host that waits.
const (
	timerName   = "vpnctl-revert.timer"
	serviceName = "vpnctl-revert.service"
	servicePath = "/etc/systemd/system/" + serviceName
	description = "vpnctl: go back to what was applied before, unless confirmed"
)

// text is the service's file. At boot it comes behind the units that may have gone back
// already, and ahead of the daemons that read files.
const text = file.Header + `; removed with the waiting.
[Unit]
Description=` + description + `
RequiresMountsFor=%[2]s
After=network.target vpnctl-guard.service vpnctl.service
Before=strongswan.service strongswan-starter.service xl2tpd.service pptpd.service

[Service]
Type=notify
ExecStart=%[1]s
SuccessExitStatus=1
TimeoutStartSec=5min
Restart=on-failure
RestartSec=1
SyslogIdentifier=vpnctl

[Install]
WantedBy=multi-user.target
`

// Guardian is that of the real host.
type Guardian struct {
	// StateDir is the state folder of who waits.
	StateDir string
	Files    host.Files
	// Booted reports whether systemd runs, Inside whether this process is a unit's.
	Booted func() bool
	Inside func(unit string) bool
	// Units drives systemd.
	Units func(ctx context.Context) (Units, error)
	// Detach starts a process that outlives this one.
	Detach func(argv []string) error
}

// Units are systemd's; see unit.Manager.
type Units interface {
	StartTimer(ctx context.Context, timer, description string, after time.Duration) error
	StopAndWait(ctx context.Context, name string) error
	Enable(ctx context.Context, name string) error
	Disable(ctx context.Context, name string) error
	Reload(ctx context.Context) error
	Close()
}

var _ engine.Guardian = (*Guardian)(nil)

// New returns the Guardian of a state folder.
func New(stateDir string) *Guardian {
	return &Guardian{
		StateDir: stateDir, Files: host.Disk{}, Booted: unit.Booted, Inside: unit.Inside,
		Units: func(ctx context.Context) (Units, error) { return unit.Connect(ctx) },
		Detach: func(argv []string) error {
			// The running binary, also where an upgrade has put another in its place.
			_, err := host.Detach("/proc/self/exe", argv...)
			return err
		},
	}
}

// Arm implements engine.Guardian.
func (g *Guardian) Arm(ctx context.Context, after time.Duration) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding vpnctl: %w", err)
	}
	argv := []string{exe, Command, "--state-dir", g.StateDir}
	if !g.Booted() {
		return g.Detach(argv)
	}
	m, err := g.Units(ctx)
	if err != nil {
		return err
	}
	defer m.Close()
	// One of an apply that went another way.
	if err := g.stop(ctx, m); err != nil {
		return err
	}
	data := fmt.Appendf(nil, text, unit.CommandLine(argv...), unit.CommandLine(exe, g.StateDir))
	if err := g.Files.Sweep(servicePath); err != nil {
		return err
	}
	if err := g.Files.Replace(servicePath, host.File{Data: data, Mode: 0o644}); err != nil {
		return fmt.Errorf("writing %s: %w", servicePath, err)
	}
	// Enabling finds no file that systemd has not read yet.
	if err := m.Reload(ctx); err != nil {
		return err
	}
	if err := m.Enable(ctx, serviceName); err != nil {
		return err
	}
	return m.StartTimer(ctx, timerName, description, after)
}

// Disarm implements engine.Guardian. A detached process sees by itself that there is
// nothing left to wait for.
func (g *Guardian) Disarm(ctx context.Context) error {
	if !g.Booted() {
		return nil
	}
	m, err := g.Units(ctx)
	if err != nil {
		return err
	}
	defer m.Close()
	errs := []error{g.stop(ctx, m), g.Files.Sweep(servicePath)}
	if _, err := g.Files.Read(servicePath); errors.Is(err, fs.ErrNotExist) {
		return errors.Join(errs...)
	}
	errs = append(errs, m.Disable(ctx, serviceName), g.Files.Remove(servicePath), m.Reload(ctx))
	return errors.Join(errs...)
}

// AtBoot implements engine.Guardian: units do it where there are units.
func (g *Guardian) AtBoot() bool { return g.Booted() }

// stop stops the units; but no process stops the one that it runs in.
func (g *Guardian) stop(ctx context.Context, m Units) error {
	err := m.StopAndWait(ctx, timerName)
	if !g.Inside(serviceName) {
		err = errors.Join(err, m.StopAndWait(ctx, serviceName))
	}
	return err
}
