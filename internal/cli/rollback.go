package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/vpnctl/vpnctl/internal/state"
)

func (g *globals) rollbackCommand() *cobra.Command {
	var f applyFlags
	cmd := &cobra.Command{
		Use:   "rollback [N]",
		Short: "Apply an earlier topology again, or undo an apply that was cut off",
		Long: `Rollback applies what history has under number N; without N, the last topology that is
older and other than today's. A second rollback goes one further. Where an apply was
cut off, or waits to be confirmed, rollback without N undoes what it had done.

Secrets in files are today's; those that a topology carried itself were kept.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := g.open(cmd.Context())
			if err != nil {
				return err
			}
			if len(args) == 0 && !f.dryRun {
				if done, err := g.revert(cmd.Context(), w); done || err != nil {
					return err
				}
			}
			p, texts, err := target(w, args)
			if err != nil {
				return err
			}
			s, err := g.loadApplied(cmd.Context(), w.vault, p.Applied(texts))
			if err != nil {
				return err
			}
			req, err := f.request(g, s)
			if err != nil {
				return err
			}
			req.Command, req.Target, req.By = "rollback", p.Number, g.operator()
			if f.dryRun {
				return g.assess(cmd.Context(), w, req)
			}
			g.say("rolling back to %d, applied at %s from %s", p.Number, p.At.UTC().Format(time.RFC3339), p.File)
			return g.applyAndHold(cmd.Context(), w, &f, req, "")
		},
	}
	f.add(cmd)
	return cmd
}

// revert undoes an apply that was cut off or is armed; it reports false where there is none.
func (g *globals) revert(ctx context.Context, w *workshop) (bool, error) {
	if w.back {
		return true, nil // one further would be one too many
	}
	cutOff, err := w.Interrupted()
	if err != nil {
		return false, err
	}
	if due, err := w.Armed(); cutOff == nil && due.IsZero() || err != nil {
		return false, err
	}
	rec, err := w.Revert(ctx, "it was rolled back")
	if rec != nil && err == nil {
		g.print("undone: %s begun at %s\n", count(len(rec.Entries), "step"), rec.Head.At.Format(time.RFC3339))
	}
	return rec != nil, err
}

// target finds what to roll back to.
func target(w *workshop, args []string) (state.Past, state.Texts, error) {
	if len(args) > 0 {
		p, texts, err := pastOf(w, args[0])
		if err == nil && !p.Kept() {
			err = usagef("entry %d of history never took effect: %s", p.Number, p.Error)
		}
		return p, texts, err
	}
	past, err := w.State.History()
	if err != nil {
		return state.Past{}, state.Texts{}, err
	}
	applied, err := w.State.Applied()
	if err != nil {
		return state.Past{}, state.Texts{}, err
	}
	for n := position(past) - 1; n >= 1; n-- {
		p, texts, err := w.State.Past(n)
		if err != nil || !p.Kept() {
			continue // pruned, or never in effect
		}
		if applied == nil || texts.Topology != applied.Topology {
			return p, texts, nil
		}
	}
	return state.Past{}, state.Texts{}, usagef("history has no earlier topology to go back to")
}

// position is the entry that holds what is applied now: after a rollback the one that was
// gone back to, so that the next goes one further.
func position(past []state.Past) int {
	for i := len(past) - 1; i >= 0; i-- {
		if p := &past[i]; p.Kept() && p.Target != 0 {
			return p.Target
		} else if p.Kept() {
			return p.Number
		}
	}
	return 0
}
