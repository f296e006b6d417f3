package cli

import (
	"context"
	"fmt"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/vpnctl/vpnctl/internal/engine"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/state"
	"github.com/vpnctl/vpnctl/internal/watch"
)

func (g *globals) watchCommand() *cobra.Command {
	return &cobra.Command{
		Use:   watch.Command,
		Short: "Stay in the foreground and do what daemons leave undone",
		Long: `Watch looks endpoints up again whose peers are silent, puts the guards against clear
text back when somebody flushed them, brings up the tunnels that charon gave up,
tries again what a boot had to leave out, and goes back where an apply with --confirm was
not confirmed and nobody else has done so.
What it does, it says in the system's log as vpnctl.

Apply starts it by itself where the topology needs it, so that nobody has to call it
but a container's supervisor. It ends on SIGTERM. There is one on a host.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return g.watch(cmd.Context()) },
	}
}

// revertLate goes back where the guardian of an armed apply has died.
func (g *globals) revertLate(ctx context.Context) (bool, error) {
	w, err := g.workshop()
	if err != nil {
		return false, err
	}
	rec, _, err := w.RevertLate(ctx)
	return rec != nil, err
}

// watch watches until ctx ends.
func (g *globals) watch(ctx context.Context) error {
	dir := &state.Dir{Path: g.stateDir, Files: host.Disk{}}
	if err := dir.Check(); err != nil {
		return err
	}
	claim, err := watch.Take(g.RunDir)
	if err != nil {
		return err
	}
	defer claim.Release()
	if _, err := daemon.SdNotify(true, daemon.SdNotifyReady); err != nil {
		return fmt.Errorf("notifying systemd: %w", err)
	}
	loop := watch.Loop{State: dir, Log: g.Events(), Again: g.tryAgain, Due: g.revertLate, Open: func() (*engine.Engine, error) {
		w, err := g.workshop()
		if err != nil {
			return nil, err
		}
		return w.Engine, nil
	}}
	loop.Run(ctx)
	return nil
}
