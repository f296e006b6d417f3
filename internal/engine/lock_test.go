package engine

import (
	"errors"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestLockThatGoes lets many take the lock at once on a host where nothing is applied, so
// that each removes it: there is never more than one who has it, and nothing is left.
func TestLockThatGoes(t *testing.T) {
	b := newBench(t)
	b.LockTimeout = time.Minute
	var holders, most atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				l, err := b.acquire(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if n := holders.Add(1); n > 1 {
					most.Store(n)
				}
				holders.Add(-1)
				l.release()
			}
		})
	}
	all.Wait()
	if n := most.Load(); n > 1 {
		t.Errorf("%d had the lock at once", n)
	}
	if _, err := os.Stat(b.RunDir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the run folder is left: %v", err)
	}
}

// TestLockStays keeps the lock where something is applied, and whatever else is in the
// folder where nothing is.
func TestLockStays(t *testing.T) {
	b := newBench(t)
	b.mustApply("a=1")
	if _, err := os.Stat(b.RunDir + "/lock"); err != nil {
		t.Errorf("after an apply: %v", err)
	}
	if err := os.WriteFile(b.RunDir+"/theirs", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.mustApply("")
	if entries, err := os.ReadDir(b.RunDir); err != nil || len(entries) != 1 {
		t.Errorf("after a destroy: %v, %v", entries, err)
	}
}
