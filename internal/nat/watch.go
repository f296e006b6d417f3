package nat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
)

// Watch implements backend.Watcher: it puts the guards against clear text back where
// somebody flushed them, and on top again where a foreign rule came to translate first.
// Other rules are diff's matter.
func (b *Backend) Watch(ctx context.Context, s *backend.Shift) error {
	if !guarded(&s.Want.Netfilter) {
		return nil
	}
	tick := time.NewTicker(b.pace)
	defer tick.Stop()
	for {
		if err := b.restoreGuards(ctx, s); err != nil && ctx.Err() == nil {
			return fmt.Errorf("putting guards back: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// guarded reports whether any of the rules is a guard. A masquerade brings one along.
func guarded(n *desired.Netfilter) bool {
	return len(n.Guards)+len(n.Drops)+len(n.Exempts)+len(n.AntiSpoofs)+len(n.Masquerades) > 0
}

// restoreGuards looks once. What is missing is planned again when no apply can come in
// between.
func (b *Backend) restoreGuards(ctx context.Context, s *backend.Shift) error {
	steps, err := b.missingGuards(ctx, s.Input)
	if err != nil || len(steps) == 0 {
		return err
	}
	err = s.Change(ctx, func() error {
		steps, err := b.missingGuards(ctx, s.Input)
		for _, step := range steps {
			if err := b.change(ctx, step.Op.From.(*Table), step.Op.To.(*Table)); err != nil {
				return err
			}
			for _, c := range step.Changes {
				s.Say("%s: put back", c.Object)
			}
		}
		return err
	})
	if errors.Is(err, backend.ErrBusy) {
		return nil // it will be there the next time
	}
	return err
}

// missingGuards are the steps of an apply that would set guards. Those that would go to a
// kind of iptables that held none before are left to apply, which remembers where rules
// of ours are.
func (b *Backend) missingGuards(ctx context.Context, in backend.Input) ([]backend.Step, error) {
	d, _, err := b.compare(ctx, in)
	if err != nil {
		return nil, err
	}
	memory := known(in.Memory)
	return slices.DeleteFunc(d.steps(), func(s backend.Step) bool {
		to := s.Op.To.(*Table)
		return s.Phase != backend.PhaseGuard || !slices.Contains(memory[to.Family], to.Kind)
	}), nil
}
