package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/engine"
	"github.com/vpnctl/vpnctl/internal/plan"
)

// applyFlags are the flags of everything that is an apply.
type applyFlags struct {
	dryRun    bool
	maxImpact string
	adopt     bool
	userspace bool

	allowLockout bool
	mgmt         string

	confirm time.Duration
	probes  []string
}

func (f *applyFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.dryRun, "dry-run", false, "print the plan and do nothing, as diff does")
	flags.StringVar(&f.maxImpact, "max-impact", "disrupt", "refuse a plan that costs more: none, reload or disrupt")
	flags.BoolVar(&f.allowLockout, "allow-lockout", false, "go on even if that cuts off the connection by which you are here")
	flags.StringVar(&f.mgmt, "mgmt", "", "where you are, if not where SSH says: an `ADDR` that must stay reachable")
	flags.DurationVar(&f.confirm, "confirm", 0, "go back after `DURATION` unless confirmed by vpnctl confirm")
	flags.StringArrayVar(&f.probes, "probe", nil, "confirm by itself once `P` holds for ten seconds, else go back: ping:ADDR, tcp:ADDR:PORT, handshake:NAME or ssh; repeatable")
	f.addPlanning(cmd)
	words := []string{"none", "reload", "disrupt"}
	_ = cmd.RegisterFlagCompletionFunc("max-impact", cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// addPlanning adds the flags that change what is planned, which diff has as well.
func (f *applyFlags) addPlanning(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.adopt, "adopt", false, "take over foreign objects that stand where ours must")
	cmd.Flags().BoolVar(&f.userspace, "userspace", false, "carry new WireGuard interfaces in userspace")
}

func (f *applyFlags) request(g *globals, s *site) (engine.Request, error) {
	level, ok := backend.ParseLevel(f.maxImpact)
	if !ok {
		return engine.Request{}, oneOf("max-impact", f.maxImpact, "none", "reload", "disrupt")
	}
	window, err := f.window()
	if err != nil {
		return engine.Request{}, err
	}
	if _, err := f.questions(); err != nil {
		return engine.Request{}, err
	}
	veto, err := f.veto(g)
	return engine.Request{
		Want: s.state, Record: s.record, MaxImpact: level, Veto: veto, Confirm: window,
		Options: backend.Options{Adopt: f.adopt, Userspace: f.userspace},
	}, err
}

func (g *globals) applyCommand() *cobra.Command {
	var f applyFlags
	cmd := &cobra.Command{
		Use:   "apply [FILE]",
		Short: "Converge this node; safe to run again at any time",
		Long: `Apply reads the topology, compares what it wants of this node with what the host
has, prints the plan, and changes what differs. Without FILE it applies again what
was applied last. FILE may be - for standard input.

When a step fails, or apply is interrupted, everything done so far is undone.

A plan that would cut off the SSH connection by which you are here is refused, naming
the object that would. That connection is SSH_CONNECTION's, behind sudo too; --mgmt
names another. --allow-lockout goes on all the same.

With --confirm the host goes back by itself after the time given, unless ` + "`vpnctl confirm`" + `
comes first: also when this process, the terminal and the connection are gone by then,
and when the host reboots meanwhile. With --probe, which alone means --confirm 60s, apply
waits: once all probes have held for ten seconds it confirms by itself, and where the
time ends without, it goes back and exits with 4.`,
		Example: "  vpnctl apply site.yaml\n  vpnctl apply --dry-run site.yaml\n  vpnctl apply --confirm 2m --probe ping:10.0.0.2 site.yaml",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := g.open(cmd.Context())
			if err != nil {
				return err
			}
			if done, err := g.applyUnchanged(cmd.Context(), w, &f, args); done || err != nil {
				return err
			}
			s, err := g.site(cmd.Context(), w, args)
			if err != nil {
				return err
			}
			req, err := f.request(g, s)
			if err != nil {
				return err
			}
			if f.dryRun {
				return g.assess(cmd.Context(), w, req)
			}
			req.Command, req.By = "apply", g.operator()
			return g.applyAndHold(cmd.Context(), w, &f, req, "")
		},
	}
	f.add(cmd)
	return cmd
}

// applyAndHold applies, and waits where the flags say so.
func (g *globals) applyAndHold(ctx context.Context, w *workshop, f *applyFlags, req engine.Request, shown string) error {
	probes, err := f.questions()
	if err != nil {
		return err
	}
	out, err := g.apply(ctx, w, req, shown)
	if out == nil {
		return err
	}
	if err == nil && out.Result == plan.Applied && req.Confirm > 0 {
		if err = g.hold(ctx, w, probes); isUndone(err) {
			out.Result = plan.RolledBack
		}
	}
	if g.output != formatText {
		if perr := g.printDocument(out.Plan.Document(out.Result)); err == nil {
			err = perr
		}
	}
	return err
}

// apply applies a request, and prints plan and result where they are text; a plan that was
// shown already is not printed again.
func (g *globals) apply(ctx context.Context, w *workshop, req engine.Request, shown string) (*engine.Outcome, error) {
	out, err := w.Apply(ctx, req, func(p *plan.Plan) error {
		if text := p.Text(g.palette()); g.output == formatText && text != shown {
			g.print("%s", text)
		}
		return nil
	})
	if err == nil && out.Result == plan.Applied && g.output == formatText {
		s := plan.Summarize(out.Plan.Changes())
		g.print("applied: %d created, %d updated, %d deleted in %s\n", s.Create, s.Update, s.Delete, out.Took.Round(time.Millisecond))
	}
	return out, err
}
