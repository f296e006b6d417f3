package engine

import (
	"context"
	"errors"

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
	rec, err := e.State.Interrupted()
	if rec == nil || err != nil {
		return nil, err
	}
	t := &transaction{Engine: e, Assessment: &Assessment{}, start: e.now()}
	if t.applied, err = e.State.Applied(); err != nil {
		return nil, err
	}
	if t.memory, err = e.State.Memory(); err != nil {
		return nil, err
	}
	t.handlers = t.allHandlers()
	// Whoever asked for this wants it whole: half an undo is worse than either end.
	if left := t.undo(context.WithoutCancel(ctx)); len(left) > 0 {
		return rec, &StuckError{Err: errors.New("undoing the apply that was cut off"), Left: left}
	}
	return rec, t.restore()
}
