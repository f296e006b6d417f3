package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/vpnctl/vpnctl/internal/state"
)

func (g *globals) historyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "history",
		Short: "List what was applied on this host: when, by whom, with what result",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			w, err := g.open(cmd.Context())
			if err != nil {
				return err
			}
			past, err := w.State.History()
			if err != nil {
				return err
			}
			return g.printHistory(past)
		},
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "show N",
		Short: "Print one entry: its plan, and the topology without its secrets",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := g.open(cmd.Context())
			if err != nil {
				return err
			}
			p, texts, err := pastOf(w, args[0])
			if err != nil {
				return err
			}
			return g.printPast(&p, texts)
		},
	})
	return cmd
}

// pastOf finds an entry by what the command line calls it.
func pastOf(w *workshop, arg string) (state.Past, state.Texts, error) {
	n, err := strconv.Atoi(arg)
	if err != nil || n < 1 {
		return state.Past{}, state.Texts{}, usagef("%q is no number of an entry; vpnctl history lists them", arg)
	}
	p, texts, err := w.State.Past(n)
	if errors.Is(err, fs.ErrNotExist) {
		return p, texts, usagef("history has no entry %d; vpnctl history lists them", n)
	}
	return p, texts, err
}

// entry is the JSON of one entry of history.
type entry struct {
	Number   int     `json:"number"`
	At       *string `json:"at"`
	Seconds  float64 `json:"seconds"`
	Command  string  `json:"command"`
	Target   *int    `json:"target"`
	Result   string  `json:"result"`
	Error    *string `json:"error"`
	User     *string `json:"user"`
	From     *string `json:"from"`
	Site     string  `json:"site"`
	Node     string  `json:"node"`
	File     string  `json:"file"`
	Create   int     `json:"create"`
	Update   int     `json:"update"`
	Delete   int     `json:"delete"`
	Sessions int     `json:"sessions"`
	Plan     *string `json:"plan"`
	Topology *string `json:"topology"`
}

func entryOf(p *state.Past) entry {
	e := entry{
		Number: p.Number, At: timeOf(p.At), Seconds: p.Took.Seconds(), Command: p.Command, Result: p.Result,
		Error: optional(p.Error), User: optional(p.By.User), From: optional(p.By.From), Site: p.Site, Node: p.Node,
		File: p.File, Create: p.Create, Update: p.Update, Delete: p.Delete, Sessions: p.Lost,
	}
	if p.Target != 0 {
		e.Target = &p.Target
	}
	return e
}

func (g *globals) printHistory(past []state.Past) error {
	if g.output != formatText {
		doc := []entry{}
		for i := range past {
			doc = append(doc, entryOf(&past[i]))
		}
		return g.printDocument(doc)
	}
	if len(past) == 0 {
		g.print("history is empty\n")
		return nil
	}
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	rows := []string{"N\tWHEN\tBY\tDID\tRESULT\tCHANGES\tSESSIONS LOST"}
	for i := range past {
		p := &past[i]
		rows = append(rows, fmt.Sprintf("%d\t%s\t%s\t%s\t%s\t+%d ~%d -%d\t%d", p.Number, p.At.UTC().Format(time.RFC3339),
			by(p.By), did(p), p.Result, p.Create, p.Update, p.Delete, p.Lost))
	}
	if _, err := fmt.Fprintln(tw, strings.Join(rows, "\n")); err != nil {
		return err
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	g.print("%s", b.String())
	return nil
}

func by(w state.Who) string {
	if w.From == "" {
		return text(optional(w.User))
	}
	return w.User + "@" + w.From
}

func did(p *state.Past) string {
	if p.Target != 0 {
		return fmt.Sprintf("%s %d", p.Command, p.Target)
	}
	return p.Command
}

func (g *globals) printPast(p *state.Past, t state.Texts) error {
	if g.output != formatText {
		e := entryOf(p)
		e.Plan, e.Topology = &t.Plan, &t.Topology
		return g.printDocument(e)
	}
	g.print("%d: %s of %s on node %s at %s by %s: %s in %s\n", p.Number, did(p), p.File, p.Node,
		p.At.UTC().Format(time.RFC3339), by(p.By), p.Result, p.Took.Round(time.Millisecond))
	if p.Error != "" {
		g.print("error: %s\n", p.Error)
	}
	g.print("\n%s\n%s", t.Plan, t.Topology)
	return nil
}
