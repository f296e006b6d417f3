package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
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
type lock struct{ f *os.File }

// acquire takes the lock of this host, and waits for it.
func (e *Engine) acquire(ctx context.Context) (*lock, error) {
	if err := os.MkdirAll(e.RunDir, 0o700); err != nil {
		return nil, fmt.Errorf("making run folder: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(e.RunDir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening lock: %w", err)
	}
	if err := e.await(ctx, f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	// Only for whoever has to wait; the lock does not depend on it.
	_ = f.Truncate(0)
	_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0)
	return &lock{f}, nil
}

func (e *Engine) await(ctx context.Context, f *os.File) error {
	deadline := time.NewTimer(e.LockTimeout)
	defer deadline.Stop()
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
		case <-deadline.C:
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

func (l *lock) release() { _ = l.f.Close() }

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
