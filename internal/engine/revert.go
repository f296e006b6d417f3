package engine

import (
	"context"
	"errors"
	"time"

	"github.com/vpnctl/vpnctl/internal/state"
)

// Revert undoes what a cut-off apply has done, or one that is armed, and returns what that
// was; nil where there was none. Why is for the history. Errors are *LockedError,
// *StuckError, or what went wrong before anything was undone.
func (e *Engine) Revert(ctx context.Context, why string) (*state.Record, error) {
	return e.revert(ctx, why, func(*state.Armed) (bool, error) { return true, nil })
}

// revert asks under the lock whether to go back.
func (e *Engine) revert(ctx context.Context, why string, wanted func(*state.Armed) (bool, error)) (*state.Record, error) {
	l, err := e.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer l.release()
	t, rec, err := e.cutOff(ctx)
	if rec == nil || err != nil {
		return nil, err
	}
	if ok, err := wanted(t.armed); !ok || err != nil {
		return nil, err
	}
	// Whoever asked for this wants it whole: half an undo is worse than either end.
	ctx = context.WithoutCancel(ctx)
	if left := t.undo(ctx); len(left) > 0 {
		return rec, &StuckError{Err: errors.New("going back: " + why), Left: left}
	}
	return rec, t.goneBack(ctx, why)
}

// goneBack settles that a cut-off or armed apply was undone.
func (t *transaction) goneBack(ctx context.Context, why string) error {
	if t.armed != nil && t.armed.Number != 0 {
		if err := t.State.GoneBack(t.armed.Number, why); err != nil {
			return err
		}
	}
	return t.restore(ctx)
}

// bootPatience bounds the undoing of one step at boot: of what it waits for, much comes up
// only after vpnctl.
const bootPatience = 10 * time.Second

// RevertAtBoot is Revert for a host that has just started: what the kernel and the daemons
// held is gone with the reboot, and much of it cannot be undone any more. What cannot be
// comes back as text, and keeps nothing from coming up: the boot then plans from what was
// applied before.
func (e *Engine) RevertAtBoot(ctx context.Context) (rec *state.Record, left []string, err error) {
	l, err := e.acquire(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer l.release()
	t, rec, err := e.cutOff(ctx)
	if rec == nil || err != nil {
		return nil, nil, err
	}
	t.patience = bootPatience
	ctx = context.WithoutCancel(ctx)
	left = t.undo(ctx)
	return rec, left, t.goneBack(ctx, "the host rebooted before it was confirmed")
}

// cutOff is the apply that was cut off, or is armed, as far as undoing it needs to know;
// without a record there is none.
func (e *Engine) cutOff(ctx context.Context) (*transaction, *state.Record, error) {
	t := &transaction{Engine: e, Assessment: &Assessment{}, start: e.now()}
	var err error
	if t.armed, err = e.State.Armed(); err != nil {
		return nil, nil, err
	}
	rec, err := e.State.Interrupted()
	switch {
	case err != nil:
		return nil, nil, err
	case rec == nil && t.armed != nil:
		// It has gone back, and was cut off before it said so.
		return nil, nil, e.disarm(ctx)
	case rec == nil:
		return nil, nil, nil
	case t.armed != nil:
		t.applied, err = e.State.Before()
	default:
		t.applied, err = e.State.Applied()
	}
	if err != nil {
		return nil, nil, err
	}
	if t.memory, err = e.State.Memory(); err != nil {
		return nil, nil, err
	}
	t.handlers = t.allHandlers()
	return t, rec, nil
}
