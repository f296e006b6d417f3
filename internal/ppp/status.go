package ppp

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
)

// Status implements backend.Backend: a row for each session, and one for each link that
// has none.
func (b *Backend) Status(ctx context.Context, in backend.Input) ([]backend.Tunnel, error) {
	if in.Want.PPP.IsZero() {
		return nil, nil
	}
	sessions, err := b.Sessions.List(ctx)
	if err != nil {
		return nil, err
	}
	var rows []backend.Tunnel
	for i := range sessions {
		if s := &sessions[i]; s.Protocol != "" {
			rows = append(rows, rowOf(s, &in.Want.PPP))
		}
	}
	for i := range in.Want.PPP.Links {
		l := &in.Want.PPP.Links[i]
		if !slices.ContainsFunc(sessions, func(s Session) bool { return s.Link && s.Object() == l.Object() }) {
			rows = append(rows, b.downRow(l, in.AppliedAt))
		}
	}
	return rows, nil
}

func rowOf(s *Session, p *desired.PPP) backend.Tunnel {
	t := backend.Tunnel{
		Protocol: backend.Kind(s.Protocol), Name: s.Name, State: backend.Up, Interface: s.Interface, Local: s.OuterLocal, Remote: s.Outer,
		User: s.User, Since: s.Since, RxBytes: &s.RxBytes, TxBytes: &s.TxBytes, Idle: &s.Idle, Foreign: s.Name == "",
	}
	far, near := s.Remote, s.Local
	if s.Link {
		far, near = near, far // whose address it is: on a link, this node's
		if l := findLink(p, s.Object()); l != nil {
			t.Endpoint = l.Server
		}
	}
	if far.IsValid() {
		t.Addresses = []string{far.String()}
	}
	if s.Link && near.IsValid() {
		t.Peer = near.String()
	}
	if s.Name == "" {
		t.Name = s.Interface // it has no other
	}
	return t
}

// connecting is how long the first attempt may take before a link counts as down.
const connecting = 30 * time.Second

func (b *Backend) downRow(l *desired.PPPLink, applied time.Time) backend.Tunnel {
	t := backend.Tunnel{
		Protocol: backend.Kind(l.Protocol), Name: l.Name, State: backend.Down, Endpoint: l.Server, User: l.User,
	}
	if l.Protocol == desired.PPTP {
		t.Reason = b.Reasons(l.Name)
	}
	if t.Reason == "" && b.Now().Sub(applied) < connecting {
		t.State = backend.Connecting
	}
	if t.Reason == "" && t.State == backend.Down {
		t.Reason = "no session: see the journal for pppd"
	}
	return t
}

// Servers implements backend.ServerLister.
func (b *Backend) Servers(ctx context.Context, in backend.Input) ([]backend.Server, error) {
	if len(in.Want.PPP.Servers) == 0 {
		return nil, nil
	}
	sessions, err := b.Sessions.List(ctx)
	if err != nil {
		return nil, err
	}
	var rows []backend.Server
	for i := range in.Want.PPP.Servers {
		s := &in.Want.PPP.Servers[i]
		row := backend.Server{Protocol: backend.Kind(s.Protocol), Name: s.Name}
		for _, r := range s.Pools {
			row.Pool = append(row.Pool, r.String())
		}
		for _, r := range s.Slots() {
			row.Free += r.Size()
		}
		for n := range sessions {
			// A user with an address of his own has a place, too: the daemons choose one
			// before they know who calls.
			if o := &sessions[n]; !o.Link && o.Object() == s.Object() {
				row.Used++
			}
		}
		row.Free = max(0, row.Free-row.Used)
		rows = append(rows, row)
	}
	return rows, nil
}

// Kick implements backend.Kicker. A link's user is the far end's matter.
func (b *Backend) Kick(ctx context.Context, in backend.Input, user string) ([]backend.Session, error) {
	if len(in.Want.PPP.Servers) == 0 {
		return nil, nil
	}
	sessions, err := b.Sessions.List(ctx)
	if err != nil {
		return nil, err
	}
	var ended []backend.Session
	for _, s := range sessions {
		if s.Name == "" || s.Link || s.User != user {
			continue
		}
		if err := b.Sessions.End(ctx, s); err != nil {
			return ended, fmt.Errorf("ending session of %s: %w", user, err)
		}
		ended = append(ended, s.row())
	}
	return ended, nil
}
