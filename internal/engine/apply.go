package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
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

// RefusedError says that the host refuses; nothing was touched.
type RefusedError struct{ Err error }

func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap returns the refusals.
func (e *RefusedError) Unwrap() error { return e.Err }

// UndoneError says that an apply failed and that the host is as it was before.
type UndoneError struct {
	Err error // what failed
}

func (e *UndoneError) Error() string {
	return e.Err.Error() + "; everything that was done has been undone"
}

// Unwrap returns what failed.
func (e *UndoneError) Unwrap() error { return e.Err }

// StuckError says that an apply failed, and undoing it, too.
type StuckError struct {
	Err  error
	Left []string // what could not be undone, and why
}

func (e *StuckError) Error() string {
	return e.Err.Error() + "; undoing it failed, this is left:\n  " + strings.Join(e.Left, "\n  ")
}

// Unwrap returns what failed first.
func (e *StuckError) Unwrap() error { return e.Err }

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
	t := &transaction{Engine: e, req: req, Assessment: a, start: start}
	out.Result, err = t.run(ctx)
	out.Took = e.now().Sub(start)
	return out, err
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
	past     int // the number in history, once it has one
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
	err = t.forward(ctx)
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
	for _, c := range s.Changes {
		t.progress("%c %s", c.Action, c.Object)
	}
	if err := t.handlers[s.Op.Kind].Apply(ctx, s.Op.From, s.Op.To); err != nil {
		return fmt.Errorf("applying %s: %w", nameOf(e), err)
	}
	return t.journal.Done()
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

// verify plans again: a host that took everything needs nothing more.
func (t *transaction) verify(ctx context.Context) error {
	in := backend.Input{
		Want: t.req.Want, Applied: t.req.Want, Memory: t.memory, Secrets: t.Vault, Options: t.req.Options,
	}
	steps, err := t.plan(ctx, in)
	if err != nil {
		return fmt.Errorf("looking at the result: %w", err)
	}
	rest := plan.New(t.req.Want.Site, t.req.Want.Node, steps)
	if rest.Empty() {
		return nil
	}
	return fmt.Errorf("looking at the result: %s", untaken(rest.Changes()))
}

// untaken names what did not take effect, the first few by object and field.
func untaken(changes []backend.Change) string {
	var b strings.Builder
	b.WriteString("this did not take effect: ")
	for i, c := range changes[:min(len(changes), 3)] {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(c.Object)
		for _, f := range c.Fields {
			fmt.Fprintf(&b, " %s (is %s, should be %s)", f.Name, f.Have, f.Want)
		}
	}
	if more := len(changes) - 3; more > 0 {
		fmt.Fprintf(&b, " and %d more", more)
	}
	return b.String()
}

// settle makes the result what was applied last, and forgets how it came to be.
func (t *transaction) settle() error {
	if t.req.Record == nil {
		return t.forget()
	}
	if err := t.State.SaveApplied(t.req.Record); err != nil {
		return err
	}
	result := plan.Applied
	if t.Plan.Empty() {
		result = plan.Unchanged
	}
	var err error
	if t.past, err = t.remind(result, nil); err != nil {
		return err
	}
	if err := t.prune(); err != nil {
		return err
	}
	return t.State.EndJournal()
}

// forget ends a destroy.
func (t *transaction) forget() error {
	if !t.req.KeepHistory {
		return t.State.Remove()
	}
	if err := t.State.Forget(); err != nil {
		return err
	}
	return t.prune()
}

// prune removes the secrets to which nothing stored refers any more. What this apply led
// from is still referred to: until the journal is gone, it may be undone.
func (t *transaction) prune() error {
	ids := map[secret.ID]bool{}
	past, err := t.State.History()
	if err != nil {
		return err
	}
	for i := range past {
		addIDs(ids, past[i].Secrets)
	}
	for _, r := range []*state.Applied{t.req.Record, t.applied} {
		if r != nil {
			addIDs(ids, r.Secrets)
		}
	}
	for _, raw := range t.memory {
		vault.Collect(raw, ids)
	}
	for _, e := range t.entries {
		vault.Collect(e.From, ids)
	}
	return t.Vault.Prune(ids)
}

func addIDs(ids map[secret.ID]bool, more map[string]secret.ID) {
	for _, id := range more {
		ids[id] = true
	}
}

// remind puts the apply into the history.
func (t *transaction) remind(result plan.Result, cause error) (int, error) {
	p := state.Past{At: t.now().UTC().Truncate(time.Second), Took: t.now().Sub(t.start), Command: t.req.Command,
		Target: t.req.Target, Result: string(result), By: t.req.By}
	if cause != nil {
		p.Error = cause.Error()
	}
	p.Of(t.req.Record)
	changes := t.Plan.Changes()
	sum := plan.Summarize(changes)
	p.Create, p.Update, p.Delete = sum.Create, sum.Update, sum.Delete
	for _, c := range changes {
		p.Lost += len(c.Impact.Sessions)
	}
	return t.State.AddHistory(p, state.Texts{Topology: t.req.Record.Topology, Plan: t.Plan.Text(plan.Palette{})})
}

// back undoes an apply that failed.
func (t *transaction) back(ctx context.Context, cause error) (plan.Result, error) {
	left := t.undo(context.WithoutCancel(ctx))
	if len(left) == 0 {
		if err := t.restore(); err != nil {
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
func (t *transaction) restore() error {
	if t.past != 0 {
		if err := t.State.RemoveHistory(t.past); err != nil {
			return err
		}
	}
	if t.applied == nil {
		return t.State.Forget()
	}
	if err := t.State.SaveApplied(t.applied); err != nil {
		return err
	}
	return t.State.EndJournal()
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
	return h.Apply(ctx, to, from)
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
