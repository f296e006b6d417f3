package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/vpnctl/vpnctl/internal/engine"
	"github.com/vpnctl/vpnctl/internal/plan"
)

func (g *globals) diffCommand() *cobra.Command {
	f := applyFlags{maxImpact: "disrupt", dryRun: true}
	cmd := &cobra.Command{
		Use:   "diff [FILE]",
		Short: "Show what apply would change, and which live sessions it would cost",
		Long: `Diff prints the plan of an apply and does nothing. Without FILE it compares the host
with what was applied last, and so shows drift. It exits with 1 where there are
differences, and with 3 where apply would be refused.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := g.open(cmd.Context())
			if err != nil {
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
			return g.assess(cmd.Context(), w, req)
		},
	}
	f.addPlanning(cmd)
	return cmd
}

// assess prints the plan. That the host refuses weighs more than that there are
// differences.
func (g *globals) assess(ctx context.Context, w *workshop, req engine.Request) error {
	a, err := w.Assess(ctx, req)
	if err != nil {
		return err
	}
	if err := g.printPlan(a.Plan); err != nil {
		return err
	}
	switch {
	case a.Refused != nil:
		return a.Refused
	case !a.Plan.Empty():
		return errDiffers
	}
	return nil
}

func (g *globals) printPlan(p *plan.Plan) error {
	if g.output == formatText {
		g.print("%s", p.Text(g.palette()))
		return nil
	}
	result := plan.Planned
	if p.Empty() {
		result = plan.Unchanged
	}
	return g.printDocument(p.Document(result))
}
