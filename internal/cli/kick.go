package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/vpnctl/vpnctl/internal/backend"
)

func (g *globals) kickCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "kick USER",
		Short: "End a user's sessions, whatever the protocol",
		Long: `Kick ends the live sessions of a user on this node. He may log in again at once: to keep
him out, take him out of the topology and apply it.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := g.open(cmd.Context())
			if err != nil {
				return err
			}
			applied, err := w.State.Applied()
			if err != nil {
				return err
			}
			var ended []backend.Session
			if applied != nil {
				ended, err = w.Kick(cmd.Context(), applied, args[0])
			}
			if printErr := g.printKicked(args[0], ended); printErr != nil {
				return printErr
			}
			return err
		},
	}
}

// printKicked says which sessions have ended.
func (g *globals) printKicked(user string, ended []backend.Session) error {
	if g.output != formatText {
		if ended == nil {
			ended = []backend.Session{}
		}
		return g.printDocument(struct {
			User     string            `json:"user"`
			Sessions []backend.Session `json:"sessions"`
		}{user, ended})
	}
	if len(ended) == 0 {
		g.print("%s has no session on this node\n", user)
	}
	for _, s := range ended {
		where := []string{string(s.Protocol) + "/" + s.Name}
		if s.Address != "" {
			where = append(where, s.Address)
		}
		g.print("ended %s of %s\n", strings.Join(where, " "), user)
	}
	return nil
}
