package watch

import (
	"context"
	"os"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/file"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/unit"
)

// Kind is the backend's.
const Kind backend.Kind = "watch"

// RunDir is where the process of the real host has its files.
const RunDir = "/run/vpnctl"

// Backend sees to it that one process watches where the topology needs it, and none of
// its making elsewhere. One that somebody runs in the foreground serves as well, and is
// left alone.
type Backend struct {
	Config
}

var (
	_ backend.Backend  = (*Backend)(nil)
	_ backend.Operator = (*Backend)(nil)
)

// Config is what a Backend works with. Fields that are nil get the real host's.
type Config struct {
	// StateDir is the state folder of what is to be watched.
	StateDir string
	Files    host.Tree
	// Processes starts the process where systemd does not run.
	Processes Processes
	// Units drives systemd; nil where that does not run, in the real host's Booted.
	Units func(ctx context.Context) (Units, error)
	// Booted reports whether systemd runs.
	Booted func() bool
	// Exe is the path of vpnctl.
	Exe func() (string, error)
}

// Units are systemd's; see unit.Manager.
type Units interface {
	Reload(ctx context.Context) error
	Enable(ctx context.Context, name string) error
	Disable(ctx context.Context, name string) error
	Start(ctx context.Context, name string) error
	StopAndWait(ctx context.Context, name string) error
	Active(ctx context.Context, name string) (bool, error)
	FileState(ctx context.Context, name string) (string, error)
	Close()
}

// New returns a Backend for the real host, apart from what c replaces.
func New(c Config) *Backend {
	if c.Files == nil {
		c.Files = host.Disk{}
	}
	if c.Processes == nil {
		c.Processes = processes{runDir: RunDir, stateDir: c.StateDir}
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
	return &Backend{c}
}

// Kind implements backend.Backend.
func (b *Backend) Kind() backend.Kind { return Kind }

// Status implements backend.Backend: a process is no tunnel.
func (b *Backend) Status(context.Context, backend.Input) ([]backend.Tunnel, error) { return nil, nil }

// Check implements backend.Backend.
func (b *Backend) Check(_ context.Context, in backend.Input) error {
	if !in.Want.NeedsWatch() || !b.Booted() {
		return nil
	}
	want, err := b.unitFile()
	if err != nil {
		return err
	}
	return b.owner().Check(in, want)
}

// Plan implements backend.Backend. A host on which systemd runs now may have had none,
// and the other way round.
func (b *Backend) Plan(ctx context.Context, in backend.Input) ([]backend.Step, error) {
	need := in.Want.NeedsWatch()
	if !need && len(b.owner().Owned(in.Memory)) == 0 && !started(in) {
		return nil, nil
	}
	booted := b.Booted()
	steps, err := b.planUnit(ctx, in, need && booted)
	if err != nil {
		return nil, err
	}
	return append(steps, b.planProcess(in, need && !booted)...), nil
}

// startedKey is the memory of a process that an apply started, and may end.
const startedKey = "watch/process"

func started(in backend.Input) bool { return in.Memory[startedKey] != nil }

// process is a detached process as an operation leads from or to it.
type process struct {
	StateDir string `json:"state_dir"`
}

func (b *Backend) planProcess(in backend.Input, need bool) []backend.Step {
	running := b.Processes.Running()
	op := backend.Op{Kind: processOp}
	this := &process{StateDir: b.StateDir}
	var steps []backend.Step
	switch {
	case need && !running:
		if !started(in) {
			steps = append(steps, backend.Remember(backend.PhaseMemory, startedKey, nil, true))
		}
		op.To = this
		return append(steps, backend.Step{Phase: backend.PhaseDaemon, Changes: change(backend.Create, processObject), Op: op})
	case need || !started(in):
		return nil
	case running:
		op.From = this
		steps = append(steps, backend.Step{Phase: backend.PhaseRemoveDaemon, Changes: change(backend.Delete, processObject), Op: op})
	case b.Processes.Litter():
		// Nothing to see: only the files go.
		steps = append(steps, backend.Step{Phase: backend.PhaseRemoveDaemon, Op: op})
	}
	return append(steps, backend.Remember(backend.PhaseForget, startedKey, true, nil))
}

func change(a backend.Action, object string, fields ...backend.Field) []backend.Change {
	return []backend.Change{{Action: a, Object: object, Fields: fields}}
}

// The operations: of the detached process, of the unit, and of what systemd knows of
// unit files.
const (
	processOp = "watch.process"
	unitOp    = "watch.unit"
	reloadOp  = "watch.reload"
)

// Handlers implements backend.Operator.
func (b *Backend) Handlers() map[string]backend.Handler {
	return map[string]backend.Handler{
		processOp: backend.Handle(b.applyProcess),
		unitOp:    backend.Handle(b.applyUnit),
		reloadOp:  backend.Handle(b.applyReload),
	}
}

func (b *Backend) applyProcess(ctx context.Context, _, to *process) error {
	if to == nil {
		return b.Processes.End(ctx)
	}
	return b.Processes.Start(ctx)
}

// owner is whose the unit file is.
func (b *Backend) owner() file.Owner { return file.Owner{Files: b.Files, Kind: Kind} }
