package engine

import (
	"context"
	"fmt"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/state"
)

// Status asks every backend for its tunnels of what was applied. It needs no lock.
func (e *Engine) Status(ctx context.Context, applied *state.Applied) ([]backend.Tunnel, error) {
	rows, err := collect(e, applied, func(b backend.Backend, in backend.Input) ([]backend.Tunnel, error) {
		return b.Status(ctx, in)
	})
	return fold(rows), err
}

// Servers asks every backend that has some for its servers.
func (e *Engine) Servers(ctx context.Context, applied *state.Applied) ([]backend.Server, error) {
	return collect(e, applied, func(b backend.Backend, in backend.Input) ([]backend.Server, error) {
		if l, ok := b.(backend.ServerLister); ok {
			return l.Servers(ctx, in)
		}
		return nil, nil
	})
}

// Certificates asks every backend that has some for its certificates.
func (e *Engine) Certificates(ctx context.Context, applied *state.Applied) ([]backend.Certificate, error) {
	return collect(e, applied, func(b backend.Backend, in backend.Input) ([]backend.Certificate, error) {
		if l, ok := b.(backend.CertificateLister); ok {
			return l.Certificates(ctx, in)
		}
		return nil, nil
	})
}

// Kick ends a user's sessions, whatever the protocol, and returns those that there were.
// It changes no configuration, so that it waits for no apply.
func (e *Engine) Kick(ctx context.Context, applied *state.Applied, user string) ([]backend.Session, error) {
	return collect(e, applied, func(b backend.Backend, in backend.Input) ([]backend.Session, error) {
		if k, ok := b.(backend.Kicker); ok {
			return k.Kick(ctx, in, user)
		}
		return nil, nil
	})
}

// collect asks the backends one after the other. What was found before one of them failed
// comes back with the error.
func collect[T any](e *Engine, applied *state.Applied, ask func(b backend.Backend, in backend.Input) ([]T, error)) ([]T, error) {
	in := backend.Input{Want: applied.State, Applied: applied.State, AppliedAt: applied.At, Secrets: e.Vault}
	var err error
	if in.Memory, err = e.State.Memory(); err != nil {
		return nil, err
	}
	var all []T
	for _, b := range e.Backends {
		found, err := ask(b, in)
		all = append(all, found...)
		if err != nil {
			return all, fmt.Errorf("reading %s: %w", b.Kind(), err)
		}
	}
	return all, nil
}
