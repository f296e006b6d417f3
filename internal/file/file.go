package file

import (
	"context"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/host"
)

// Backend writes the files that the topology asks for beside those of the daemons.
type Backend struct {
	owner Owner
}

var (
	_ backend.Backend  = (*Backend)(nil)
	_ backend.Operator = (*Backend)(nil)
)

// Config is what a Backend works with. Fields that are nil get the real host's.
type Config struct {
	Files host.Tree
}

// New returns a Backend for the real host, apart from what c replaces.
func New(c Config) *Backend {
	if c.Files == nil {
		c.Files = host.Disk{}
	}
	return &Backend{Owner{Files: c.Files, Kind: backend.File}}
}

// Kind implements backend.Backend.
func (b *Backend) Kind() backend.Kind { return backend.File }

// Check implements backend.Backend.
func (b *Backend) Check(_ context.Context, in backend.Input) error {
	return b.owner.Check(in, in.Want.Files)
}

// Plan implements backend.Backend.
func (b *Backend) Plan(_ context.Context, in backend.Input) ([]backend.Step, error) {
	return b.owner.Plan(in, in.Want.Files)
}

// Status implements backend.Backend; files are no tunnels.
func (b *Backend) Status(context.Context, backend.Input) ([]backend.Tunnel, error) { return nil, nil }

// Handlers implements backend.Operator. The one kind serves the steps of all backends
// that plan files.
func (b *Backend) Handlers() map[string]backend.Handler {
	return map[string]backend.Handler{Op: Handler(b.owner.Files)}
}
