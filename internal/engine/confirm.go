package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/plan"
	"github.com/vpnctl/vpnctl/internal/state"
)

// Guardian sees to it that an armed apply goes back, whoever is gone by then.
type Guardian interface {
	// Arm starts it, before anything is changed. It calls RevertDue, not sooner than
	// after.
	Arm(ctx context.Context, after time.Duration) error
	// Disarm ends it; one that is not there is success.
	Disarm(ctx context.Context) error
	// AtBoot reports whether it goes back by itself when the host has rebooted.
	AtBoot() bool
}

// arm makes the way back sure before the first step.
func (t *transaction) arm(ctx context.Context) error {
	if t.req.Confirm == 0 || len(t.Plan.Steps) == 0 {
		return nil
	}
	boot, err := t.bootID()
	if err != nil {
		return fmt.Errorf("arming: %w", err)
	}
	t.armed = &state.Armed{Window: t.req.Confirm, Boot: boot, Destroy: t.req.Record == nil, KeepHistory: t.req.KeepHistory}
	if err := t.State.Arm(t.armed, t.applied); err != nil {
		return err
	}
	if err := t.Guardian.Arm(ctx, t.req.Confirm); err != nil {
		return fmt.Errorf("arming: %w", err)
	}
	return nil
}

// hold is settle for an apply that is armed: the journal stays, and so does what only the
// way back needs.
func (t *transaction) hold() error {
	if t.armed.Destroy {
		if err := t.State.Unapply(); err != nil {
			return err
		}
	} else {
		if err := t.State.SaveApplied(t.req.Record); err != nil {
			return err
		}
		var err error
		if t.past, err = t.remind(plan.Applied, nil); err != nil {
			return err
		}
	}
	t.armed.Number, t.armed.Deadline = t.past, t.now().Add(t.armed.Window)
	return t.State.SaveArmed(t.armed)
}

// disarm ends the waiting. The guardian finds nothing to do, whether or not it can be
// ended.
func (e *Engine) disarm(ctx context.Context) error {
	if err := e.State.Disarm(); err != nil {
		return err
	}
	if e.Guardian == nil {
		return nil
	}
	if err := e.Guardian.Disarm(ctx); err != nil {
		e.progress("disarming: %v", err)
	}
	return nil
}

// waiting refuses to change anything while an apply is armed.
func (e *Engine) waiting(want *desired.State) error {
	armed, err := e.State.Armed()
	if armed == nil || err != nil {
		return err
	}
	due, err := e.State.Due(armed)
	if err != nil {
		return err
	}
	return backend.Refuse("site/"+want.Site, "keep it with `vpnctl confirm`, or go back with `vpnctl rollback`",
		"an apply is armed, and goes back at %s unless it is confirmed", due.UTC().Format(time.RFC3339))
}

// Armed is when the apply that is armed goes back; zero where none is.
func (e *Engine) Armed() (time.Time, error) {
	armed, err := e.State.Armed()
	if armed == nil || err != nil {
		return time.Time{}, err
	}
	due, err := e.State.Due(armed)
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, nil // it has gone back in between
	}
	return due, err
}

// Confirm keeps what an armed apply did. Where none is armed, where it died half-way or
// its time is over, that is a *RefusedError.
func (e *Engine) Confirm(ctx context.Context) error {
	l, err := e.acquire(ctx)
	if err != nil {
		return err
	}
	defer l.release()
	armed, err := e.State.Armed()
	switch {
	case err != nil:
		return err
	case armed == nil:
		return &RefusedError{backend.Refuse("confirm", "", "no apply is armed")}
	case armed.Deadline.IsZero():
		return &RefusedError{backend.Refuse("confirm", "go back with `vpnctl rollback`", "the apply that is armed was cut off")}
	case e.now().After(armed.Deadline):
		return &RefusedError{backend.Refuse("confirm", "", "too late: the apply goes back since %s", armed.Deadline.UTC().Format(time.RFC3339))}
	}
	// From here on nobody goes back: a process that dies now leaves a journal that the
	// next apply ends.
	if err := e.disarm(ctx); err != nil {
		return err
	}
	return e.keep(armed)
}

// keep does what an apply without a deadline does in its end.
func (e *Engine) keep(armed *state.Armed) error {
	t := &transaction{Engine: e, Assessment: &Assessment{}, req: Request{KeepHistory: armed.KeepHistory}}
	var err error
	if t.memory, err = e.State.Memory(); err != nil {
		return err
	}
	if armed.Destroy {
		return t.forget()
	}
	if t.req.Record, err = e.State.Applied(); err != nil {
		return err
	}
	if err := t.prune(); err != nil {
		return err
	}
	return e.State.EndJournal()
}

// RevertDue goes back where an armed apply's time is over, and returns what was undone;
// nil where there is nothing to go back from. Errors are those of Revert.
func (e *Engine) RevertDue(ctx context.Context) (*state.Record, error) {
	return e.revert(ctx, "it was not confirmed in time", func(a *state.Armed) (bool, error) {
		if a == nil {
			return false, nil
		}
		due, err := e.State.Due(a)
		return !e.now().Before(due), err
	})
}

// guardianLate is how long after the deadline others go back: so much its guardian gets
// to do so itself.
const guardianLate = 5 * time.Second

// RevertLate goes back in place of a guardian that is gone: where an armed apply's time has
// long been over or, but where the guardian goes back at boot, the host has rebooted since.
// It waits for nobody, and returns what was undone, nil for nothing, and what of it could not
// be undone any more after a reboot.
func (e *Engine) RevertLate(ctx context.Context) (rec *state.Record, left []string, err error) {
	armed, err := e.State.Armed()
	if armed == nil || err != nil {
		return nil, nil, err
	}
	impatient := *e
	impatient.LockTimeout = 0
	rebooted, err := e.Rebooted()
	switch {
	case err != nil:
		return nil, nil, err
	case rebooted && e.Guardian != nil && e.Guardian.AtBoot():
		return nil, nil, nil
	case rebooted:
		// Its own guardian is gone: there is none to end.
		impatient.Guardian = nil
		rec, left, err = impatient.RevertAtBoot(ctx)
	default:
		var due time.Time
		if due, err = e.Armed(); due.IsZero() || err != nil || e.now().Before(due.Add(guardianLate)) {
			return nil, nil, err
		}
		rec, err = impatient.RevertDue(ctx)
	}
	if locked := (*LockedError)(nil); errors.As(err, &locked) {
		return nil, nil, nil // somebody is at it
	}
	return rec, left, err
}

// Rebooted reports whether an apply is armed that another boot of the host has made.
func (e *Engine) Rebooted() (bool, error) {
	armed, err := e.State.Armed()
	if armed == nil || err != nil {
		return false, err
	}
	boot, err := e.bootID()
	return armed.Boot != boot, err
}

func (e *Engine) bootID() (string, error) {
	if e.BootID == nil {
		return host.BootID()
	}
	return e.BootID()
}
