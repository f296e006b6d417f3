package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/engine"
	"github.com/vpnctl/vpnctl/internal/eventlog"
	"github.com/vpnctl/vpnctl/internal/guardian"
	"github.com/vpnctl/vpnctl/internal/probe"
)

// The window of --confirm: what --probe alone means, and the least that leaves time to
// answer.
const (
	probeWindow = time.Minute
	leastWindow = time.Second
)

// window is how long the apply waits to be confirmed; 0 is not at all.
func (f *applyFlags) window() (time.Duration, error) {
	switch {
	case f.confirm == 0 && len(f.probes) > 0:
		return probeWindow, nil
	case f.confirm != 0 && f.confirm < leastWindow:
		return 0, usagef("--confirm: %v is too short to confirm anything; give 1s or more", f.confirm)
	}
	return f.confirm, nil
}

// questions are the probes.
func (f *applyFlags) questions() ([]probe.Probe, error) {
	var all []probe.Probe
	for _, text := range f.probes {
		p, err := probe.Parse(text)
		if err != nil {
			return nil, usagef("--probe: %w", err)
		}
		all = append(all, p)
	}
	return all, nil
}

func (g *globals) confirmCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "confirm",
		Short: "Keep what `apply --confirm` did",
		Long: `Confirm keeps what an apply with --confirm or --probe did, which goes back by itself
otherwise. Where none waits, or its time is over, it exits with 3.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			w, err := g.open(cmd.Context())
			if err != nil {
				return err
			}
			if err := w.Confirm(cmd.Context()); err != nil {
				return err
			}
			g.print("confirmed\n")
			return nil
		},
	}
}

// hold tells how long what was applied stands. With probes it waits for what they say.
func (g *globals) hold(ctx context.Context, w *workshop, probes []probe.Probe) error {
	due, err := w.Armed()
	if due.IsZero() || err != nil {
		return err
	}
	say := g.say
	if g.output == formatText {
		say = func(format string, args ...any) { g.print(format+"\n", args...) }
	}
	say("armed: goes back at %s (in %v) unless `vpnctl confirm` comes first", due.UTC().Format(time.RFC3339), due.Sub(g.Now()).Round(time.Second))
	if len(probes) == 0 {
		return nil
	}
	wait, cancel := context.WithTimeout(ctx, due.Sub(g.Now())-probeMargin)
	defer cancel()
	stamp := w.State.Stamp()
	err = probe.Wait(wait, probes, g.probeHost(w), g.ProbePace)
	if err == nil {
		err = w.Confirm(ctx)
	}
	if err == nil {
		say("confirmed: all probes hold")
		return nil
	}
	rec, rerr := w.Revert(context.WithoutCancel(ctx), "a probe did not hold")
	switch {
	case rerr != nil:
		return rerr
	case rec == nil && w.State.Stamp() == stamp:
		say("confirmed meanwhile, by somebody else") // who goes back writes anew what was applied
		return nil
	}
	return &engine.UndoneError{Err: err}
}

// isUndone reports whether an error leaves the host as it was.
func isUndone(err error) bool {
	var undone *engine.UndoneError
	return errors.As(err, &undone)
}

// probeMargin is how long before the deadline the waiting ends, so that apply goes back
// itself and can say so.
const probeMargin = 200 * time.Millisecond

// probeHost answers what is not on the wire.
func (g *globals) probeHost(w *workshop) probe.Host {
	h := probe.Host{Up: func(ctx context.Context, name string) error { return g.tunnelUp(ctx, w, name) }}
	if c, ok := g.management(); ok && c.Local.IsValid() && c.Remote.IsValid() {
		h.SSH = probe.Passes(c.Local, c.Remote, func() { g.say("waiting for the probes") })
	}
	return h
}

// tunnelUp reports whether a tunnel, or a peer, of that name is up.
func (g *globals) tunnelUp(ctx context.Context, w *workshop, name string) error {
	applied, err := w.State.Applied()
	if err != nil {
		return err
	}
	if applied == nil {
		return errors.New("nothing is applied")
	}
	tunnels, err := w.Status(ctx, applied)
	if err != nil {
		return err
	}
	found := false
	for _, t := range tunnels {
		if !named(t, name) {
			continue
		}
		found = true
		if t.State != backend.Up {
			return fmt.Errorf("is %s", t.State)
		}
	}
	if !found {
		return errors.New("there is no tunnel or peer of that name")
	}
	return nil
}

// revertPoll is how often the guardian looks whether there is still something to wait for.
const revertPoll = 500 * time.Millisecond

// revertCommand is what guards an apply that is armed, in a process of its own.
func (g *globals) revertCommand() *cobra.Command {
	return &cobra.Command{
		Use: guardian.Command, Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return g.guard(cmd.Context(), g.Events()) },
	}
}

// guard waits until an armed apply is confirmed, or goes back.
func (g *globals) guard(ctx context.Context, log *eventlog.Log) error {
	w, err := g.workshop()
	if err != nil {
		return err
	}
	rebooted, err := w.Rebooted()
	if err != nil {
		return err
	}
	if rebooted {
		// What was there before may include units that this boot has not started.
		return errors.Join(g.boot(ctx, false), w.Guardian.Disarm(ctx))
	}
	if _, err := ready(false); err != nil {
		return err
	}
	for {
		due, err := w.Armed()
		if err != nil {
			return err
		}
		if due.IsZero() {
			return w.Guardian.Disarm(ctx) // somebody may have died doing so
		}
		if left := due.Sub(g.Now()); left > 0 {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(min(left, revertPoll)):
			}
			continue
		}
		rec, err := w.RevertDue(ctx)
		var locked *engine.LockedError
		switch {
		case errors.As(err, &locked):
			continue // an apply that goes on has its deadline later
		case err != nil:
			log.Errorf("going back: %v", err)
			return err
		case rec != nil:
			log.Warnf("went back to what was applied before: it was not confirmed in time")
		}
	}
}
