package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/vpnctl/vpnctl/internal/engine"
	"github.com/vpnctl/vpnctl/internal/node"
	"github.com/vpnctl/vpnctl/internal/plan"
	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/state"
	"github.com/vpnctl/vpnctl/internal/topology"
)

// Most applies have nothing to do, and reading a large topology takes longer than looking
// at the host. Where everything that the last reading depended on is as it was, its result
// is taken over, to see whether the host is still so. If not, the file is read after all:
// nothing is ever written on the strength of the shortcut.

// errStale says that there is something to do.
var errStale = errors.New("the host is not as it was")

// applyUnchanged is apply for a file that was applied last. It reports false, having said
// and done nothing, where that takes more than a look.
func (g *globals) applyUnchanged(ctx context.Context, w *workshop, f *applyFlags, args []string) (done bool, err error) {
	if len(args) == 0 || f.dryRun {
		return false, nil
	}
	s := g.unchanged(ctx, w, args[0])
	if s == nil {
		return false, nil
	}
	req, err := f.request(g, s)
	if err != nil {
		return false, err
	}
	req.Veto, req.Confirm = nil, 0 // it does nothing
	out, err := w.Apply(ctx, req, func(p *plan.Plan) error {
		if !p.Empty() {
			return errStale
		}
		return nil
	})
	var locked *engine.LockedError
	switch {
	case errors.As(err, &locked):
		return false, err // it has been waited for
	case err != nil, out.Result != plan.Unchanged:
		return false, nil // reading it all will tell why
	}
	for _, warning := range s.record.Reading.Warnings {
		g.say("warning: %s", warning)
	}
	return true, g.printPlan(out.Plan)
}

// unchanged is what was applied last, nil where reading the file could give another.
func (g *globals) unchanged(ctx context.Context, w *workshop, file string) *site {
	a, err := w.State.Applied()
	if err != nil || a == nil || a.Reading == nil || file == stdin {
		return nil
	}
	r := a.Reading
	dir, path, err := whereIs(file)
	if err != nil || a.Dir != dir || a.File != path || r.Name != nameOf(file) || r.Program != program() {
		return nil
	}
	if rec, err := w.Interrupted(); rec != nil || err != nil {
		return nil
	}
	src, err := os.ReadFile(file)
	if err != nil || modeOf(file) != r.Mode || w.vault.ID(secret.New(src)) != r.Source {
		return nil
	}
	name, err := node.Identify(&topology.Topology{File: r.Name, Nodes: r.Nodes}, g.Hints(g.node))
	if err != nil || name != a.Node || !g.sameSecrets(ctx, w, a) {
		return nil
	}
	return &site{node: name, state: a.State, record: a}
}

// sameSecrets reports whether the files of secrets hold what they held.
func (g *globals) sameSecrets(ctx context.Context, w *workshop, a *state.Applied) bool {
	s := g.newSecrets(ctx, w.vault, a.Dir, nil)
	for _, f := range a.Reading.Files {
		v, err := s.resolver.Resolve(ctx, &secret.Ref{
			Origin: secret.File, Name: f.Name, Public: f.Public, Encoding: f.Encoding,
		})
		if err != nil || w.vault.ID(v) != f.ID {
			return false
		}
	}
	return true
}

// note remembers what a secret was read from.
func (s *secrets) note(ref *secret.Ref, v secret.Value, err error) {
	switch {
	case err != nil:
		s.once = true
	case ref.Origin == secret.File:
		s.files = append(s.files, state.SecretFile{
			Name: ref.Name, Public: ref.Public, Encoding: ref.Encoding, ID: s.vault.ID(v),
		})
	case ref.Origin != secret.Inline:
		s.once = true
	}
}

// reading is what is remembered of having read a topology, nil where it depends on more.
func (s *secrets) reading(d *document, file string) *state.Reading {
	if s.once || program() == "" {
		return nil
	}
	return &state.Reading{
		Program: program(), Name: nameOf(file), Source: s.vault.ID(secret.New(d.source)), Nodes: d.Nodes, Files: s.files,
		Mode: modeOf(file), Warnings: d.warnings,
	}
}

// modeOf is the mode of a file, on which warnings depend.
func modeOf(file string) fs.FileMode {
	info, err := os.Stat(file)
	if err != nil {
		return 0
	}
	return info.Mode()
}

// program identifies this binary, "" where it cannot be told from others.
func program() string {
	info, err := os.Stat("/proc/self/exe")
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s %d %d", version(), info.Size(), info.ModTime().UnixNano())
}
