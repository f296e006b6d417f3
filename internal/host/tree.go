package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Tree is Files for those who must know what stands at a path before they take it, and
// leave no folders of theirs behind.
type Tree interface {
	Files
	// Type returns the type bits of what is at path, 0 for a plain file. A symbolic
	// link is one, whatever it leads to; nothing there is fs.ErrNotExist.
	Type(path string) (fs.FileMode, error)
	// RemoveFolder removes an empty folder; one that holds something stays, and one
	// that is not there is success.
	RemoveFolder(path string) error
}

// Type implements Tree.
func (Disk) Type(path string) (fs.FileMode, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, syscall.ENOTDIR) {
		// Part of the path is a file: nothing can be below it.
		return 0, fmt.Errorf("looking at %s: %w", path, fs.ErrNotExist)
	}
	if err != nil {
		return 0, err
	}
	return info.Mode().Type(), nil
}

// RemoveFolder implements Tree.
func (Disk) RemoveFolder(path string) error {
	err := syscall.Rmdir(path)
	switch {
	case errors.Is(err, syscall.ENOTEMPTY), errors.Is(err, syscall.EEXIST),
		errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return nil
	case err != nil:
		return fmt.Errorf("removing folder %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}
