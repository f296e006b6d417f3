package backend

import (
	"context"
	"errors"
)

// Watcher is a backend that has something to do between one apply and the next; see
// contract, section 5. `vpnctl watch` runs it.
type Watcher interface {
	// Watch does it until ctx ends, which is at the next apply. It returns nil sooner
	// where that state needs nobody. After an error it is called again, later and later.
	Watch(ctx context.Context, s *Shift) error
}

// Shift is the time between one apply and the next, for those who watch.
type Shift struct {
	// Input is what was applied: Want and Applied are the same.
	Input
	// Say logs one thing that was done.
	Say func(format string, args ...any)
	// Change calls fn while no apply is under way; everything that writes goes in
	// there, and is quick. Where one is under way, or was meanwhile, fn is not called:
	// ErrBusy. Waiting would make decisions that are out of date.
	Change func(ctx context.Context, fn func() error) error
}

// ErrBusy says that an apply is at work, which may do it itself.
var ErrBusy = errors.New("an apply is under way")
