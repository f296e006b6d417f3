package boot

import (
	"context"
	"os"
	"slices"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/file"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/unit"
)

// Kind is the backend's.
const Kind backend.Kind = "boot"

// Backend keeps the units that boot, where the topology needs them. On a host without
// systemd there are none: whoever runs its init calls `vpnctl boot`.
type Backend struct {
	Config
}

var (
	_ backend.Backend  = (*Backend)(nil)
	_ backend.Operator = (*Backend)(nil)
)

// Config is what a Backend works with. Fields that are nil get the real host's.
type Config struct {
	// StateDir is the state folder of what is to be brought up.
	StateDir string
	Files    host.Tree
	// Units drives systemd, where that runs.
	Units func(ctx context.Context) (Units, error)
	// Booted reports whether systemd runs.
	Booted func() bool
	// Exe is the path of vpnctl.
	Exe func() (string, error)
	// Inside reports whether this process is a unit's.
	Inside func(unit string) bool
}

// Units are systemd's; see unit.Manager.
type Units interface {
	Reload(ctx context.Context) error
	Enable(ctx context.Context, name string) error
	Disable(ctx context.Context, name string) error
	StopAndWait(ctx context.Context, name string) error
	FileState(ctx context.Context, name string) (string, error)
	Close()
}

// New returns a Backend for the real host, apart from what c replaces.
func New(c Config) *Backend {
	if c.Files == nil {
		c.Files = host.Disk{}
	}
	if c.Units == nil {
		c.Units = func(ctx context.Context) (Units, error) { return unit.Connect(ctx) }
	}
	if c.Booted == nil {
		c.Booted = unit.Booted
	}
	if c.Exe == nil {
		c.Exe = os.Executable
	}
	if c.Inside == nil {
		c.Inside = unit.Inside
	}
	return &Backend{c}
}

// Kind implements backend.Backend.
func (b *Backend) Kind() backend.Kind { return Kind }

// Status implements backend.Backend: a unit is no tunnel.
func (b *Backend) Status(context.Context, backend.Input) ([]backend.Tunnel, error) { return nil, nil }

// Check implements backend.Backend.
func (b *Backend) Check(_ context.Context, in backend.Input) error {
	files, err := b.files(b.wanted(in))
	if err != nil {
		return err
	}
	return b.owner().Check(in, files)
}

// Plan implements backend.Backend. A unit is enabled as soon as its file is there, ahead
// of all that it would have to bring back, and disabled when that is gone.
func (b *Backend) Plan(ctx context.Context, in backend.Input) ([]backend.Step, error) {
	want, owned := b.wanted(in), b.owner().Owned(in.Memory)
	if len(want)+len(owned) == 0 {
		return nil, nil
	}
	files, err := b.files(want)
	if err != nil {
		return nil, err
	}
	written, err := b.owner().Plan(in, files)
	if err != nil {
		return nil, err
	}
	b.noteTemporary(written)
	have, err := b.enabled(ctx)
	if err != nil {
		return nil, err
	}
	enable, disable := enabling(have, want)
	if len(enable)+len(disable)+len(written) == 0 {
		return nil, nil
	}
	// Undo comes the other way round, so that systemd is told behind each change of files,
	// in either direction.
	before := backend.Step{Phase: backend.PhaseFile, Op: backend.Op{Kind: reloadOp}}
	behind := backend.Step{Phase: backend.PhaseRemoveFile, Op: backend.Op{Kind: reloadOp}}
	return slices.Concat([]backend.Step{before}, disable, written, enable, []backend.Step{behind}), nil
}

// Handlers implements backend.Operator.
func (b *Backend) Handlers() map[string]backend.Handler {
	return map[string]backend.Handler{
		file.Op:  file.Handler(b.Files),
		unitOp:   backend.Handle(b.applyUnit),
		reloadOp: backend.Handle(b.applyReload),
	}
}

// owner is whose the unit files are.
func (b *Backend) owner() file.Owner { return file.Owner{Files: b.Files, Kind: Kind} }
