package watch

import (
	"context"
	"fmt"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/file"
	"github.com/vpnctl/vpnctl/internal/unit"
)

// The unit that watches where systemd runs.
const (
	unitName   = "vpnctl-watch.service"
	unitPath   = "/etc/systemd/system/" + unitName
	unitObject = "watch/" + unitName
)

// unitText is the unit file. It is ordered after nothing that waits for an apply: one
// that boots the host starts it, and waits until it runs. A refusal is no reason to try
// again.
const unitText = file.Header + `; changes are overwritten.
[Unit]
Description=vpnctl watch: what has to be done between two applies
After=network.target

[Service]
Type=notify
ExecStart=%s
SyslogIdentifier=vpnctl
Restart=always
RestartSec=5
RestartPreventExitStatus=3

[Install]
WantedBy=multi-user.target
`

// unitFile is the file that is wanted.
func (b *Backend) unitFile() ([]desired.File, error) {
	exe, err := b.Exe()
	if err != nil {
		return nil, fmt.Errorf("finding vpnctl: %w", err)
	}
	// One that cannot be read is as good as none: it is written anew.
	have, _ := b.Files.Read(unitPath)
	return []desired.File{{Path: unitPath, Data: unit.Text(have.Data, exe, b.text), Mode: 0o644}}, nil
}

func (b *Backend) text(exe string) []byte {
	return fmt.Appendf(nil, unitText, unit.CommandLine(arguments(exe, b.StateDir)...))
}

// unitState is what of the unit an apply cares for.
type unitState struct {
	Enabled bool `json:"enabled"`
	Running bool `json:"running"`
}

// planUnit plans the unit with its file. The file is written before systemd is told, and
// systemd told again when it is gone, be it by undo.
func (b *Backend) planUnit(ctx context.Context, in backend.Input, need bool) ([]backend.Step, error) {
	if !need && len(b.owner().Owned(in.Memory)) == 0 {
		return nil, nil
	}
	var files []desired.File
	var err error
	if need {
		if files, err = b.unitFile(); err != nil {
			return nil, err
		}
	}
	steps, err := b.owner().Plan(in, files)
	if err != nil {
		return nil, err
	}
	have, err := b.observeUnit(ctx)
	if err != nil {
		return nil, err
	}
	reload := backend.Step{Phase: backend.PhaseFile, Op: backend.Op{Kind: reloadOp}}
	if !need {
		reload.Phase = backend.PhaseRemoveFile
		if have != (unitState{}) {
			steps = append([]backend.Step{{
				Phase: backend.PhaseRemoveDaemon, Changes: change(backend.Delete, unitObject),
				Op: backend.Op{Kind: unitOp, From: &have},
			}}, steps...)
		}
		return append(steps, reload), nil
	}
	want := unitState{Enabled: true, Running: true}
	if len(steps) == 0 && have == want {
		return nil, nil
	}
	op := backend.Op{Kind: unitOp, To: &want}
	if have != (unitState{}) {
		op.From = &have
	}
	steps = append([]backend.Step{reload}, steps...)
	return append(steps, backend.Step{Phase: backend.PhaseDaemon, Changes: unitChanges(have, want), Op: op}), nil
}

func unitChanges(have, want unitState) []backend.Change {
	switch have {
	case want:
		return nil // only systemd has to read the file again
	case unitState{}:
		return change(backend.Create, unitObject)
	}
	var fields []backend.Field
	for _, f := range []struct {
		name       string
		have, want bool
	}{{"enabled", have.Enabled, want.Enabled}, {"running", have.Running, want.Running}} {
		if f.have != f.want {
			fields = append(fields, backend.Field{Name: f.name, Have: yesNo(f.have), Want: yesNo(f.want)})
		}
	}
	return change(backend.Update, unitObject, fields...)
}

func yesNo(b bool) backend.Value {
	if b {
		return backend.Text("yes")
	}
	return backend.Text("no")
}

// observeUnit asks systemd, where that runs. A process in the foreground counts: the
// unit's would find its place taken.
func (b *Backend) observeUnit(ctx context.Context) (unitState, error) {
	var s unitState
	if !b.Booted() {
		return s, nil
	}
	m, err := b.Units(ctx)
	if err != nil {
		return s, err
	}
	defer m.Close()
	state, err := m.FileState(ctx, unitName)
	if err != nil {
		return s, err
	}
	s.Enabled = state == "enabled"
	s.Running, err = b.served(ctx, m)
	return s, err
}

// served reports whether somebody watches, the unit or a process in the foreground.
func (b *Backend) served(ctx context.Context, m Units) (bool, error) {
	active, err := m.Active(ctx, unitName)
	return active || b.Processes.Running(), err
}

// applyUnit starts and enables the unit, or ends it.
func (b *Backend) applyUnit(ctx context.Context, _, to *unitState) error {
	m, err := b.Units(ctx)
	if err != nil {
		return err
	}
	defer m.Close()
	if to == nil {
		to = &unitState{}
	}
	if !to.Running {
		if err := m.StopAndWait(ctx, unitName); err != nil {
			return err
		}
	}
	if err := m.Reload(ctx); err != nil {
		return err
	}
	if err := unit.SetEnabled(ctx, m, unitName, to.Enabled); err != nil {
		return err
	}
	if !to.Running {
		return nil
	}
	if served, err := b.served(ctx, m); served || err != nil {
		return err
	}
	return m.Start(ctx, unitName)
}

// applyReload tells systemd that the file came or went.
func (b *Backend) applyReload(ctx context.Context, _, _ *unitState) error {
	if !b.Booted() {
		return nil
	}
	m, err := b.Units(ctx)
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Reload(ctx)
}
