package cli

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
)

func (g *globals) printReport(r *report) error {
	if g.output != formatText {
		return g.printDocument(r)
	}
	if r.Site == nil {
		g.print("no topology has been applied on this host\n")
		return nil
	}
	g.print("site %s, node %s: %s\n", *r.Site, *r.Node, health(r))
	if r.Armed != nil {
		g.print("armed: goes back at %s unless confirmed\n", *r.Armed)
	}
	// A tunnel of WireGuard has peers and handshakes, one of IPsec who logged in and since
	// when, one of PPP an interface of its own, too.
	peers := table{{"TUNNEL", "PEER", "STATE", "ENDPOINT", "HANDSHAKE", "RX", "TX", "VIA"}}
	sessions := table{{"TUNNEL", "PEER", "USER", "ADDRESSES", "STATE", "ENDPOINT", "SINCE", "RX", "TX", "VIA"}}
	dialled := table{{"TUNNEL", "USER", "ADDRESSES", "INTERFACE", "STATE", "ENDPOINT", "SINCE", "IDLE", "RX", "TX"}}
	for _, t := range r.Tunnels {
		if t.Protocol == backend.WireGuard {
			peers = append(peers, []string{
				string(t.Protocol) + "/" + t.Name, text(t.Peer), string(t.State), endpointOf(t),
				age(g.Now(), t.handshake), size(t.RxBytes), size(t.TxBytes), text(t.Backend),
			})
			continue
		}
		if t.Protocol == backend.L2TP || t.Protocol == backend.PPTP {
			dialled = append(dialled, []string{
				nameOfChild(t), text(t.User), innerOf(t), text(t.Interface), string(t.State), endpointOf(t),
				age(g.Now(), t.since), idleOf(t), size(t.RxBytes), size(t.TxBytes),
			})
			continue
		}
		sessions = append(sessions, []string{
			nameOfChild(t), text(t.Peer), text(t.User), innerOf(t), string(t.State), endpointOf(t),
			age(g.Now(), t.since), size(t.RxBytes), size(t.TxBytes), text(t.Backend),
		})
	}
	for _, t := range []table{peers, sessions, dialled} {
		if err := g.printTable(t); err != nil {
			return err
		}
	}
	g.printReasons(r)
	g.printServers(r)
	return nil
}

// table is a heading and the rows below it.
type table [][]string

// printTable prints a table that has rows.
func (g *globals) printTable(t table) error {
	if len(t) == 1 {
		return nil
	}
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range t {
		if _, err := fmt.Fprintln(tw, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	g.print("%s", b.String())
	return nil
}

// nameOfChild names a tunnel by its child, where that has a name of its own.
func nameOfChild(t tunnel) string {
	name := string(t.Protocol) + "/" + t.Name
	if t.Child != nil && *t.Child != t.Name {
		name += "/" + *t.Child
	}
	return name
}

// titleOf names a tunnel below the table, where there are no columns beside it.
func titleOf(t tunnel) string {
	if t.Protocol == backend.WireGuard {
		return string(t.Protocol) + "/" + t.Name + "/" + text(t.Peer)
	}
	if t.User != nil {
		return nameOfChild(t) + "/" + *t.User
	}
	return nameOfChild(t)
}

func innerOf(t tunnel) string {
	if len(t.Addresses) == 0 {
		return "-"
	}
	return strings.Join(t.Addresses, ",")
}

func idleOf(t tunnel) string {
	if t.IdleSeconds == nil {
		return "-"
	}
	return units(time.Duration(*t.IdleSeconds) * time.Second)
}

// soon is how many days ahead an end of a certificate is told unasked.
const soon = 30

// printServers prints what is no tunnel: pools, what IPsec has agreed on, and certificates
// that end soon.
func (g *globals) printServers(r *report) {
	for _, t := range r.Tunnels {
		if d := t.IPsec; d != nil && g.verbose {
			g.print("%s: IKE %s; %s; SPIs %s in, %s out", titleOf(t), d.IKE, d.Child, d.SPIIn, d.SPIOut)
			if !t.rekey.IsZero() {
				g.print("; next rekey in %s", units(t.rekey.Sub(g.Now())))
			}
			g.print("\n")
		}
	}
	for _, s := range r.Servers {
		g.print("server %s/%s: %d of %d addresses in use (%s)\n", s.Protocol, s.Name, s.Used, s.Used+s.Free, strings.Join(s.Pool, ", "))
	}
	for _, c := range r.Certificates {
		if c.DaysLeft < soon || g.verbose {
			g.print("certificate of %s/%s (%s): %s\n", c.Protocol, c.Name, c.Subject, remaining(c))
		}
	}
}

func remaining(c certificate) string {
	switch {
	case c.DaysLeft < 0:
		return "expired at " + c.NotAfter
	case c.DaysLeft == 0:
		return "expires today, at " + c.NotAfter
	case c.DaysLeft == 1:
		return "expires in 1 day"
	}
	return fmt.Sprintf("expires in %d days", c.DaysLeft)
}

// printReasons says why something is not up, below the table: a column for it would be
// too wide for a terminal.
func (g *globals) printReasons(r *report) {
	for _, t := range r.Tunnels {
		if t.Reason != nil {
			g.print("%s: %s\n", titleOf(t), *t.Reason)
		}
	}
	for _, l := range r.LeftOut {
		g.print("left out at boot: %s: %s\n", l.Object, l.Reason)
	}
}

// health is the first line's verdict.
func health(r *report) string {
	down, expired := 0, 0
	for _, t := range r.Tunnels {
		if t.State == backend.Down {
			down++
		}
	}
	for _, c := range r.Certificates {
		if c.DaysLeft < 0 {
			expired++
		}
	}
	var wrong []string
	if n := len(r.LeftOut); n > 0 {
		wrong = append(wrong, fmt.Sprintf("%s left out at boot", count(n, "object")))
	}
	switch {
	case r.Interrupted:
		return "an apply was cut off"
	case down > 0:
		wrong = append(wrong, fmt.Sprintf("%d of %d tunnels down", down, len(r.Tunnels)))
	}
	switch {
	case expired == 1:
		wrong = append(wrong, "a certificate has expired")
	case expired > 1:
		wrong = append(wrong, fmt.Sprintf("%d certificates have expired", expired))
	}
	if len(wrong) == 0 {
		return "healthy"
	}
	return strings.Join(wrong, ", ")
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

// age is how long ago something was.
func age(now, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return units(now.Sub(t)) + " ago"
}

// units is a duration in its two largest units.
func units(d time.Duration) string {
	d = max(d, 0).Truncate(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
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
