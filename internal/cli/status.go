package cli

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/state"
)

// watchEvery is how often status --watch looks again.
const watchEvery = 2 * time.Second

func (g *globals) statusCommand() *cobra.Command {
	var watch, check bool
	cmd := &cobra.Command{
		Use:   "status [NAME]",
		Short: "Show every tunnel: what is up, for whom, since when, and why something is not",
		Long: `Status prints the live state of every tunnel, of those called NAME where one is given
(an interface, a connection or a peer). With --check it exits with 1 where something
that this node keeps up is down.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := g.open()
			if err != nil {
				return err
			}
			for {
				r, err := g.report(cmd.Context(), w, args)
				if err != nil {
					return err
				}
				if watch && g.output == formatText && g.Terminal {
					g.print("\x1b[H\x1b[2J") // home, and clear the screen
				}
				if err := g.printReport(r); err != nil {
					return err
				}
				if !watch {
					return checked(r, check)
				}
				select {
				case <-cmd.Context().Done():
					return nil
				case <-time.After(watchEvery):
				}
			}
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "go on until interrupted")
	cmd.Flags().BoolVar(&check, "check", false, "exit with 1 where something is down")
	return cmd
}

func checked(r *report, check bool) error {
	if check && !r.Healthy {
		return errDiffers
	}
	return nil
}

// report is the JSON of status. Fields are only ever added; one that does not apply is
// null.
type report struct {
	Site        *string  `json:"site"`
	Node        *string  `json:"node"`
	Healthy     bool     `json:"healthy"`
	Armed       *string  `json:"armed"`
	Interrupted bool     `json:"interrupted"`
	Servers     []server `json:"servers"`
	Tunnels     []tunnel `json:"tunnels"`
}

// server is one that hands out addresses.
type server struct {
	Protocol backend.Kind `json:"protocol"`
	Name     string       `json:"name"`
	Pool     []string     `json:"pool"`
	Used     int          `json:"used"`
	Free     int          `json:"free"`
}

type tunnel struct {
	Protocol      backend.Kind  `json:"protocol"`
	Name          string        `json:"name"`
	Child         *string       `json:"child"`
	Peer          *string       `json:"peer"`
	State         backend.State `json:"state"`
	Reason        *string       `json:"reason"`
	Backend       *string       `json:"backend"`
	Interface     *string       `json:"interface"`
	Local         *string       `json:"local"`
	Remote        *string       `json:"remote"`
	Endpoint      *string       `json:"endpoint"`
	Addresses     []string      `json:"addresses"`
	User          *string       `json:"user"`
	Since         *string       `json:"since"`
	LastHandshake *string       `json:"last_handshake"`
	RxBytes       *uint64       `json:"rx_bytes"`
	TxBytes       *uint64       `json:"tx_bytes"`

	handshake time.Time
}

// report looks at the host. Without a topology there is nothing to look at, which is no
// error: the host may have none yet.
func (g *globals) report(ctx context.Context, w *workshop, args []string) (*report, error) {
	r := &report{Healthy: true, Servers: []server{}, Tunnels: []tunnel{}}
	rec, err := w.Interrupted()
	if err != nil {
		return nil, err
	}
	r.Interrupted = rec != nil
	applied, err := w.State.Applied()
	if applied == nil || err != nil {
		return r, err
	}
	r.Site, r.Node = &applied.Site, &applied.Node
	tunnels, err := w.Status(ctx, applied)
	if err != nil {
		return nil, err
	}
	found := false
	for _, t := range tunnels {
		if len(args) > 0 && !named(t, args[0]) {
			continue
		}
		found = true
		r.Tunnels = append(r.Tunnels, tunnelOf(t))
		r.Healthy = r.Healthy && t.State != backend.Down
	}
	if len(args) > 0 && !found {
		return nil, unknownTunnel(args[0], applied)
	}
	return r, nil
}

func named(t backend.Tunnel, name string) bool {
	return t.Name == name || t.Child == name || t.Peer == name || t.User == name
}

func unknownTunnel(name string, a *state.Applied) error {
	return usagef("%q: site %s has no tunnel or peer of that name on node %s", name, a.Site, a.Node)
}

func tunnelOf(t backend.Tunnel) tunnel {
	return tunnel{
		Protocol: t.Protocol, Name: t.Name, Child: optional(t.Child), Peer: optional(t.Peer), State: t.State,
		Reason: optional(t.Reason), Backend: optional(t.Backend), Interface: optional(t.Interface),
		Local: optional(t.Local), Remote: optional(t.Remote), Endpoint: optional(t.Endpoint), Addresses: t.Addresses,
		User: optional(t.User), Since: timeOf(t.Since), LastHandshake: timeOf(t.LastHandshake),
		RxBytes: t.RxBytes, TxBytes: t.TxBytes, handshake: t.LastHandshake,
	}
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func timeOf(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	return optional(t.UTC().Format(time.RFC3339))
}

func (g *globals) printReport(r *report) error {
	if g.output != formatText {
		return g.printDocument(r)
	}
	if r.Site == nil {
		g.print("no topology has been applied on this host\n")
		return nil
	}
	g.print("site %s, node %s: %s\n", *r.Site, *r.Node, health(r))
	if len(r.Tunnels) == 0 {
		return nil
	}
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	if _, err := fmt.Fprintln(tw, "TUNNEL\tPEER\tSTATE\tENDPOINT\tHANDSHAKE\tRX\tTX\tVIA"); err != nil {
		return err
	}
	for _, t := range r.Tunnels {
		row := []string{
			string(t.Protocol) + "/" + t.Name, text(t.Peer), string(t.State), endpointOf(t),
			age(g.Now(), t.handshake), size(t.RxBytes), size(t.TxBytes), text(t.Backend),
		}
		if _, err := fmt.Fprintln(tw, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	g.print("%s", b.String())
	g.printReasons(r)
	return nil
}

// printReasons says why something is not up, below the table: a column for it would be
// too wide for a terminal.
func (g *globals) printReasons(r *report) {
	for _, t := range r.Tunnels {
		if t.Reason != nil {
			g.print("%s/%s/%s: %s\n", t.Protocol, t.Name, text(t.Peer), *t.Reason)
		}
	}
}

func health(r *report) string {
	down := 0
	for _, t := range r.Tunnels {
		if t.State == backend.Down {
			down++
		}
	}
	switch {
	case r.Interrupted:
		return "an apply was cut off"
	case down > 0:
		return fmt.Sprintf("%d of %d tunnels down", down, len(r.Tunnels))
	}
	return "healthy"
}

// endpointOf is where the peer is now, else where it is dialled.
func endpointOf(t tunnel) string {
	if t.Remote != nil {
		return *t.Remote
	}
	return text(t.Endpoint)
}

func text(s *string) string {
	if s == nil {
		return "-"
	}
	return *s
}

// age is how long ago something was, in the two largest units.
func age(now, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	d := max(now.Sub(t), 0).Truncate(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds ago", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%dm ago", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd ago", int(d.Hours())/24)
}

// size is a number of bytes in the unit that suits it.
func size(n *uint64) string {
	if n == nil {
		return "-"
	}
	v, unit := float64(*n), 0
	for v >= 1024 && unit < 5 {
		v /= 1024
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", *n)
	}
	return fmt.Sprintf("%.1f %ciB", v, "KMGTP"[unit-1])
}
