package watch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/engine"
	"github.com/vpnctl/vpnctl/internal/eventlog"
	"github.com/vpnctl/vpnctl/internal/state"
)

// Loop is the process at work.
type Loop struct {
	State *state.Dir
	// Open opens the host anew for each shift: an apply may have made the state folder.
	Open func() (*engine.Engine, error)
	// Again tries what a boot has left out; nil is nobody's matter.
	Again Retry
	Log   *eventlog.Log
	Pace  Pace
	// Due goes back where an armed apply's time is over, and says whether it did; nil is
	// nobody. Its own guardian does so first, where that lives.
	Due func(ctx context.Context) (bool, error)

	told string // why going back failed, so that it is told once
}

// Pace is how patiently a Loop works. Fields that are zero get what is due.
type Pace struct {
	Poll  time.Duration // between two looks whether there was an apply
	First time.Duration // before a watcher that failed is called again, doubling
	Most  time.Duration // at most
	Again time.Duration // before what a boot has left out is tried again, doubling
}

// Run lets those watch who have something to do, until ctx ends.
func (l *Loop) Run(ctx context.Context) {
	l.Pace.Poll = cmp.Or(l.Pace.Poll, 2*time.Second)
	l.Pace.First = cmp.Or(l.Pace.First, time.Second)
	l.Pace.Most = cmp.Or(l.Pace.Most, time.Minute)
	var again sync.WaitGroup
	again.Go(func() { l.again(ctx) })
	defer again.Wait()
	for ctx.Err() == nil {
		l.shift(ctx)
	}
}

// shift goes from one apply to the next.
func (l *Loop) shift(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var staff sync.WaitGroup
	defer staff.Wait()
	// Taken before the state is read: an apply that comes in between begins the next.
	stamp := l.State.Stamp()
	e, in, err := l.begin()
	if err != nil {
		l.Log.Errorf("watch: %v", err)
		l.await(ctx, stamp, l.Pace.Most)
		return
	}
	if in == nil {
		l.await(ctx, stamp, 0)
		return
	}
	for _, b := range e.Backends {
		if w, ok := b.(backend.Watcher); ok {
			s := &backend.Shift{Input: *in, Say: l.Log.Infof, Change: l.changes(e, stamp)}
			staff.Go(func() { l.keep(ctx, string(b.Kind()), w, s) })
		}
	}
	l.await(ctx, stamp, 0)
	cancel()
}

// begin reads what was applied last; nil where nothing was.
func (l *Loop) begin() (*engine.Engine, *backend.Input, error) {
	e, err := l.Open()
	if err != nil {
		return nil, nil, err
	}
	applied, err := e.State.Applied()
	if applied == nil || err != nil {
		return nil, nil, err
	}
	memory, err := e.State.Memory()
	if err != nil {
		return nil, nil, err
	}
	return e, &backend.Input{
		Want: applied.State, Applied: applied.State, AppliedAt: applied.At, Memory: memory, Secrets: e.Vault,
	}, nil
}

// await returns when there was an apply, or ctx ends, or after a bound that is not zero.
// It looks, for a folder that is removed and made again is hard to be told of.
func (l *Loop) await(ctx context.Context, stamp state.Stamp, bound time.Duration) {
	if bound > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, bound)
		defer cancel()
	}
	tick := time.NewTicker(l.Pace.Poll)
	defer tick.Stop()
	for l.State.Stamp() == stamp {
		l.goBack(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// goBack looks for an armed apply whose guardian has died.
func (l *Loop) goBack(ctx context.Context) {
	if l.Due == nil {
		return
	}
	switch done, err := l.Due(ctx); {
	case err != nil && err.Error() != l.told:
		l.told = err.Error()
		l.Log.Errorf("watch: going back: %v; trying again", err)
	case done:
		l.told = ""
		l.Log.Warnf("went back to what was applied before: it was not confirmed in time")
	}
}

// changes lets a watcher write where no apply is under way, and none was since its shift
// began.
func (l *Loop) changes(e *engine.Engine, stamp state.Stamp) func(context.Context, func() error) error {
	return func(ctx context.Context, fn func() error) error {
		err := e.Alone(ctx, func() error {
			if l.State.Stamp() != stamp {
				return backend.ErrBusy
			}
			return fn()
		})
		if locked := (*engine.LockedError)(nil); errors.As(err, &locked) {
			return backend.ErrBusy
		}
		return err
	}
}

// keep calls a watcher, and calls it again when it failed. What fails in the same way
// time and again is told once.
func (l *Loop) keep(ctx context.Context, name string, w backend.Watcher, s *backend.Shift) {
	pause, told := l.Pace.First, ""
	for {
		began := time.Now()
		err := w.Watch(ctx, s)
		if err == nil || ctx.Err() != nil {
			return
		}
		if time.Since(began) > l.Pace.Most {
			pause, told = l.Pace.First, "" // it did well in between
		}
		if line := fmt.Sprintf("watch: %s: %v; trying again", name, err); line != told {
			l.Log.Warnf("%s", line)
			told = line
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
			pause = min(2*pause, l.Pace.Most)
		}
	}
}
