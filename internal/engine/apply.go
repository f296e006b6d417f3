package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/plan"
	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/state"
	"github.com/vpnctl/vpnctl/internal/vault"
)

// Outcome is what became of an apply.
type Outcome struct {
	Plan   *plan.Plan
	Result plan.Result
	Took   time.Duration
}

// Apply converges the host. Approve is shown the plan before the first write, and may
// refuse it.
//
// Errors are *LockedError, *RefusedError (nothing was touched), *UndoneError,
// *StuckError, or what went wrong before anything was touched. There is an Outcome
// wherever there was a plan.
func (e *Engine) Apply(ctx context.Context, req Request, approve func(*plan.Plan) error) (*Outcome, error) {
	start := e.now()
	l, err := e.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer l.release()
	a, err := e.Assess(ctx, req)
	if err != nil {
		return nil, err
	}
	out := &Outcome{Plan: a.Plan, Result: plan.Planned}
	if err := approve(a.Plan); err != nil {
		return out, err
	}
	if a.Refused != nil {
		return out, &RefusedError{a.Refused}
	}
	if level, object := a.Plan.MaxImpact(); level > req.MaxImpact {
		return out, &RefusedError{backend.Refuse(object, "allow it with --max-impact "+level.String(),
			"the change has the impact %s, and %s is allowed", level, req.MaxImpact)}
	}
	if err := e.waiting(req.Want); err != nil {
		if len(a.Plan.Steps) == 0 && backend.IsRefusal(err) {
			out.Result = plan.Unchanged
			return out, nil
		}
		return out, refusedBy(err)
	}
	t := &transaction{Engine: e, req: req, Assessment: a, start: start}
	if out.Result, err = t.run(ctx); err == nil {
		_ = e.saveLeftOut(nil) // all that was left out is there by now; a note is not worth failing for
	}
	out.Took = e.now().Sub(start)
	return out, err
}

// refusedBy is the error of a refusal; what is none stays what it is.
func refusedBy(err error) error {
	if backend.IsRefusal(err) {
		return &RefusedError{err}
	}
	return err
}

// transaction is one apply from its first write to its end.
type transaction struct {
	*Engine
	*Assessment
	req      Request
	handlers map[string]backend.Handler
	entries  []state.Entry // one a step
	journal  *state.Journal
	start    time.Time
	past     int           // the number in history, once it has one
	patience time.Duration // with the undoing of one step; zero is without end
	armed    *state.Armed  // nil for one that waits for no confirmation
	told     map[string]bool
}

func (t *transaction) run(ctx context.Context) (plan.Result, error) {
	cutOff, err := t.State.Interrupted()
	if err != nil {
		return plan.Failed, err
	}
	if len(t.Plan.Steps) == 0 && cutOff == nil && t.remembered() {
		return plan.Unchanged, t.leave()
	}
	if err := t.prepare(); err != nil {
		return plan.Failed, err
	}
	if err = t.arm(ctx); err == nil {
		err = t.forward(ctx)
	}
	if cerr := t.journal.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = t.settle()
	}
	if err != nil {
		return t.back(ctx, err)
	}
	if t.Plan.Empty() && cutOff == nil {
		return plan.Unchanged, nil
	}
	return plan.Applied, nil
}

// remembered reports whether what is to be remembered is so already: running the same
// again writes no file.
func (t *transaction) remembered() bool {
	r := t.req.Record
	if r == nil || t.applied == nil {
		return r == nil && t.applied == nil
	}
	return t.applied.Topology == r.Topology && t.applied.Node == r.Node && maps.Equal(t.applied.Secrets, r.Secrets)
}

// leave ends an apply that has nothing to do. A destroy still takes away what an earlier
// one has left, its history.
func (t *transaction) leave() error {
	if t.req.Record != nil || t.req.KeepHistory {
		return nil
	}
	return t.State.Remove()
}

