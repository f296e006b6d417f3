package secret

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/vpnctl/vpnctl/internal/host"
)

const (
	// maxSize bounds a secret: a chain of certificates fits many times, and a wrong
	// path (a disk, a log) does not fill the memory.
	maxSize = 1 << 20
	// commandTimeout is for a program that talks to a store somewhere on the network.
	commandTimeout = 30 * time.Second
	// credentialsEnv is where systemd puts the path of a unit's credentials.
	credentialsEnv = "CREDENTIALS_DIRECTORY"
)

// ErrMasked is what a source answers that has secrets but shows none: `validate` and
// `render` ask nobody for a secret.
var ErrMasked = errors.New("masked secret")

// Resolver reads what refs refer to. Each origin is read once, whatever comes of it: a
// command that asks a store, or a person, is not asked again for each tunnel. Its zero
// value is ready, and it is safe for use by several goroutines.
type Resolver struct {
	// Dir is the folder that relative paths are relative to, the topology's; a command
	// runs in it. Empty is the working directory.
	Dir string
	// Getenv looks a variable up; nil is os.LookupEnv.
	Getenv func(name string) (string, bool)

	mu    sync.Mutex
	known map[origin]answer
	// timeout is commandTimeout where it is zero.
	timeout time.Duration
}

// origin is all of a Ref that what it resolves to depends on.
type origin struct {
	kind       Origin
	name, argv string
	public     bool
}

type answer struct {
	data []byte
	err  error
}

// Resolve returns the secret that ref refers to. An error says where it should have come
// from and what to do, never any of what was read; a file that is missing is
// fs.ErrNotExist.
func (r *Resolver) Resolve(ctx context.Context, ref *Ref) (Value, error) {
	data, err := r.read(ctx, ref)
	if err != nil {
		return Value{}, fmt.Errorf("%s: %w", r.describe(ref), err)
	}
	data, err = decode(ref.Encoding, data)
	if err != nil {
		return Value{}, fmt.Errorf("%s: %w", r.describe(ref), err)
	}
	if len(data) == 0 {
		return Value{}, fmt.Errorf("%s: is empty", r.describe(ref))
	}
	return New(data), nil
}

// describe names the origin, a file by the path that was really opened.
func (r *Resolver) describe(ref *Ref) string {
	if ref.Origin == File {
		return "file " + r.path(ref.Name)
	}
	return ref.String()
}

func (r *Resolver) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(r.Dir, name)
}

func (r *Resolver) getenv(name string) (string, bool) {
	if r.Getenv == nil {
		return os.LookupEnv(name)
	}
	return r.Getenv(name)
}

// read reads an origin unless that was done before. An answer that was cut off by the
// caller's own context is no answer.
func (r *Resolver) read(ctx context.Context, ref *Ref) ([]byte, error) {
	if ref.Origin == Inline {
		return ref.Value.Reveal(), nil
	}
	key := origin{kind: ref.Origin, name: ref.Name, argv: strings.Join(ref.Argv, "\x00"), public: ref.Public}
	r.mu.Lock()
	defer r.mu.Unlock()
	if a, ok := r.known[key]; ok {
		return a.data, a.err
	}
	data, err := r.readOrigin(ctx, ref)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if r.known == nil {
		r.known = map[origin]answer{}
	}
	r.known[key] = answer{data, err}
	return data, err
}

func (r *Resolver) readOrigin(ctx context.Context, ref *Ref) ([]byte, error) {
	switch ref.Origin {
	case File:
		data, err := readFile(r.path(ref.Name), ref.Public)
		return trimLineEnd(data), err
	case Env:
		s, ok := r.getenv(ref.Name)
		if !ok {
			return nil, errors.New("is not set in the environment")
		}
		return []byte(s), nil
	case Command:
		data, err := r.run(ctx, ref.Argv)
		return trimLineEnd(data), err
	case Credential:
		data, err := r.credential(ref.Name)
		return trimLineEnd(data), err
	}
	return nil, fmt.Errorf("unknown origin %q", ref.Origin)
}

// run returns what a command prints.
func (r *Resolver) run(ctx context.Context, argv []string) ([]byte, error) {
	timeout := r.timeout
	if timeout == 0 {
		timeout = commandTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	data, err := host.RunAsCaller(ctx, r.Dir, argv, maxSize)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("no answer within %s", timeout)
	case errors.Is(err, host.ErrTooLong):
		return nil, errTooLarge
	}
	return data, err
}

// credential reads what systemd has put there for this unit alone: it sees to the
// permissions, which may look open in a stat because they are an access control list.
func (r *Resolver) credential(name string) ([]byte, error) {
	cure := "run vpnctl in a unit with LoadCredential=" + name
	dir, ok := r.getenv(credentialsEnv)
	if !ok {
		return nil, errors.New(credentialsEnv + " is not set; " + cure)
	}
	if name != filepath.Base(name) || name == ".." || name == "." {
		return nil, errors.New("is no name of a credential")
	}
	data, err := readFile(filepath.Join(dir, name), true)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; %s", fs.ErrNotExist, cure)
	}
	return data, err
}
