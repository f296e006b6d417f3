package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/vault"
)

// BootRequest is what a boot brings up again.
type BootRequest struct {
	// Want is what was applied last, as it can be had today; Applied as it was.
	Want, Applied *desired.State
	// Guard asks only for what keeps traffic from leaving in clear, chains and settings:
	// there is no network yet, and no daemon.
	Guard bool
	// Missing is what of Want cannot be had, because its secrets cannot be read.
	Missing []LeftOut
	// Again tries only what was left out before.
	Again bool
}

// guards are the backends whose work needs no network.
var guards = []backend.Kind{backend.Sysctl, backend.NAT}

// Boot brings the host to what was applied last. Other than an apply it does not go back:
// what fails, or whose check fails, is left out with what depends on it, and the rest comes
// up. It returns what was left out, which LeftOut returns until a later Boot or Apply has
// mended it.
//
// There is no journal: what a boot that is cut off has done is part of what the next does.
func (e *Engine) Boot(ctx context.Context, req BootRequest) ([]LeftOut, error) {
	l, err := e.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer l.release()
	b := &boot{
		transaction: &transaction{Engine: e, Assessment: &Assessment{}, start: e.now()}, req: req,
		unread: map[backend.Kind]bool{},
	}
	if b.memory, err = e.State.Memory(); err != nil {
		return nil, err
	}
	if b.before, err = e.LeftOut(); err != nil || req.Again && len(b.before) == 0 {
		return nil, err
	}
	for _, l := range req.Missing {
		b.leaveOut(l.Kind, l.Object, errors.New(l.Reason))
	}
	b.handlers = b.allHandlers()
	if err := b.run(ctx); err != nil {
		return nil, err
	}
	return b.left, e.saveLeftOut(b.left)
}

// boot is one Boot.
type boot struct {
	*transaction
	req    BootRequest
	before []LeftOut // by the boot before, where this one tries again
	left   []LeftOut
	unread map[backend.Kind]bool // those that could not plan
}

// bootStep is a step and whose it is.
type bootStep struct {
	backend.Step
	kind backend.Kind
}

func (b *boot) run(ctx context.Context) error {
	steps := b.look(ctx, b.check)
	slices.SortStableFunc(steps, func(a, b bootStep) int { return cmp.Compare(a.Phase, b.Phase) })
	for i := range steps {
		if err := context.Cause(ctx); err != nil {
			return fmt.Errorf("stopping before step %d of %d: %w", i+1, len(steps), err)
		}
		b.do(ctx, &steps[i])
	}
	// What did not take is left out as much as what failed.
	for _, s := range b.look(ctx, nil) {
		for _, c := range s.Changes {
			if !b.isLeftOut(c.Object) {
				b.leaveOut(s.kind, c.Object, errors.New(untaken([]backend.Change{c})))
			}
		}
	}
	return context.Cause(ctx)
}

// look plans, backend by backend: one that cannot takes no other with it.
func (b *boot) look(ctx context.Context, check func(context.Context, backend.Backend, backend.Input)) []bootStep {
	in := backend.Input{
		Want: b.req.Want, Applied: b.req.Applied, Memory: b.memory, Secrets: b.Vault, Options: backend.Options{Boot: true},
	}
	var steps []bootStep
	for _, of := range b.Backends {
		kind := of.Kind()
		if !b.asks(kind) || b.unread[kind] {
			continue
		}
		if check != nil {
			check(ctx, of, in)
		}
		planned, err := of.Plan(ctx, in)
		if err != nil {
			b.unread[kind] = true
			b.leaveOut(kind, string(kind), err)
			continue
		}
		for _, s := range planned {
			if step := (bootStep{s, kind}); b.concerns(&step) {
				steps = append(steps, step)
			}
		}
	}
	return steps
}

// asks reports whether a backend has a part in this boot.
func (b *boot) asks(kind backend.Kind) bool {
	if b.req.Again {
		return slices.ContainsFunc(b.before, func(l LeftOut) bool { return l.Kind == kind })
	}
	return !b.req.Guard || slices.Contains(guards, kind)
}

// check leaves out what the host refuses.
func (b *boot) check(ctx context.Context, of backend.Backend, in backend.Input) {
	for _, err := range parts(of.Check(ctx, in)) {
		object := string(of.Kind())
		var refusal *backend.Refusal
		if errors.As(err, &refusal) {
			object, err = refusal.Object, errors.New(strings.TrimPrefix(refusal.Error(), refusal.Object+": "))
		}
		b.leaveOut(of.Kind(), object, err)
	}
}

