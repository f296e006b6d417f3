package engine

import (
	"context"
	"errors"
	"time"

	"github.com/vpnctl/vpnctl/internal/state"
)

// Revert undoes what a cut-off apply has done, and returns what that was; nil where there
// was none. Errors are *LockedError, *StuckError, or what went wrong before anything was
// undone.
func (e *Engine) Revert(ctx context.Context) (*state.Record, error) {
	l, err := e.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer l.release()
	t, rec, err := e.cutOff()
	if rec == nil || err != nil {
		return nil, err
	}
	// Whoever asked for this wants it whole: half an undo is worse than either end.
	if left := t.undo(context.WithoutCancel(ctx)); len(left) > 0 {
		return rec, &StuckError{Err: errors.New("undoing the apply that was cut off"), Left: left}
	}
	return rec, t.restore()
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
	t, rec, err := e.cutOff()
	if rec == nil || err != nil {
		return nil, nil, err
	}
	t.patience = bootPatience
	left = t.undo(context.WithoutCancel(ctx))
	return rec, left, t.restore()
}

// cutOff is the apply that was cut off, as far as undoing it needs to know; without a
// record there is none.
func (e *Engine) cutOff() (*transaction, *state.Record, error) {
	rec, err := e.State.Interrupted()
	if rec == nil || err != nil {
		return nil, nil, err
	}
	t := &transaction{Engine: e, Assessment: &Assessment{}, start: e.now()}
	if t.applied, err = e.State.Applied(); err != nil {
		return nil, nil, err
	}
	if t.memory, err = e.State.Memory(); err != nil {
		return nil, nil, err
	}
	t.handlers = t.allHandlers()
	return t, rec, nil
}
