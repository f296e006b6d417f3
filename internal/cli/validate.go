package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/topology"
	"github.com/vpnctl/vpnctl/internal/topology/source"
)

// verdict is the JSON of validate.
type verdict struct {
	File     string   `json:"file"`
	Valid    bool     `json:"valid"`
	Site     *string  `json:"site"`
	Nodes    []string `json:"nodes"`
	Warnings []string `json:"warnings"`
	Errors   []string `json:"errors"`
}

func (g *globals) validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate FILE",
		Short: "Check a topology for all its nodes, without looking at the host",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			d, err := g.readTopology(args[0])
			if err == nil {
				err = deriveAll(d.Topology)
			}
			if g.output == formatText {
				if err == nil {
					g.print("%s: valid: site %s, %s, %s\n", nameOf(args[0]), d.Site, count(len(d.Nodes), "node"), count(len(d.warnings), "warning"))
				}
				return err
			}
			if perr := g.printDocument(verdictOf(nameOf(args[0]), d.Topology, d.warnings, err)); perr != nil {
				return perr
			}
			return err
		},
	}
}

// deriveAll derives every node's state without its secrets.
func deriveAll(t *topology.Topology) error {
	for i := range t.Nodes {
		if _, err := desired.Derive(t, t.Nodes[i].Name, desired.Masked); err != nil {
			return &usageError{err}
		}
	}
	return nil
}

func verdictOf(file string, t *topology.Topology, warnings []string, err error) verdict {
	v := verdict{File: file, Valid: err == nil, Nodes: []string{}, Warnings: []string{}, Errors: []string{}}
	v.Warnings = append(v.Warnings, warnings...)
	if t != nil {
		v.Site = &t.Site
		for i := range t.Nodes {
			v.Nodes = append(v.Nodes, t.Nodes[i].Name)
		}
	}
	var list source.Errors
	switch {
	case errors.As(err, &list):
		for _, e := range list {
			v.Errors = append(v.Errors, e.Error())
		}
	case err != nil:
		v.Errors = append(v.Errors, err.Error())
	}
	return v
}

// count writes a number of things.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
