package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// private are the folders in which a host sees the machine's files and keeps
// its changes to itself. /tmp is one of them so that a program which the test
// built into a temporary folder can be run in the hosts.
var private = []string{"/etc", "/var", "/tmp"}

// mountAll gives the calling process, alone in its mount namespace, its own
// view of the file system. Every change lands in a tmpfs that goes with the
// namespace, so there is nothing to clean up after a killed run.
func mountAll() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mounting /sys: %w", err)
	}
	// The changes' tmpfs needs some folder to be mounted on. It is /run,
	// which the host's own empty one hides afterwards.
	if err := mountTmpfs("/run"); err != nil {
		return err
	}
	for _, dir := range private {
		if err := mountPrivate(dir, filepath.Join("/run", dir)); err != nil {
			return fmt.Errorf("mounting private %s: %w", dir, err)
		}
	}
	if err := mountTmpfs("/run"); err != nil {
		return err
	}
	if err := os.Mkdir("/run/lock", 0o755); err != nil {
		return err
	}
	return os.Chmod("/run/lock", os.ModeSticky|0o777)
}

// mountTmpfs mounts an empty file system.
func mountTmpfs(dir string) error {
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mounting tmpfs on %s: %w", dir, err)
	}
	return nil
}

// mountPrivate lays a layer for changes, kept below store, over dir.
func mountPrivate(dir, store string) error {
	upper, work := filepath.Join(store, "upper"), filepath.Join(store, "work")
	if err := errors.Join(os.MkdirAll(upper, 0o755), os.MkdirAll(work, 0o755)); err != nil {
		return err
	}
	// The merged folder shows the mode of the upper one.
	fi, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if err := os.Chmod(upper, fi.Mode()); err != nil {
		return err
	}
	opts := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", dir, upper, work)
	err = unix.Mount("overlay", dir, "overlay", 0, opts)
	if err == nil {
		return nil
	}
	if err := copyInto(upper, dir); err != nil {
		return fmt.Errorf("copying where overlay was refused: %w", err)
	}
	return unix.Mount(upper, dir, "", unix.MS_BIND, "")
}

// copyInto copies what a host needs of dir, for kernels that refuse to stack
// overlays. /etc is small and is copied as it is; of the others only the
// folders are wanted.
func copyInto(to, dir string) error {
	if dir == "/etc" {
		return os.CopyFS(to, os.DirFS(dir))
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Type()&os.ModeSymlink != 0 {
			target, err := os.Readlink(filepath.Join(dir, e.Name()))
			if err == nil {
				err = os.Symlink(target, filepath.Join(to, e.Name()))
			}
			if err != nil {
				return err
			}
		} else if e.IsDir() {
			if err := os.Mkdir(filepath.Join(to, e.Name()), 0o755); err != nil {
				return err
			}
		}
	}
	return nil
}
