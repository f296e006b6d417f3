package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/host"
)

// format is the version of what lies in the folder. A folder of a newer one is not
// touched: this program would lose what it does not know.
const format = "1"

// The names below the folder.
const (
	formatFile  = "format"
	appliedFile = "applied"
	memoryFile  = "memory.json"
	journalFile = "journal"
)

// Dir is a state folder. It need not exist: reading from none finds nothing.
type Dir struct {
	Path  string
	Files host.Files

	last struct { // Applied's answer, and what it was read from
		data    []byte
		applied *Applied
	}
}

// Check refuses a folder that a newer vpnctl wrote.
func (d *Dir) Check() error {
	f, err := d.Files.Read(d.file(formatFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("reading state: %w", err)
	}
	if got := strings.TrimSpace(string(f.Data)); got != format {
		return backend.Refuse("state"+d.Path, "use the vpnctl that wrote it, or a newer one",
			"the folder has format %q, and this vpnctl knows %s", got, format)
	}
	return nil
}

// Init makes the folder, for root alone.
func (d *Dir) Init() error {
	if err := os.MkdirAll(d.Path, 0o700); err != nil {
		return fmt.Errorf("making state folder: %w", err)
	}
	// The folder of a package, or of an administrator, may be open.
	if err := os.Chmod(d.Path, 0o700); err != nil {
		return fmt.Errorf("closing state folder: %w", err)
	}
	if _, err := d.Files.Read(d.file(formatFile)); err == nil {
		return nil
	}
	return d.write(formatFile, []byte(format+"\n"))
}

// Memory returns what the backends remember; see backend.Memory. It is never nil.
func (d *Dir) Memory() (backend.Memory, error) {
	m := backend.Memory{}
	if _, err := d.read(memoryFile, &m); err != nil {
		return nil, err
	}
	return m, nil
}

// SaveMemory stores what the backends remember.
func (d *Dir) SaveMemory(m backend.Memory) error { return d.save(memoryFile, m) }

// Remove removes the folder and everything in it. The journal goes last: a removal that
// is cut off is found and finished.
func (d *Dir) Remove() error { return d.remove(func(string) bool { return false }) }

// Forget removes what was applied and leaves the history, with what its secrets need. A
// folder without history goes as a whole.
func (d *Dir) Forget() error {
	numbers, err := d.historyNumbers()
	if err != nil {
		return err
	}
	if len(numbers) == 0 {
		return d.Remove()
	}
	return d.remove(func(name string) bool {
		return !slices.Contains([]string{appliedFile, memoryFile, journalFile, armedFile, beforeFile}, name)
	})
}

func (d *Dir) remove(keep func(name string) bool) error {
	entries, err := os.ReadDir(d.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing state folder: %w", err)
	}
	kept := false
	for _, e := range entries {
		if kept = kept || keep(e.Name()); keep(e.Name()) || e.Name() == journalFile {
			continue
		}
		if err := os.RemoveAll(d.file(e.Name())); err != nil {
			return fmt.Errorf("removing state folder: %w", err)
		}
	}
	last := d.Path
	if kept {
		last = d.file(journalFile)
	}
	if err := os.RemoveAll(last); err != nil {
		return fmt.Errorf("removing state folder: %w", err)
	}
	return nil
}

func (d *Dir) file(name string) string { return filepath.Join(d.Path, name) }

func (d *Dir) read(name string, v any) (found bool, err error) {
	f, err := d.Files.Read(d.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading state: %w", err)
	}
	if err := json.Unmarshal(f.Data, v); err != nil {
		return false, fmt.Errorf("reading state %s: %w", d.file(name), err)
	}
	return true, nil
}

func (d *Dir) save(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding state %s: %w", name, err)
	}
	return d.write(name, append(b, '\n'))
}

func (d *Dir) write(name string, b []byte) error {
	f := host.File{Data: b, Mode: 0o600, UID: os.Geteuid(), GID: os.Getegid()}
	if err := d.Files.Sweep(d.file(name)); err != nil {
		return fmt.Errorf("writing state: %w", err)
	}
	if err := d.Files.Replace(d.file(name), f); err != nil {
		return fmt.Errorf("writing state: %w", err)
	}
	return nil
}
