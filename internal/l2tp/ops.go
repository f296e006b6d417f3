package l2tp

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/ppp"
)

// The operations: xl2tpd that starts or stops, one that starts anew, one section of it,
// and what systemd knows of its files.
const (
	daemonOp  = "l2tp.daemon"
	restartOp = "l2tp.restart"
	backOp    = "l2tp.back"
	sectionOp = "l2tp.section"
	reloadOp  = "l2tp.reload"
)

// Handlers implements backend.Operator.
func (b *Backend) Handlers() map[string]backend.Handler {
	return map[string]backend.Handler{
		daemonOp:  backend.Handle(b.applyDaemon),
		restartOp: backend.Handle(b.applyRestart),
		backOp:    backend.Handle(b.applyBack),
		sectionOp: backend.Handle(b.applySection),
		reloadOp:  backend.Handle(func(ctx context.Context, _, _ *setup) error { return b.Daemon.Reload(ctx) }),
	}
}

// applyDaemon starts xl2tpd where none answers, or stops it.
func (b *Backend) applyDaemon(ctx context.Context, _, to *setup) error {
	if to == nil {
		return b.stop(ctx)
	}
	if _, err := b.Control.List(ctx); err == nil {
		return nil
	}
	return b.start(ctx)
}

// start starts xl2tpd, with no session left of one before.
func (b *Backend) start(ctx context.Context) error {
	if err := b.stop(ctx); err != nil {
		return err
	}
	return b.Daemon.Start(ctx)
}

// stop stops xl2tpd, and waits for its pppds: they take some seconds longer, and one that
// was killed has left them behind, with interfaces that lead nowhere.
func (b *Backend) stop(ctx context.Context) error {
	sessions, err := b.sessions(ctx, nil)
	if err != nil {
		return err
	}
	if err := b.Daemon.Stop(ctx); err != nil {
		return err
	}
	return b.end(ctx, sessions)
}

// sessions are those of a server or link, or all of L2TP.
func (b *Backend) sessions(ctx context.Context, of *Section) ([]ppp.Session, error) {
	all, err := b.Sessions.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing sessions: %w", err)
	}
	return slices.DeleteFunc(all, func(s ppp.Session) bool {
		return s.Protocol != desired.L2TP || of != nil && !of.carries(&s)
	}), nil
}

func (b *Backend) end(ctx context.Context, sessions []ppp.Session) error {
	for _, s := range sessions {
		if err := b.Sessions.End(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// applyRestart starts xl2tpd anew, so that it reads our file. Its undo is applyBack's,
// which comes when the other file is there again.
func (b *Backend) applyRestart(ctx context.Context, _, to *setup) error {
	if to == nil {
		return nil
	}
	return b.start(ctx)
}

// applyBack is ahead of everything, and so the last to be undone: an xl2tpd that has read
// our file starts anew with the one from before.
func (b *Backend) applyBack(ctx context.Context, _, to *setup) error {
	if to == nil {
		return nil
	}
	h := &observed{}
	var err error
	if h.loaded, err = b.Control.List(ctx); err != nil {
		return b.start(ctx)
	}
	if h.answers = true; h.ours() {
		return b.start(ctx)
	}
	return nil
}

// applySection brings one server or link of a running xl2tpd from one state to the other.
func (b *Backend) applySection(ctx context.Context, from, to *Section) error {
	loaded, err := b.Control.List(ctx)
	if err != nil {
		return err
	}
	if to == nil {
		return b.removeAll(ctx, from, loaded)
	}
	if to.Kind == kindLAC {
		// First the old one goes: both would be the same user's.
		if err := b.removeAll(ctx, to, loaded); err != nil || len(to.Options) == 0 {
			return err
		}
		return b.Control.Add(ctx, *to)
	}
	before := loaded.names(kindLNS, to.Tunnel)
	if len(to.Options) == 0 {
		// Undo, of one that our file did not have: it is still there, behind the new one.
		return b.removeIdle(ctx, slices.DeleteFunc(before, func(name string) bool {
			_, base, _ := nameOf(name)
			return from == nil || base != from.Name
		}))
	}
	s := *to
	s.Name = fresh(loaded.LNS, s.Name)
	if err := b.Control.Add(ctx, s); err != nil {
		return err
	}
	if err := b.removeIdle(ctx, before); err != nil {
		return err
	}
	return b.follow(ctx, to)
}

// follow lets the server's older sections, on which somebody is, hand out what the newest
// does: a client whose session ends may keep his tunnel, and begin the next one in that.
func (b *Backend) follow(ctx context.Context, newest *Section) error {
	loaded, err := b.Control.List(ctx)
	if err != nil {
		return err
	}
	// What is added to a section stands behind what it has, and the last word counts.
	options := []string{"assign ip = yes", "no ip range = 0.0.0.0-255.255.255.255"}
	names := loaded.names(kindLNS, newest.Tunnel)
	for _, name := range names[min(1, len(names)):] {
		older := Section{Kind: kindLNS, Tunnel: newest.Tunnel, Name: name, Options: append(options, newest.Options...)}
		if err := b.Control.Add(ctx, older); err != nil {
			return err
		}
	}
	return nil
}

// fresh is a name that xl2tpd does not have yet: what is added to one that it has, it adds
// to its range, and it leaves it where it is.
func fresh(names []string, name string) string {
	_, base, _ := nameOf(name)
	taken := map[string]bool{}
	for _, n := range names {
		taken[n] = true
	}
	for n := 1; ; n++ {
		candidate := base
		if n > 1 {
			candidate += "." + strconv.Itoa(n)
		}
		if !taken[candidate] {
			return candidate
		}
	}
}

// removeIdle removes sections of a server on which nobody is.
func (b *Backend) removeIdle(ctx context.Context, names []string) error {
	for _, name := range names {
		n, err := b.Control.Tunnels(ctx, name)
		if err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		if err := b.Control.Remove(ctx, kindLNS, name); err != nil {
			return err
		}
	}
	return nil
}

// removeAll removes every section of a server or link, whatever it holds, and whoever is
// on it.
func (b *Backend) removeAll(ctx context.Context, s *Section, loaded Loaded) error {
	names := loaded.names(s.Kind, s.Tunnel)
	if len(names) == 0 {
		return nil
	}
	sessions, err := b.sessions(ctx, s)
	if err != nil {
		return err
	}
	// Through pppd, which says good-bye; of those who do not, xl2tpd then ends the tunnels.
	// A link would only dial again.
	if s.Kind == kindLNS {
		if err := b.end(ctx, sessions); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := b.Control.Remove(ctx, s.Kind, name); err != nil {
			return err
		}
	}
	return b.end(ctx, sessions)
}
