package ppp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/host"
)

// Modules are those of the running kernel.
type Modules interface {
	// Loaded reports whether the kernel has one, built in or loaded.
	Loaded(ctx context.Context, name string) (bool, error)
	// Available reports whether one that is not loaded can be.
	Available(ctx context.Context, name string) (bool, error)
	// Load loads one; one that is loaded is success.
	Load(ctx context.Context, name string) error
}

// renderModules is the file by which they are loaded at boot.
func renderModules(names []string) []byte {
	return []byte(scriptHeader + strings.Join(names, "\n") + "\n")
}

// moduleList is what an operation loads.
type moduleList struct {
	Names []string `json:"names"`
}

// planModules plans the modules that the kernel has not loaded: what needs them would fail
// with a message about something else.
func (d *differ) planModules(ctx context.Context) error {
	var list moduleList
	var changes []backend.Change
	for _, name := range d.in.Want.Modules {
		loaded, err := d.b.Modules.Loaded(ctx, name)
		if err != nil {
			return err
		}
		if !loaded {
			list.Names = append(list.Names, name)
			changes = append(changes, backend.Change{Action: backend.Create, Object: "module/" + name})
		}
	}
	if len(changes) > 0 {
		d.steps = append(d.steps, backend.Step{Phase: backend.PhaseFile, Changes: changes, Op: backend.Op{Kind: opModules, To: &list}})
	}
	return nil
}

// applyModules loads modules. They stay loaded when it is undone: who else uses them by
// then cannot be told, and by themselves they do nothing.
func (b *Backend) applyModules(ctx context.Context, _, to *moduleList) error {
	if to == nil {
		return nil
	}
	for _, name := range to.Names {
		if err := b.Modules.Load(ctx, name); err != nil {
			return fmt.Errorf("loading module %s: %w", name, err)
		}
	}
	return nil
}

// kernelModules are the modules of the real host.
type kernelModules struct{ host.Runner }

// Loaded implements Modules.
func (k kernelModules) Loaded(ctx context.Context, name string) (bool, error) {
	_, err := os.Stat("/sys/module/" + strings.ReplaceAll(name, "-", "_"))
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("looking for module %s: %w", name, err)
	}
	// One that is built in and has no parameters shows nowhere else.
	out, err := k.Run(ctx, host.Cmd{Args: []string{"modprobe", "-n", "-v", name}})
	if err != nil {
		return false, nil // Available says why
	}
	return !strings.Contains(string(out), "insmod "), nil
}

// Available implements Modules.
func (k kernelModules) Available(ctx context.Context, name string) (bool, error) {
	_, err := k.Run(ctx, host.Cmd{Args: []string{"modprobe", "-n", name}})
	var exit *host.ExitError
	if errors.As(err, &exit) || errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Load implements Modules.
func (k kernelModules) Load(ctx context.Context, name string) error {
	_, err := k.Run(ctx, host.Cmd{Args: []string{"modprobe", name}})
	return err
}
