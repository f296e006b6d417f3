package pptp

import (
	"context"
	"errors"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
)

// Watch implements backend.Watcher: it starts again what vpnctl itself has started and what
// has ended, and gives pptpd the addresses that older sessions have given back, where it
// has none left. What is systemd's to start is left to it.
func (b *Backend) Watch(ctx context.Context, s *backend.Shift) error {
	if w := want(s.Want); w.empty() {
		return nil
	}
	tick := time.NewTicker(b.Look)
	defer tick.Stop()
	for {
		if err := b.look(ctx, s); err != nil && ctx.Err() == nil && !errors.Is(err, backend.ErrBusy) {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look does what is due.
func (b *Backend) look(ctx context.Context, s *backend.Shift) error {
	w := want(s.Want)
	h, err := b.observe(ctx)
	if err != nil {
		return err
	}
	if w.server != nil && h.due() {
		err := s.Change(ctx, func() error { return b.restart(ctx, h.booted && h.unit != "") })
		if err != nil {
			return err
		}
		s.Say("%s: started, with the addresses that are free", daemonObject)
	}
	for _, l := range w.links {
		have, err := b.observeLink(ctx, h, l.Name)
		if err != nil || have.running || h.booted {
			if err != nil {
				return err
			}
			continue
		}
		if err := s.Change(ctx, func() error { return b.dial(l.Name) }); err != nil {
			return err
		}
		s.Say("%s%s: started again", linkObject, l.Name)
	}
	return nil
}

// due reports whether a parent shall be started: where none runs and no systemd would start
// it, and where nobody can log in who could at a new one.
func (h *observed) due() bool {
	if len(h.conf) == 0 || h.taken != "" || h.free(h.conf) == 0 {
		return false
	}
	if len(h.parents) == 0 {
		return !h.booted || h.unit == ""
	}
	c, err := parse(h.loaded)
	return err == nil && h.given() != "" && !c.places && size(without(c.pool, held(h.processes, h.sessions))) == 0
}
