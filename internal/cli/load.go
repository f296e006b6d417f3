package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/node"
	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/state"
	"github.com/vpnctl/vpnctl/internal/topology"
	"github.com/vpnctl/vpnctl/internal/vault"
)

// site is a topology as this host sees it.
type site struct {
	topology *topology.Topology
	node     string
	state    *desired.State
	record   *state.Applied
}

// stdin as a file's name is standard input.
const stdin = "-"

// document is a topology's file and what is in it.
type document struct {
	*topology.Topology
	source   []byte
	redacted []byte // without the secrets
	warnings []string
}

// readTopology reads and checks a file, and prints its warnings. There is a document with
// an error, too: for its warnings.
func (g *globals) readTopology(file string) (*document, error) {
	src, err := g.readFile(file)
	if err != nil {
		return &document{}, err
	}
	t, text, found, err := topology.ParseRedacted(nameOf(file), src)
	d := &document{t, src, text, []string{}}
	for _, w := range found {
		d.warnings = append(d.warnings, w.String())
	}
	if err == nil && t.HasInlineSecrets {
		d.warnings = append(d.warnings, openFile(file)...)
	}
	for _, w := range d.warnings {
		g.say("warning: %s", w)
	}
	return d, err
}

func nameOf(file string) string {
	if file == stdin {
		return "<stdin>"
	}
	return file
}

func (g *globals) readFile(file string) ([]byte, error) {
	if file == stdin {
		b, err := io.ReadAll(g.Stdin)
		if err != nil {
			return nil, usagef("reading standard input: %w", err)
		}
		return b, nil
	}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("%s: there is no such file", file)
	}
	if err != nil {
		return nil, &usageError{fmt.Errorf("reading topology: %w", err)}
	}
	return b, nil
}

// openFile warns of a topology that carries secrets and that others may read.
func openFile(file string) []string {
	info, err := os.Stat(file)
	if file == stdin || err != nil || info.Mode().Perm()&0o044 == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s: carries secrets, and with mode %04o others may read it: chmod 600 %s", file, info.Mode().Perm(), file)}
}

// loadFile reads a topology and derives what this host shall be.
func (g *globals) loadFile(ctx context.Context, v *vault.Vault, file string) (*site, error) {
	d, err := g.readTopology(file)
	if err != nil {
		return nil, err
	}
	t := d.Topology
	name, err := node.Identify(t, g.Hints(g.node))
	if err != nil {
		return nil, &usageError{err}
	}
	dir, path, err := whereIs(file)
	if err != nil {
		return nil, err
	}
	s := g.newSecrets(ctx, v, dir, nil)
	want, err := desired.Derive(t, name, s)
	if err != nil {
		return nil, &usageError{err}
	}
	return &site{topology: t, node: name, state: want, record: &state.Applied{
		Site: t.Site, Node: name, At: g.now(), File: path, Dir: dir,
		Topology: string(d.redacted), Secrets: s.carried, State: want, Reading: s.reading(d, file),
	}}, nil
}

// now is the time as records hold it.
func (g *globals) now() time.Time { return g.Now().UTC().Truncate(time.Second) }

// whereIs is the folder to which the paths in a topology are relative, and its own path.
func whereIs(file string) (dir, path string, err error) {
	if file == stdin {
		dir, err = os.Getwd()
		return dir, stdin, err
	}
	path, err = filepath.Abs(file)
	return filepath.Dir(path), path, err
}

// loadApplied derives again what was applied last: secrets from files are today's, the
// others those that were kept.
func (g *globals) loadApplied(ctx context.Context, v *vault.Vault, a *state.Applied) (*site, error) {
	t, _, err := topology.Parse(nameOf(a.File)+" (as applied)", []byte(a.Topology))
	if err != nil {
		return nil, err
	}
	name := a.Node
	if g.node != "" {
		if name, err = node.Identify(t, g.Hints(g.node)); err != nil {
			return nil, &usageError{err}
		}
	}
	s := g.newSecrets(ctx, v, a.Dir, a.Secrets)
	want, err := desired.Derive(t, name, s)
	if err != nil {
		return nil, &usageError{err}
	}
	record := *a
	record.Node, record.State, record.At = name, want, g.now()
	record.Reading = nil // it tells of another state, and perhaps of other secrets
	return &site{topology: t, node: name, state: want, record: &record}, nil
}

// secrets is the desired.Source of this host: it reads what a topology refers to, and
// notes what has to be kept because it cannot be read again.
type secrets struct {
	ctx      context.Context
	resolver *secret.Resolver
	vault    *vault.Vault
	kept     map[string]secret.ID // from an earlier apply, by path of the key
	carried  map[string]secret.ID
	files    []state.SecretFile
	// once is set where a secret came from what cannot be asked twice without anybody
	// noticing, or did not come.
	once bool
}

var _ desired.Source = (*secrets)(nil)

func (g *globals) newSecrets(ctx context.Context, v *vault.Vault, dir string, kept map[string]secret.ID) *secrets {
	r := &secret.Resolver{Dir: dir, Getenv: g.Getenv}
	return &secrets{ctx: ctx, resolver: r, vault: v, kept: kept, carried: map[string]secret.ID{}}
}

// Value implements desired.Source.
func (s *secrets) Value(ref *secret.Ref) (secret.Value, error) {
	if id, ok := s.kept[ref.Pos.Path]; ok {
		return s.vault.Value(id)
	}
	v, err := s.resolver.Resolve(s.ctx, ref)
	if err == nil && ref.Origin != secret.File && !ref.Public {
		s.carried[ref.Pos.Path] = s.vault.ID(v)
	}
	s.note(ref, v, err)
	return v, err
}

// ID implements desired.Source.
func (s *secrets) ID(_ *secret.Ref, v secret.Value) secret.ID { return s.vault.ID(v) }
