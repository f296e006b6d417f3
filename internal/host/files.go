package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
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
	// Sweep removes what a process that was killed while it replaced the file has left
	// beside it, and nothing of one that still does.
	Sweep(path string) error
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
	t, lock, err := pending(path, f.Mode)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if lock != nil {
		defer func() { _ = lock.Close() }()
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

// pending makes the temporary file of another. The second file holds its lock for as long as
// somebody is at work on it, beyond its own descriptor, which is closed before the rename; it
// is nil where the file system has no locks.
func pending(path string, mode fs.FileMode) (*renameio.PendingFile, *os.File, error) {
	for {
		t, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)), renameio.WithPermissions(mode), renameio.IgnoreUmask())
		if err != nil {
			return nil, nil, err
		}
		lock, err := lockAt(t.Name(), syscall.LOCK_EX)
		if !errors.Is(err, fs.ErrNotExist) {
			// Where a file system has no locks, nobody can sweep either.
			return t, lock, nil
		}
		_ = t.Cleanup()
		// Somebody has swept it away before it was locked.
	}
}

// lockAt locks the file that a path names, until it is closed. One that is gone by then is
// fs.ErrNotExist.
func lockAt(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), how); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	here, err := os.Lstat(path)
	if err == nil {
		var locked fs.FileInfo
		if locked, err = f.Stat(); err == nil && !os.SameFile(here, locked) {
			err = fs.ErrNotExist
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// leftBeside matches the name of a temporary file behind the dot and the name of the file
// that it was to become: renameio appends a random number below 2^63, all but one in a
// million of them of that length.
var leftBeside = regexp.MustCompile(`^[0-9]{13,19}$`)

// Sweep implements Files.
func (Disk) Sweep(path string) error {
	dir := filepath.Dir(path)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for what was left of %s: %w", path, err)
	}
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), "."+filepath.Base(path))
		if !ok || !leftBeside.MatchString(number) || !e.Type().IsRegular() {
			continue
		}
		left := filepath.Join(dir, e.Name())
		lock, err := lockAt(left, syscall.LOCK_EX|syscall.LOCK_NB)
		if err != nil {
			continue // somebody is at work on it, or it has gone; or there are no locks to tell by
		}
		err = os.Remove(left)
		_ = lock.Close()
		if err != nil {
			return fmt.Errorf("removing what was left of %s: %w", path, err)
		}
	}
	return nil
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
