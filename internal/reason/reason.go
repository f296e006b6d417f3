package reason

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vpnctl/vpnctl/internal/host"
)

// Dir is where the reasons of a running system stand. They do not outlive a boot, as the
// daemons do not.
const Dir = "/run/vpnctl/reasons"

// Key names one tunnel: a child of a connection.
type Key struct {
	Connection string
	Child      string
}

// Reason is why a tunnel came not up, or went down.
type Reason struct {
	Text string    `json:"text"`
	Time time.Time `json:"time"`
}

// Store is a folder of reasons, a file a tunnel: who writes one does not have to read the
// others, so that apply and watch need no lock between them.
type Store struct {
	dir string
}

// Open opens the store in a folder, which need not exist.
func Open(dir string) *Store { return &Store{dir: dir} }

// separator stands between the names of a key; neither may hold it.
const separator = ","

// path is a key's file. Names that could lead elsewhere have none.
func (s *Store) path(k Key) (string, error) {
	for _, name := range []string{k.Connection, k.Child} {
		if name == "" || strings.ContainsAny(name, separator+"/\x00") || strings.HasPrefix(name, ".") {
			return "", fmt.Errorf("naming reason: %q is no name", name)
		}
	}
	return filepath.Join(s.dir, k.Connection+separator+k.Child), nil
}

// Put sets the reason of one tunnel.
func (s *Store) Put(k Key, r Reason) error {
	path, err := s.path(k)
	if err != nil {
		return err
	}
	// Not by MkdirAll of the file's own folders, which would be open to all.
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("making folder for reasons: %w", err)
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encoding reason: %w", err)
	}
	return host.Disk{}.Replace(path, host.File{Data: raw, Mode: 0o600, UID: os.Geteuid(), GID: os.Getegid()})
}

// Clear forgets the reason of a tunnel that is up; none there is success.
func (s *Store) Clear(k Key) error {
	path, err := s.path(k)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forgetting reason: %w", err)
	}
	return nil
}

// All returns every reason. What cannot be read as one is none.
func (s *Store) All() (map[Key]Reason, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing reasons: %w", err)
	}
	all := map[Key]Reason{}
	for _, e := range entries {
		connection, child, ok := strings.Cut(e.Name(), separator)
		if !ok {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(s.dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // cleared in between
		}
		if err != nil {
			return nil, fmt.Errorf("reading reason: %w", err)
		}
		var r Reason
		if json.Unmarshal(raw, &r) == nil {
			all[Key{connection, child}] = r
		}
	}
	return all, nil
}
