package guest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Places in the initial file system while the machine's root is put together.
const (
	lowerDir = "/lower" // the files of the machine around, read-only
	upperDir = "/upper" // what changes
	newRoot  = "/root"
)

// enterRoot puts the machine's root together and moves there.
func enterRoot(job Job) error {
	if err := mountRoot(job.Systemd); err != nil {
		return err
	}
	if err := mount(job.modulesAt(lowerDir), newRoot+"/lib/modules", "", unix.MS_BIND, ""); err != nil {
		return err
	}
	if err := keepState(newRoot + StateDir); err != nil {
		return fmt.Errorf("keeping programs: %w", err)
	}
	// Where the machine around is a container, its mark would make systemd
	// take this machine for one, and reboot without writing the disk.
	if err := os.Remove(newRoot + "/.dockerenv"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for to, from := range job.Install {
		if err := copyFile(newRoot+to, filepath.Join(ProgramDir, from)); err != nil {
			return fmt.Errorf("installing %s: %w", to, err)
		}
	}
	if job.Systemd {
		if err := prepareSystemd(newRoot); err != nil {
			return fmt.Errorf("preparing systemd: %w", err)
		}
	}
	for _, dir := range []string{"/proc", "/sys", "/dev"} {
		if err := mount(dir, newRoot+dir, "", unix.MS_MOVE, ""); err != nil {
			return err
		}
	}
	if err := switchRoot(); err != nil {
		return fmt.Errorf("switching root: %w", err)
	}
	return mountDevices()
}

// modulesAt returns the folder of the modules below a root.
func (j Job) modulesAt(root string) string { return filepath.Join(root, j.Modules) }

// mountRoot lays a layer for changes over the files of the machine around.
func mountRoot(systemd bool) error {
	// Loose caching is right for files that do not change meanwhile: most
	// reads never leave the guest a second time.
	opts := "trans=virtio,version=9p2000.L,cache=loose,msize=1048576"
	if err := mount(RootTag, lowerDir, "9p", unix.MS_RDONLY, opts); err != nil {
		return err
	}
	var err error
	if systemd {
		err = mountDisk()
	} else {
		err = mount("tmpfs", upperDir, "tmpfs", 0, "mode=755,size=75%")
	}
	if err != nil {
		return err
	}
	for _, dir := range []string{"/changes", "/work"} {
		if err := os.MkdirAll(upperDir+dir, 0o755); err != nil {
			return err
		}
	}
	opts = fmt.Sprintf("lowerdir=%s,upperdir=%s/changes,workdir=%s/work", lowerDir, upperDir, upperDir)
	if err := mount("overlay", newRoot, "overlay", 0, opts); err != nil {
		return err
	}
	return mount("tmpfs", newRoot+"/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755")
}

// keepState carries job and programs over into the new root. The programs stay
// where they are in memory.
func keepState(dir string) error {
	if err := mount(ProgramDir, filepath.Join(dir, ProgramDir), "", unix.MS_BIND, ""); err != nil {
		return err
	}
	return errors.Join(
		copyFile(filepath.Join(dir, JobFile), JobFile),
		copyFile(filepath.Join(dir, "agent"), "/init"),
	)
}

// copyFile copies a program or a small file.
func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// switchRoot makes the new root the root of this process and its children.
func switchRoot() error {
	if err := os.Chdir(newRoot); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return err
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	return os.Chdir("/")
}

// mountDevices adds what programs take for granted and a bare /dev lacks.
func mountDevices() error {
	for name, target := range map[string]string{
		"/dev/fd":     "/proc/self/fd",
		"/dev/stdin":  "/proc/self/fd/0",
		"/dev/stdout": "/proc/self/fd/1",
		"/dev/stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, name); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	if err := mount("devpts", "/dev/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "gid=5,mode=620,ptmxmode=666"); err != nil {
		return err
	}
	if err := mount("tmpfs", "/dev/shm", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777"); err != nil {
		return err
	}
	if err := os.MkdirAll("/run/lock", 0o755); err != nil {
		return err
	}
	return os.Chmod("/run/lock", os.ModeSticky|0o777)
}

// uptime returns the time since the kernel's start.
func uptime() time.Duration {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return time.Duration(ts.Nano())
}
