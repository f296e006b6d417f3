package watch

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnctl/vpnctl/internal/backend"
)

// Command is the subcommand that watches; it is how a process is known.
const Command = "watch"

// The files of the process below the run folder. The lock says that one runs, the other
// file which.
const (
	lockFile = "watch.lock"
	pidFile  = "watch.pid"
)

// processObject is the process in plans and messages.
const processObject = "watch/process"

// Claim is the right to be the one process that watches. It ends with the process,
// however that ends.
type Claim struct {
	runDir string
	lock   *os.File
}

// Take takes the claim for this process. Where another has it, that is a Refusal.
func Take(runDir string) (*Claim, error) {
	c, err := claim(runDir)
	if err != nil {
		return nil, err
	}
	pid := strconv.Itoa(os.Getpid()) + "\n"
	if err := os.WriteFile(filepath.Join(runDir, pidFile), []byte(pid), 0o600); err != nil {
		c.Release()
		return nil, fmt.Errorf("noting process: %w", err)
	}
	return c, nil
}

// claim locks the claim without saying who has it.
func claim(runDir string) (*Claim, error) {
	if err := os.MkdirAll(runDir, 0o700); err != nil {
		return nil, fmt.Errorf("making run folder: %w", err)
	}
	path := filepath.Join(runDir, lockFile)
	deadline := time.Now().Add(ghostTime)
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, fmt.Errorf("opening lock: %w", err)
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			_ = f.Close()
			if ghost(runDir) && time.Now().Before(deadline) {
				time.Sleep(ghostPoll)
				continue
			}
			return nil, taken(runDir)
		}
		if err != nil {
			_ = f.Close()
			return nil, os.NewSyscallError("flock", err)
		}
		if stands(f, path) {
			return &Claim{runDir: runDir, lock: f}, nil
		}
		_ = f.Close() // whoever had it has just removed it
	}
}

// A process that has ended may still hold the lock: a child that it had forked, and that
// has not become another program yet, has all its files. That passes.
const (
	ghostTime = 2 * time.Second
	ghostPoll = 20 * time.Millisecond
)

// ghost reports whether the process that wrote itself down last is no more.
func ghost(runDir string) bool {
	pid := noted(runDir)
	return pid != 0 && !watches(pid)
}

// stands reports whether an open file is still what a path names.
func stands(f *os.File, path string) bool {
	have, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(have, named)
}

// taken is the refusal to watch beside another process.
func taken(runDir string) error {
	who := "another process"
	if pid := noted(runDir); pid != 0 {
		who = fmt.Sprintf("process %d", pid)
		if !sameNetwork(pid) {
			who += ", in another network namespace,"
		}
	}
	return backend.Refuse(processObject, "", "%s watches already", who)
}

// Release gives the claim back and leaves no file.
func (c *Claim) Release() {
	_ = os.Remove(filepath.Join(c.runDir, pidFile))
	_ = os.Remove(c.lock.Name())
	_ = c.lock.Close()
}

// running returns the process that watches on this host, 0 for none: one in another
// network namespace sees another host.
func running(runDir string) int {
	pid := noted(runDir)
	if pid == 0 || !watches(pid) || !sameNetwork(pid) {
		return 0
	}
	return pid
}

// noted is the process that wrote itself down last, 0 for none.
func noted(runDir string) int {
	b, err := os.ReadFile(filepath.Join(runDir, pidFile))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 0 {
		return 0
	}
	return pid
}

// watches tells our process from one that has got its number since. One that has ended
// and that nobody has reaped has no command line.
func watches(pid int) bool {
	argv, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && bytes.Contains(argv, []byte("\x00"+Command+"\x00"))
}

// sameNetwork reports whether a process is in this one's network namespace.
func sameNetwork(pid int) bool {
	theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return false
	}
	ours, err := os.Readlink("/proc/self/ns/net")
	return err == nil && theirs == ours
}

// litter reports whether a process that was killed has left its files.
func litter(runDir string) bool {
	for _, name := range []string{lockFile, pidFile} {
		if _, err := os.Lstat(filepath.Join(runDir, name)); !errors.Is(err, fs.ErrNotExist) {
			return true
		}
	}
	return false
}
