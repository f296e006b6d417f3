package rtnl

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// namespaceDir is where ip-netns(8) keeps the names of namespaces.
const namespaceDir = "/run/netns"

// ownNamespace is the namespace of the calling thread.
const ownNamespace = "/proc/thread-self/ns/net"

// NamespacePath is the file that holds a named namespace open.
func NamespacePath(name string) string { return filepath.Join(namespaceDir, name) }

// OpenNamespace opens a named namespace for MoveLink; "" is the caller's own.
func OpenNamespace(name string) (*os.File, error) {
	if name == "" {
		return os.Open(ownNamespace)
	}
	return os.Open(NamespacePath(name))
}

// HasNamespace reports whether there is a namespace of that name.
func HasNamespace(name string) bool {
	_, err := os.Stat(NamespacePath(name))
	return err == nil
}

// Within runs fn in a named namespace; "" is the caller's own. What fn opens stays in
// that namespace, and belongs to no thread any more.
func Within(netns string, fn func() error) error {
	if netns == "" {
		return fn()
	}
	f, err := OpenNamespace(netns)
	if err != nil {
		return fmt.Errorf("opening network namespace: %w", err)
	}
	defer func() { _ = f.Close() }()
	return OnThread(func() error {
		if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering network namespace %s: %w", netns, err)
		}
		return fn()
	})
}

// AddNamespace makes a namespace as `ip netns add` does; one that exists is success.
func AddNamespace(name string) error {
	if HasNamespace(name) {
		return nil
	}
	if err := shareNamespaces(); err != nil {
		return fmt.Errorf("sharing %s: %w", namespaceDir, err)
	}
	path := NamespacePath(name)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o444)
	if err != nil {
		return fmt.Errorf("adding network namespace: %w", err)
	}
	_ = f.Close()
	err = OnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		return unix.Mount(ownNamespace, path, "none", unix.MS_BIND, "")
	})
	if err != nil {
		_ = os.Remove(path)
		return fmt.Errorf("adding network namespace %s: %w", name, err)
	}
	return nil
}

// DelNamespace removes a namespace; none of that name is success.
func DelNamespace(name string) error {
	path := NamespacePath(name)
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("deleting network namespace %s: %w", name, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("deleting network namespace: %w", err)
	}
	return nil
}

// shareNamespaces makes the folder a shared mount, so that services with mounts of
// their own see the names come and go.
func shareNamespaces() error {
	if err := os.MkdirAll(namespaceDir, 0o755); err != nil {
		return err
	}
	err := unix.Mount("", namespaceDir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if !errors.Is(err, unix.EINVAL) {
		return err
	}
	// It is no mount yet.
	if err := unix.Mount(namespaceDir, namespaceDir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	return unix.Mount("", namespaceDir, "none", unix.MS_SHARED|unix.MS_REC, "")
}
