package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"
)

// File is a whole file: undo needs its owner and mode as much as its bytes.
type File struct {
	Data []byte      `json:"data"`
	Mode fs.FileMode `json:"mode"` // permission bits
	UID  int         `json:"uid"`
	GID  int         `json:"gid"`
}

// Files reads and replaces whole files.
type Files interface {
	// Read returns the file at path; an absent one is fs.ErrNotExist.
	Read(path string) (File, error)
	// Replace writes the file so that a reader, or a host that loses power, sees the
	// old one or the new one, never a part. Missing folders are made, 0755.
	Replace(path string, f File) error
	// Remove removes the file; absent is success.
	Remove(path string) error
}

// Disk is the Files of the real host.
type Disk struct{}

// Read implements Files.
func (Disk) Read(path string) (File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return File{}, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return File{}, err
	}
	f := File{Data: data, Mode: info.Mode().Perm()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		f.UID, f.GID = int(st.Uid), int(st.Gid)
	}
	return f, nil
}

// Replace implements Files.
func (Disk) Replace(path string, f File) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	// The temporary file has the final mode from its creation, not by a chmod that
	// leaves a secret open for a moment, and lies beside the file: elsewhere a secret
	// could stay behind where nobody looks for it.
	t, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)), renameio.WithPermissions(f.Mode), renameio.IgnoreUmask())
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer func() { _ = t.Cleanup() }()
	if err := t.Chown(f.UID, f.GID); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if _, err := t.Write(f.Data); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := t.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

// Remove implements Files.
func (Disk) Remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename or removal in dir outlast a loss of power.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	return nil
}
