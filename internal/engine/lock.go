package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnctl/vpnctl/internal/state"
)

// LockedError says that another vpnctl is at work.
type LockedError struct {
	PID int // 0 where it did not say
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return "another vpnctl holds the lock"
	}
	return fmt.Sprintf("another vpnctl holds the lock: process %d", e.PID)
}

// lockPoll is how often a held lock is asked for again. flock(2) itself could wait, but
// not with a bound.
const lockPoll = 50 * time.Millisecond

const lockFile = "lock"

// lock is held until it is closed or the process ends, however that ends.
type lock struct {
	f *os.File
	e *Engine
}

// acquire takes the lock of this host, and waits for it.
func (e *Engine) acquire(ctx context.Context) (*lock, error) {
	deadline := time.NewTimer(e.LockTimeout)
	defer deadline.Stop()
	for {
		f, err := e.openLock()
		if (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist)) && ctx.Err() == nil {
			continue // the folder just went with the lock of somebody else's destroy
		}
		if err != nil {
			return nil, err
		}
		if err := await(ctx, f, deadline.C); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if !named(f) {
			_ = f.Close()
			continue // whoever had it has removed it: the next takes another
		}
		// Only for whoever has to wait; the lock does not depend on it.
		_ = f.Truncate(0)
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0)
		return &lock{f, e}, nil
	}
}

func (e *Engine) openLock() (*os.File, error) {
	if err := os.MkdirAll(e.RunDir, 0o700); err != nil {
		return nil, fmt.Errorf("making run folder: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(e.RunDir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening lock: %w", err)
	}
	return f, nil
}

// named reports whether a file is still what its name stands for.
func named(f *os.File) bool {
	have, err := f.Stat()
	if err != nil {
		return false
	}
	at, err := os.Stat(f.Name())
	return err == nil && os.SameFile(have, at)
}

func await(ctx context.Context, f *os.File, deadline <-chan time.Time) error {
	poll := time.NewTicker(lockPoll)
	defer poll.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return os.NewSyscallError("flock", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			return &LockedError{PID: holder(f)}
		case <-poll.C:
		}
	}
}

// holder reads who has the lock.
func holder(f *os.File) int {
	b := make([]byte, 16)
	n, _ := f.ReadAt(b, 0) // an empty file is nobody
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil {
		return 0
	}
	return pid
}

// release gives the lock back. On a host where nothing is applied it leaves no trace: it
// is removed while it is held, and who waits for it finds that it has lost its name.
func (l *lock) release() {
	if l.e.State.Stamp() == (state.Stamp{}) {
		if rec, err := l.e.State.Interrupted(); rec == nil && err == nil {
			_ = os.Remove(l.f.Name())
			_ = os.Remove(l.e.RunDir) // it stays where others have something in it
		}
	}
	// A child that was just forked, and is not yet another program, has the file as well.
	_ = unix.Flock(int(l.f.Fd()), unix.LOCK_UN)
	_ = l.f.Close()
}

// Locked reports whether an apply is under way now. It does not wait, and makes nothing.
func (e *Engine) Locked() bool {
	f, err := os.Open(filepath.Join(e.RunDir, lockFile))
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	// A shared lock of our own is gone with the file; meanwhile it could only delay
	// an apply by one poll.
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}
