package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Settings is Sysctl for those who must know what they may change, and of which keys
// the kernel changes others along.
type Settings interface {
	Sysctl
	// List returns the names below a folder of keys ("net/ipv4/conf"), sorted; none
	// where there is no such folder.
	List(folder string) ([]string, error)
	// Writable reports whether Set can succeed: fs.ErrPermission where it may not, be
	// it for want of a capability or because /proc/sys is mounted read-only.
	Writable(key string) error
}

// List implements Settings.
func (Proc) List(folder string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join("/proc/sys", folder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

// Writable implements Settings. It asks for the effective ids, as a write would be
// judged, and writes nothing.
func (Proc) Writable(key string) error {
	err := unix.Faccessat(unix.AT_FDCWD, filepath.Join("/proc/sys", key), unix.W_OK, unix.AT_EACCESS)
	if errors.Is(err, unix.EROFS) {
		return fmt.Errorf("%s on a read-only file system: %w", key, fs.ErrPermission)
	}
	return err
}
