package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/secret"
)

// The operation kinds of Step: of a file that anybody may read in the journal, and of
// one whose content is a secret.
const (
	Op       = "file"
	SecretOp = "file.secret"
)

// State is one file, whole, as an operation leads from or to it.
type State struct {
	Path string `json:"path"`
	host.File
	// Folders are those above it that are there for vpnctl's files alone, outermost
	// first. They go with the last file in them.
	Folders []string `json:"folders,omitempty"`
	// Content stands for Data where that is nobody's business: the journal holds the id.
	Content secret.ID `json:"content,omitempty"`
	// Gone says that the file is not there and its folders still may be: its removal
	// was cut off between them.
	Gone bool `json:"gone,omitempty"`
}

// Step leads a file from one state to another; nil is no file. Backends whose files the
// rules of Owner do not fit (a block in a shared file) plan with it directly.
func Step(phase backend.Phase, from, to *State, changes ...backend.Change) backend.Step {
	// A nil *State in an any is not nil: the journal needs to see the absence.
	op := backend.Op{Kind: Op}
	if from.hidden() || to.hidden() {
		op.Kind = SecretOp
	}
	if from != nil {
		op.From = from
	}
	if to != nil {
		op.To = to
	}
	return backend.Step{Phase: phase, Changes: changes, Op: op}
}

// hidden reports whether the content is a secret.
func (s *State) hidden() bool { return s != nil && s.Content != "" }

// Handler does the steps of Step, apart from those of secret files.
func Handler(files host.Tree) backend.Handler { return SecretHandler(files, nil) }

// SecretHandler does the steps of Step whose content is behind an id.
func SecretHandler(files host.Tree, secrets backend.Secrets) backend.Handler {
	return backend.Handle(func(_ context.Context, from, to *State) error {
		for _, s := range []*State{from, to} {
			if s == nil {
				continue
			}
			// The attempt before this one may have been killed.
			if err := files.Sweep(s.Path); err != nil {
				return err
			}
		}
		if to != nil && !to.Gone {
			f := to.File
			if to.hidden() {
				v, err := secrets.Value(to.Content)
				if err != nil {
					return fmt.Errorf("reading content of %s: %w", to.Path, err)
				}
				f.Data = v.Reveal()
			}
			// Replacing renames over whatever the path names, so that a
			// symbolic link put there meanwhile is never written through.
			return files.Replace(to.Path, f)
		}
		if from == nil {
			return nil
		}
		if err := files.Remove(from.Path); err != nil {
			return err
		}
		for _, folder := range slices.Backward(from.Folders) {
			if err := files.RemoveFolder(folder); err != nil {
				return err
			}
		}
		return nil
	})
}

// object is the path of a file in plans; file paths are absolute.
func object(path string) string { return string(backend.File) + path }

// above looks at the folders above a path: those that are missing, and what stands where
// one should be. A link counts as a folder: the owner may keep /etc elsewhere.
func above(files host.Tree, path string) (missing []string, blocks string, err error) {
	for at := strings.LastIndexByte(path, '/'); at > 0; at = strings.LastIndexByte(path, '/') {
		path = path[:at]
		typ, err := files.Type(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing = append(missing, path)
			continue
		case err != nil:
			return nil, "", fmt.Errorf("looking at folder %s: %w", path, err)
		case !typ.IsDir() && typ&fs.ModeSymlink == 0:
			blocks = path
		}
		break
	}
	return missing, blocks, nil
}
