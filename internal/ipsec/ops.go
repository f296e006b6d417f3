package ipsec

import (
	"context"
	"errors"
	"fmt"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/file"
	"github.com/vpnctl/vpnctl/internal/reason"
)

// The kinds of operations.
const (
	opObject   = "ipsec.object"
	opClose    = "ipsec.close"
	opInitiate = "ipsec.initiate"
	opRestore  = "ipsec.restore"
	opDaemon   = "ipsec.daemon"
	opRestart  = "ipsec.restart"
	opLink     = "ipsec.link"
	opRoutes   = "ipsec.routes"
)

// Handlers implements backend.Operator. Every handler leads to its `to` from wherever it
// finds charon.
func (b *Backend) Handlers() map[string]backend.Handler {
	return map[string]backend.Handler{
		file.SecretOp: file.SecretHandler(b.Files, b.Secrets),
		opObject:      backend.Handle(b.applyObject),
		opClose:       backend.Handle(b.applyClose),
		opInitiate:    backend.Handle(b.applyInitiate),
		// The same, at another place: it stands before the loads and leads from what was
		// up to nothing, so that only its undo does something, once the loads are undone.
		opRestore: backend.Handle(b.applyInitiate),
		opDaemon:  backend.Handle(b.applyDaemon),
		opRestart: backend.Handle(b.applyRestart),
		opLink:    backend.Handle(b.applyLink),
		opRoutes:  backend.Handle(b.applyRoutes),
	}
}

// applyObject loads one object into charon, or unloads it. Loading is the same for a new
// object and for a changed one, and may be repeated.
func (b *Backend) applyObject(ctx context.Context, from, to *object) error {
	if from == nil && to == nil {
		return nil
	}
	if to == nil {
		if err := b.forgetReasons(from); err != nil {
			return err
		}
	}
	c, err := b.open(ctx)
	if errors.Is(err, ErrNotRunning) && to == nil {
		return nil // gone with all that it had
	}
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if to != nil {
		if err := b.load(ctx, c, to); err != nil {
			return fmt.Errorf("loading %s %q: %w", to.Kind, to.Name, err)
		}
		return nil
	}
	if err := c.unload(ctx, from); err != nil {
		return fmt.Errorf("unloading %s %q: %w", from.Kind, from.Name, err)
	}
	return nil
}

// forgetReasons forgets why the tunnels of a connection were down: one of the same name may
// come later.
func (b *Backend) forgetReasons(o *object) error {
	if o.Kind != kindConn {
		return nil
	}
	for _, name := range o.children().Names() {
		if err := b.Reasons.Clear(reason.Key{Connection: o.Name, Child: name}); err != nil {
			return err
		}
	}
	return nil
}
