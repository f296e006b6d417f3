package cli

import (
	"context"
	"math"
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
(an interface, a connection, a peer or a user). With -v it adds what IPsec has agreed
on, and all certificates. With --check it exits with 1 where something that this node
keeps up is down, or a certificate has expired.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := g.open(cmd.Context())
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
	Site         *string       `json:"site"`
	Node         *string       `json:"node"`
	Healthy      bool          `json:"healthy"`
	Armed        *string       `json:"armed"`
	Interrupted  bool          `json:"interrupted"`
	LeftOut      []leftOut     `json:"left_out"`
	Servers      []server      `json:"servers"`
	Tunnels      []tunnel      `json:"tunnels"`
	Certificates []certificate `json:"certificates"`
}

// leftOut is what the boot could not bring up.
type leftOut struct {
	Object string `json:"object"`
	Reason string `json:"reason"`
}

// server is one that hands out addresses.
type server struct {
	Protocol backend.Kind `json:"protocol"`
	Name     string       `json:"name"`
	Pool     []string     `json:"pool"`
	Used     int          `json:"used"`
	Free     int          `json:"free"`
}

// certificate is one without which a tunnel does not come up.
type certificate struct {
	Protocol backend.Kind `json:"protocol"`
	Name     string       `json:"name"`
	Path     string       `json:"path"`
	Subject  string       `json:"subject"`
	NotAfter string       `json:"not_after"`
	DaysLeft int          `json:"days_left"` // whole ones; negative once it has expired
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
	IPsec         *ipsecDetail  `json:"ipsec"`
	IdleSeconds   *int64        `json:"idle_seconds"`

	handshake, since, rekey time.Time
}

// ipsecDetail is what a live CHILD_SA has beside.
type ipsecDetail struct {
	IKE     string  `json:"ike"`   // algorithms
	Child   string  `json:"child"` // protocol and algorithms
	SPIIn   string  `json:"spi_in"`
	SPIOut  string  `json:"spi_out"`
	RekeyAt *string `json:"rekey_at"`
}

// report looks at the host. Without a topology there is nothing to look at, which is no
// error: the host may have none yet.
func (g *globals) report(ctx context.Context, w *workshop, args []string) (*report, error) {
	r := &report{Healthy: true, LeftOut: []leftOut{}, Servers: []server{}, Tunnels: []tunnel{}, Certificates: []certificate{}}
	rec, err := w.Interrupted()
	if err != nil {
		return nil, err
	}
	r.Interrupted = rec != nil
	due, err := w.Armed()
	if err != nil {
		return nil, err
	}
	r.Armed = timeOf(due)
	applied, err := w.State.Applied()
	if applied == nil || err != nil {
		return r, err
	}
	r.Site, r.Node = &applied.Site, &applied.Node
	left, err := w.LeftOut()
	if err != nil {
		return nil, err
	}
	for _, l := range left {
		r.LeftOut, r.Healthy = append(r.LeftOut, leftOut{l.Object, l.Reason}), false
	}
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
	if err := g.addServers(ctx, w, applied, r, args); err != nil {
		return nil, err
	}
	if len(args) > 0 && !found && len(r.Servers) == 0 {
		return nil, unknownTunnel(args[0], applied)
	}
	return r, nil
}

// addServers adds what status says beside the tunnels: of a named one what is its own.
func (g *globals) addServers(ctx context.Context, w *workshop, applied *state.Applied, r *report, args []string) error {
	servers, err := w.Servers(ctx, applied)
	if err != nil {
		return err
	}
	for _, s := range servers {
		if len(args) == 0 || args[0] == s.Name {
			r.Servers = append(r.Servers, server(s))
		}
	}
	certificates, err := w.Certificates(ctx, applied)
	if err != nil {
		return err
	}
	for _, c := range certificates {
		if len(args) > 0 && args[0] != c.Name {
			continue
		}
		left := c.NotAfter.Sub(g.Now())
		r.Certificates = append(r.Certificates, certificate{
			Protocol: c.Protocol, Name: c.Name, Path: c.Path, Subject: c.Subject,
			NotAfter: c.NotAfter.UTC().Format(time.RFC3339), DaysLeft: int(math.Floor(left.Hours() / 24)),
		})
		r.Healthy = r.Healthy && left > 0
	}
	return nil
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
		RxBytes: t.RxBytes, TxBytes: t.TxBytes, IPsec: detailOf(t.IPsec), IdleSeconds: seconds(t.Idle),
		handshake: t.LastHandshake, since: t.Since, rekey: rekeyOf(t.IPsec),
	}
}

func detailOf(d *backend.IPsecDetail) *ipsecDetail {
	if d == nil {
		return nil
	}
	return &ipsecDetail{IKE: d.IKE, Child: d.Child, SPIIn: d.SPIIn, SPIOut: d.SPIOut, RekeyAt: timeOf(d.RekeyAt)}
}

func seconds(d *time.Duration) *int64 {
	if d == nil {
		return nil
	}
	return new(int64(*d / time.Second))
}

func rekeyOf(d *backend.IPsecDetail) time.Time {
	if d == nil {
		return time.Time{}
	}
	return d.RekeyAt
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
