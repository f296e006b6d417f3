package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/plan"
	"github.com/vpnctl/vpnctl/internal/state"
)

// back undoes an apply that failed.
func (t *transaction) back(ctx context.Context, cause error) (plan.Result, error) {
	left := t.undo(context.WithoutCancel(ctx))
	if len(left) == 0 {
		if err := t.restore(context.WithoutCancel(ctx)); err != nil {
			left = []string{err.Error()}
		}
	}
	if len(left) > 0 {
		return plan.Failed, &StuckError{Err: cause, Left: left}
	}
	if t.applied != nil && t.req.Record != nil {
		// That it is told is not worth failing for: the host is as it was.
		_, _ = t.remind(plan.RolledBack, cause)
	}
	return plan.RolledBack, &UndoneError{cause}
}

// restore brings the state folder to where it was.
func (t *transaction) restore(ctx context.Context) error {
	if t.past != 0 {
		if err := t.State.RemoveHistory(t.past); err != nil {
			return err
		}
	}
	if t.applied == nil {
		if err := t.State.Forget(); err != nil {
			return err
		}
		return t.disarm(ctx)
	}
	if err := t.State.SaveApplied(t.applied); err != nil {
		return err
	}
	if err := t.State.EndJournal(); err != nil {
		return err
	}
	return t.disarm(ctx)
}

// undo reads the journal backwards. It goes on past what cannot be undone, and returns
// that.
func (t *transaction) undo(ctx context.Context) (left []string) {
	rec, err := t.State.Interrupted()
	if err != nil || rec == nil {
		return []string{fmt.Sprintf("journal: %v", err)}
	}
	for _, e := range slices.Backward(rec.Entries) {
		if len(left) > 0 && learned(e) {
			continue // what is left on the host has to be put back some day
		}
		if len(e.Objects) > 0 {
			t.progress("undoing %s", nameOf(e))
		}
		if err := t.undoEntry(ctx, e); err != nil {
			left = append(left, fmt.Sprintf("%s: %v", nameOf(e), err))
		}
	}
	return left
}

// learned reports whether a step made vpnctl remember something.
func learned(e state.Entry) bool { return e.Kind == backend.MemoryOp && string(e.To) != "null" }

func (t *transaction) undoEntry(ctx context.Context, e state.Entry) error {
	h, ok := t.handlers[e.Kind]
	if !ok {
		return errors.New("nobody knows this operation")
	}
	from, err := h.Decode(e.From)
	if err != nil {
		return err
	}
	to, err := h.Decode(e.To)
	if err != nil {
		return err
	}
	if t.patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.patience)
		defer cancel()
	}
	return h.Apply(ctx, to, from)
}