// parts takes joined errors apart.
func parts(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, parts(e)...)
	}
	return all
}

// concerns reports whether a step is to be done now: all are, unless this boot only tries
// again what the one before has left out. Silent steps go along with the others of their
// backend.
func (b *boot) concerns(s *bootStep) bool {
	if !b.req.Again {
		return true
	}
	return slices.ContainsFunc(b.before, func(l LeftOut) bool {
		return l.Kind == s.kind && (l.Object == string(l.Kind) || len(s.Changes) == 0 ||
			slices.ContainsFunc(s.Changes, func(c backend.Change) bool { return within(c.Object, l.Object) }))
	})
}

// do does one step, unless it depends on what was left out.
func (b *boot) do(ctx context.Context, s *bootStep) {
	if b.depends(s) {
		return
	}
	b.tell(s.Changes)
	err := b.attempt(ctx, s)
	if err == nil || ctx.Err() != nil {
		return
	}
	for _, c := range s.Changes {
		b.leaveOut(s.kind, c.Object, err)
	}
	// A silent step serves others of its backend: where one of them is left out, it fails
	// for that. If not for that alone, the look at the result shows it.
	if len(s.Changes) == 0 && !b.lacks(s.kind) {
		b.leaveOut(s.kind, s.Op.Kind, err)
	}
}

// attempt does one step, or nothing of it: half an interface would be in the way of the whole
// one later. Half a guard is better than none.
func (b *boot) attempt(ctx context.Context, s *bootStep) error {
	h, ok := b.handlers[s.Op.Kind]
	if !ok {
		return errors.New("nobody knows this operation")
	}
	if err := b.keep(s); err != nil {
		return err
	}
	err := h.Apply(ctx, s.Op.From, s.Op.To)
	if err == nil || s.Phase == backend.PhaseGuard {
		return err
	}
	if uerr := h.Apply(context.WithoutCancel(ctx), s.Op.To, s.Op.From); uerr != nil {
		return fmt.Errorf("%w; a part of it is left: %w", err, uerr)
	}
	return err
}

// lacks reports whether something of a backend is left out.
func (b *boot) lacks(kind backend.Kind) bool {
	return slices.ContainsFunc(b.left, func(l LeftOut) bool { return l.Kind == kind })
}

// keep stores the secrets to which the memory is about to refer.
func (b *boot) keep(s *bootStep) error {
	e, ok := s.Op.To.(*backend.MemoryEntry)
	if !ok {
		return nil
	}
	ids := map[secret.ID]bool{}
	vault.Collect(e.Value, ids)
	for id := range ids {
		if err := b.Vault.Keep(id); err != nil {
			return err
		}
	}
	return nil
}

// depends reports whether all that a step changes, or makes remembered, is left out.
func (b *boot) depends(s *bootStep) bool {
	if e, ok := s.Op.To.(*backend.MemoryEntry); ok {
		return b.isLeftOut(e.Key)
	}
	return len(s.Changes) > 0 && !slices.ContainsFunc(s.Changes, func(c backend.Change) bool { return !b.isLeftOut(c.Object) })
}

func (b *boot) isLeftOut(object string) bool {
	return slices.ContainsFunc(b.left, func(l LeftOut) bool { return within(object, l.Object) })
}

// within reports whether an object is another one or a part of it.
func within(object, whole string) bool {
	rest, ok := strings.CutPrefix(object, whole)
	return ok && (rest == "" || rest[0] == '/')
}

// leaveOut notes what is left out; who only tries again leaves out nothing more.
func (b *boot) leaveOut(kind backend.Kind, object string, err error) {
	l := LeftOut{Kind: kind, Object: object, Reason: err.Error()}
	if !b.isLeftOut(object) && (!b.req.Again || b.wasLeftOut(l)) {
		b.left = append(b.left, l)
	}
}

func (b *boot) wasLeftOut(l LeftOut) bool {
	return slices.ContainsFunc(b.before, func(was LeftOut) bool {
		return was.Kind == l.Kind && (within(l.Object, was.Object) || within(was.Object, l.Object) || was.Object == string(was.Kind))
	})
}
