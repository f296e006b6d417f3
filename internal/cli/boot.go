package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/boot"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/engine"
	"github.com/vpnctl/vpnctl/internal/state"
	"github.com/vpnctl/vpnctl/internal/topology/source"
	"github.com/vpnctl/vpnctl/internal/watch"
)

// bootCommand is what the units run. It is hidden because an operator has no use for it,
// but the one whose init is not systemd.
func (g *globals) bootCommand() *cobra.Command {
	var guard bool
	cmd := &cobra.Command{
		Use:   boot.Command,
		Short: "Bring up what was applied last, after a reboot",
		Long: `Boot brings the host to what was applied last. An apply that was cut off is undone
first. Other than apply it undoes nothing itself: what fails is left out, with what
depends on it, named by status and tried again by watch; the rest comes up. It waits
for no DNS. It exits with 1 where something is left out.

With systemd, apply sees to it that this happens: vpnctl-guard.service does what is
due before there is a network, vpnctl.service the rest. Elsewhere the host's own init
calls it: with --guard before interfaces are configured, without when they are, ahead
of strongSwan, xl2tpd and pptpd.`,
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE:   func(cmd *cobra.Command, _ []string) error { return g.boot(cmd.Context(), guard) },
	}
	cmd.Flags().BoolVar(&guard, strings.TrimPrefix(boot.GuardFlag, "--"), false, "only rules of the packet filter and settings of the kernel")
	return cmd
}

func (g *globals) boot(ctx context.Context, guard bool) error {
	w, err := g.workshop()
	if err != nil {
		return err
	}
	w.Guardian = nil // it went with the reboot
	if err := g.goBack(ctx, w); err != nil {
		return err
	}
	a, err := w.State.Applied()
	if err != nil {
		return err
	}
	if a == nil {
		g.say("nothing has been applied on this host")
		_, err := ready(guard)
		return err
	}
	left, err := g.bringUp(ctx, w, a, engine.BootRequest{Guard: guard})
	if err != nil {
		return err
	}
	for _, l := range left {
		g.say("left out: %s: %s", l.Object, l.Reason)
	}
	if len(left) == 0 {
		done := map[bool]string{true: "guarded", false: "up"}[guard]
		g.say("%s: site %s, node %s, as applied at %s", done, a.Site, a.Node, a.At.Format(time.RFC3339))
	}
	supervised, err := ready(guard)
	if err != nil {
		return err
	}
	if len(left) > 0 && supervised && !a.State.NeedsWatch() {
		// Where nobody watches there would be nobody to try again.
		watch.Again(ctx, watch.Pace{}, g.tryAgain, g.Events())
		if left, err = w.LeftOut(); err != nil {
			return err
		}
	}
	if len(left) > 0 {
		return errDiffers
	}
	return nil
}

// ready lets those start that wait for vpnctl, and reports whether there was an init to be
// told: under that, this process may stay. The guard's unit is ready when it ends.
func ready(guard bool) (supervised bool, err error) {
	if guard {
		return false, nil
	}
	supervised, err = daemon.SdNotify(true, daemon.SdNotifyReady)
	if err != nil {
		return false, fmt.Errorf("notifying systemd: %w", err)
	}
	return supervised, nil
}

// goBack undoes what was cut off, be it by the loss of power or because nobody confirmed it.
func (g *globals) goBack(ctx context.Context, w *workshop) error {
	rec, left, err := w.RevertAtBoot(ctx)
	if err != nil || rec == nil {
		return err
	}
	g.say("an apply of %s was cut off: it is undone", rec.Head.At.Format(time.RFC3339))
	for _, l := range left {
		g.say("could not be undone at boot: %s", l)
	}
	return nil
}

// bringUp boots what was applied, as it can be had today.
func (g *globals) bringUp(ctx context.Context, w *workshop, a *state.Applied, req engine.BootRequest) ([]engine.LeftOut, error) {
	req.Applied = a.State
	req.Want, req.Missing = g.today(ctx, w, a)
	return w.Boot(ctx, req)
}

// today is what was applied with the secrets that can be read now, and what lacks its own.
func (g *globals) today(ctx context.Context, w *workshop, a *state.Applied) (*desired.State, []engine.LeftOut) {
	s, err := g.loadApplied(ctx, w.vault, a)
	if err == nil {
		return s.state, nil
	}
	var all source.Errors
	if !errors.As(err, &all) {
		return a.State, []engine.LeftOut{{Kind: "topology", Object: "topology", Reason: err.Error()}}
	}
	var missing []engine.LeftOut
	for _, e := range all {
		kind, object := objectOf(e.Pos.Path)
		missing = append(missing, engine.LeftOut{Kind: kind, Object: object, Reason: e.Err.Error()})
	}
	return a.State, missing
}

// objectOf is the tunnel to which a key of the topology belongs.
func objectOf(path string) (backend.Kind, string) {
	words := strings.SplitN(path, ".", 3)
	return backend.Kind(words[0]), strings.Join(words[:min(len(words), 2)], "/")
}

// tryAgain tries what the boot has left out, and returns what that was and what is left
// out still.
func (g *globals) tryAgain(ctx context.Context) (before, left []engine.LeftOut, err error) {
	// Most of the time there is nothing, and that is all to be found out.
	if before, err = (&engine.Engine{RunDir: g.RunDir}).LeftOut(); len(before) == 0 || err != nil {
		return nil, nil, err
	}
	w, err := g.workshop()
	if err != nil {
		return before, before, err
	}
	a, err := w.State.Applied()
	if a == nil || err != nil {
		return before, before, err
	}
	left, err = g.bringUp(ctx, w, a, engine.BootRequest{Again: true})
	if err != nil {
		return before, before, err
	}
	return before, left, nil
}
