package sysctl

import (
	"context"
	"errors"
	"maps"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/file"
	"github.com/vpnctl/vpnctl/internal/host"
)

// Backend sets what all protocols together ask of the kernel.
type Backend struct {
	Config
}

var (
	_ backend.Backend  = (*Backend)(nil)
	_ backend.Operator = (*Backend)(nil)
)

// Config is what a Backend works with. Fields that are nil get the real host's.
type Config struct {
	Settings host.Settings
	Files    host.Tree
	Network  Network
}

// Network knows the host's interfaces.
type Network interface {
	// Advertised names those with a default route that the kernel took from a router
	// advertisement.
	Advertised() ([]string, error)
	// Shared names those with an IPv4 address and neighbours, of whom one may be a
	// shorter way for another.
	Shared() ([]string, error)
}

// New returns a Backend for the real host, apart from what c replaces.
func New(c Config) *Backend {
	if c.Settings == nil {
		c.Settings = host.Proc{}
	}
	if c.Files == nil {
		c.Files = host.Disk{}
	}
	if c.Network == nil {
		c.Network = kernelNetwork{}
	}
	return &Backend{c}
}

// Kind implements backend.Backend.
func (b *Backend) Kind() backend.Kind { return backend.Sysctl }

// Check implements backend.Backend.
func (b *Backend) Check(_ context.Context, in backend.Input) error {
	d, err := b.diff(in)
	if err != nil {
		return err
	}
	return errors.Join(errors.Join(d.refusals...), b.owner().Check(in, d.files()))
}

// Plan implements backend.Backend.
func (b *Backend) Plan(_ context.Context, in backend.Input) ([]backend.Step, error) {
	d, err := b.diff(in)
	if err != nil {
		return nil, err
	}
	written, err := b.owner().Plan(in, d.files())
	if err != nil {
		return nil, err
	}
	return append(d.steps, written...), nil
}

// Status implements backend.Backend; settings are no tunnels.
func (b *Backend) Status(context.Context, backend.Input) ([]backend.Tunnel, error) { return nil, nil }

// Handlers implements backend.Operator. That of files is the one of package file: whoever
// plans a kind of operation brings its handler along.
func (b *Backend) Handlers() map[string]backend.Handler {
	return map[string]backend.Handler{opSet: handler(b.Settings), file.Op: file.Handler(b.Files)}
}

func (b *Backend) owner() file.Owner {
	return file.Owner{Files: b.Files, Kind: backend.Sysctl}
}

// path is the file that sets at boot what apply sets now.
const path = "/etc/sysctl.d/60-vpnctl.conf"

// files is the file of all wanted settings, none without any. At boot interfaces get
// theirs from the default ones, so that the file need not name those of today.
func (d *differ) files() []desired.File {
	lasting := maps.Clone(d.want)
	maps.DeleteFunc(lasting, func(key, _ string) bool { return d.now[key] })
	if len(lasting) == 0 {
		return nil
	}
	return []desired.File{File(lasting)}
}
