package cli

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/engine"
)

func (g *globals) destroyCommand() *cobra.Command {
	var f applyFlags
	var yes, keep bool
	cmd := &cobra.Command{
		Use:   "destroy",
		Short: "Remove everything that vpnctl owns on this host",
		Long: `Destroy removes what vpnctl made, puts back what it found before the first apply,
and then removes its own state folder. It is an apply of nothing, with the same plan
and the same undo.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			w, err := g.open(cmd.Context())
			if err != nil {
				return err
			}
			s, err := g.nothing(w)
			if err != nil || s == nil {
				return err
			}
			req, err := f.request(g, s)
			if err != nil {
				return err
			}
			req.KeepHistory = keep
			if f.dryRun {
				return g.assess(cmd.Context(), w, req)
			}
			shown := ""
			if !yes {
				if shown, err = g.agree(cmd.Context(), w, req); err != nil {
					return err
				}
			}
			if err := g.applyAndHold(cmd.Context(), w, &f, req, shown); err != nil {
				return err
			}
			sweep(g.RunDir)
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&keep, "keep-history", false, "leave the history of earlier applies in the state folder")
	return cmd
}

// nothing is the site of a destroy: its name, and no more. Nil means that nothing was
// ever applied here.
func (g *globals) nothing(w *workshop) (*site, error) {
	applied, err := w.State.Applied()
	if err != nil {
		return nil, err
	}
	if applied != nil {
		return &site{state: &desired.State{Site: applied.Site, Node: applied.Node}}, nil
	}
	rec, err := w.State.Interrupted()
	if err != nil {
		return nil, err
	}
	if rec != nil && rec.Head.Site != "" {
		return &site{state: &desired.State{Site: rec.Head.Site, Node: rec.Head.Node}}, nil
	}
	g.say("nothing has been applied on this host")
	return nil, nil
}

// agree shows what would go and asks; it returns the plan that was agreed to.
func (g *globals) agree(ctx context.Context, w *workshop, req engine.Request) (string, error) {
	if !g.Terminal || g.output != formatText {
		return "", usagef("destroy asks on a terminal; say --yes here")
	}
	a, err := w.Assess(ctx, req)
	if err != nil {
		return "", err
	}
	text := a.Plan.Text(g.palette())
	g.print("%s", text)
	if a.Refused != nil {
		return "", a.Refused
	}
	_, _ = fmt.Fprintf(g.Stderr, "remove all of this from %s? [y/N] ", req.Want.Node)
	answer, _ := bufio.NewReader(g.Stdin).ReadString('\n') // no answer is a no
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return text, nil
	}
	return "", backend.Refuse("destroy", "", "you said no; nothing was changed")
}