// prepare makes everything ready that undo will need, and changes nothing outside of the
// state folder.
func (t *transaction) prepare() error {
	t.handlers = t.allHandlers()
	ids := map[secret.ID]bool{}
	for i := range t.Plan.Steps {
		s := &t.Plan.Steps[i]
		if _, ok := t.handlers[s.Op.Kind]; !ok {
			return fmt.Errorf("planning %s: nobody knows this operation", s.Op.Kind)
		}
		e, err := entryOf(s)
		if err != nil {
			return err
		}
		vault.Collect(e.From, ids)
		vault.Collect(e.To, ids)
		t.entries = append(t.entries, e)
	}
	if t.req.Record != nil {
		for _, id := range t.req.Record.Secrets {
			ids[id] = true
		}
	}
	if err := t.State.Init(); err != nil {
		return err
	}
	if err := t.Vault.Keep(slices.Sorted(maps.Keys(ids))...); err != nil {
		return err
	}
	var err error
	t.journal, err = t.State.Journal(state.Head{
		Site: t.req.Want.Site, Node: t.req.Want.Node, At: t.now().UTC().Truncate(time.Second), Steps: len(t.entries),
	})
	return err
}

// forward does the steps, and looks whether the host then is what was wanted.
func (t *transaction) forward(ctx context.Context) error {
	for i := range t.Plan.Steps {
		if err := context.Cause(ctx); err != nil {
			return fmt.Errorf("stopping before step %d of %d: %w", i+1, len(t.Plan.Steps), err)
		}
		if err := t.step(ctx, &t.Plan.Steps[i], t.entries[i]); err != nil {
			return err
		}
	}
	return t.verify(ctx)
}

func (t *transaction) step(ctx context.Context, s *backend.Step, e state.Entry) error {
	if err := t.journal.Begin(e); err != nil {
		return err
	}
	t.tell(s.Changes)
	if err := t.handlers[s.Op.Kind].Apply(ctx, s.Op.From, s.Op.To); err != nil {
		return fmt.Errorf("applying %s: %w", nameOf(e), err)
	}
	return t.journal.Done()
}

// tell says once what becomes of an object, however many steps that takes.
func (t *transaction) tell(changes []backend.Change) {
	if t.told == nil {
		t.told = map[string]bool{}
	}
	for _, c := range changes {
		if line := fmt.Sprintf("%c %s", c.Action, c.Object); !t.told[line] {
			t.told[line] = true
			t.progress("%s", line)
		}
	}
}

// entryOf is a step as the journal holds it.
func entryOf(s *backend.Step) (state.Entry, error) {
	from, err := json.Marshal(s.Op.From)
	if err != nil {
		return state.Entry{}, fmt.Errorf("encoding %s: %w", s.Op.Kind, err)
	}
	to, err := json.Marshal(s.Op.To)
	if err != nil {
		return state.Entry{}, fmt.Errorf("encoding %s: %w", s.Op.Kind, err)
	}
	e := state.Entry{Kind: s.Op.Kind, From: from, To: to}
	// Enough for a message; ten thousand peers are one step.
	for _, c := range s.Changes[:min(len(s.Changes), 3)] {
		e.Objects = append(e.Objects, c.Object)
	}
	return e, nil
}

// nameOf is what a message calls a step.
func nameOf(e state.Entry) string {
	if len(e.Objects) > 0 {
		return e.Objects[0]
	}
	return e.Kind
}

// allHandlers are those of all backends, and of the memory.
func (t *transaction) allHandlers() map[string]backend.Handler {
	all := map[string]backend.Handler{backend.MemoryOp: backend.Handle(t.remember)}
	for _, b := range t.Backends {
		o, ok := b.(backend.Operator)
		if !ok {
			continue
		}
		for kind, h := range o.Handlers() {
			all[kind] = h
		}
	}
	return all
}

// remember changes one key of the memory.
func (t *transaction) remember(_ context.Context, from, to *backend.MemoryEntry) error {
	switch {
	case to != nil:
		t.memory[to.Key] = to.Value
	case from != nil:
		delete(t.memory, from.Key)
	}
	return t.State.SaveMemory(t.memory)
}
