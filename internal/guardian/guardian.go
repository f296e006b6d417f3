// Package guardian carries the way back of an apply that waits to be confirmed, outside of
// the process that made it: a timer of systemd's, or where that does not run a process of
// its own.
package guardian

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/vpnctl/vpnctl/internal/engine"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/unit"
)

// Command is the subcommand that waits and goes back.
const Command = "revert"

// The units. There is one apply on a host that waits.
const (
	timerName   = "vpnctl-revert.timer"
	serviceName = "vpnctl-revert.service"
)

// Guardian is that of the real host.
type Guardian struct {
	// StateDir is the state folder of who waits.
	StateDir string
	// Booted reports whether systemd runs.
	Booted func() bool
	// Timers drives it.
	Timers func(ctx context.Context) (Timers, error)
	// Detach starts a process that outlives this one.
	Detach func(argv []string) error
}

// Timers are systemd's; see unit.Manager.
type Timers interface {
	StartTimer(ctx context.Context, timer string, s unit.Service, after time.Duration) error
	StopAndWait(ctx context.Context, name string) error
	Close()
}

var _ engine.Guardian = (*Guardian)(nil)

// New returns the Guardian of a state folder.
func New(stateDir string) *Guardian {
	return &Guardian{
		StateDir: stateDir, Booted: unit.Booted,
		Timers: func(ctx context.Context) (Timers, error) { return unit.Connect(ctx) },
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
	m, err := g.Timers(ctx)
	if err != nil {
		return err
	}
	defer m.Close()
	// One of an apply that went another way.
	if err := stop(ctx, m); err != nil {
		return err
	}
	return m.StartTimer(ctx, timerName, unit.Service{
		Name: serviceName, Description: "vpnctl: go back to what was applied before, unless confirmed", Args: argv, Identifier: "vpnctl",
	}, after)
}

// Disarm implements engine.Guardian. A detached process sees by itself that there is
// nothing left to wait for.
func (g *Guardian) Disarm(ctx context.Context) error {
	if !g.Booted() {
		return nil
	}
	m, err := g.Timers(ctx)
	if err != nil {
		return err
	}
	defer m.Close()
	return stop(ctx, m)
}

// AtBoot implements engine.Guardian: units do it where there are units.
func (g *Guardian) AtBoot() bool { return g.Booted() }

func stop(ctx context.Context, m Timers) error {
	return errors.Join(m.StopAndWait(ctx, timerName), m.StopAndWait(ctx, serviceName))
}
