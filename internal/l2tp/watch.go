package l2tp

import (
	"context"
	"errors"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
)

// Watch implements backend.Watcher: it starts an xl2tpd anew that vpnctl started and that
// has ended. One of systemd's is systemd's matter.
func (b *Backend) Watch(ctx context.Context, s *backend.Shift) error {
	var made *setup
	if len(sections(&s.Want.PPP)) == 0 || !s.Memory.Get(daemonMemory, &made) || made == nil || made.Systemd {
		return nil
	}
	tick := time.NewTicker(b.Look)
	defer tick.Stop()
	for {
		if err := b.revive(ctx, s); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// revive starts xl2tpd where none runs.
func (b *Backend) revive(ctx context.Context, s *backend.Shift) error {
	if h, err := b.Daemon.State(ctx); err != nil || h.Running {
		return err
	}
	err := s.Change(ctx, func() error {
		h, err := b.Daemon.State(ctx)
		if err != nil || h.Running {
			return err
		}
		if err := b.start(ctx); err != nil {
			return err
		}
		s.Say("%s: started again", daemonObject)
		return nil
	})
	if errors.Is(err, backend.ErrBusy) {
		return nil
	}
	return err
}
