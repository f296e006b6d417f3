package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/plan"
	"github.com/vpnctl/vpnctl/internal/state"
	"github.com/vpnctl/vpnctl/internal/vault"
)

// Engine applies desired states to one host.
type Engine struct {
	State *state.Dir
	Vault *vault.Vault
	// Backends plan in this order within a phase.
	Backends []backend.Backend
	// RunDir holds the lock, /run/vpnctl.
	RunDir string
	// LockTimeout is how long Apply waits for another vpnctl.
	LockTimeout time.Duration
	// Guardian carries the way back of an apply that waits to be confirmed; nil for an
	// Engine that makes none.
	Guardian Guardian
	// BootID tells one boot of the host from the next; nil is host.BootID.
	BootID func() (string, error)
	// Now is the time; nil is time.Now.
	Now func() time.Time
	// Progress is told what is being done, one line a call; nil is nobody.
	Progress func(line string)
}

// Request is one apply.
type Request struct {
	// Want is what the host shall hold; nothing but Site set for a destroy.
	Want    *desired.State
	Options backend.Options
	// MaxImpact is what the apply may cost at most.
	MaxImpact backend.Level
	// Record is what to remember once it is done; nil forgets everything, as a destroy
	// does.
	Record *state.Applied
	// Confirm is how long the result stands before the host goes back by itself, unless
	// Confirm is called; 0 is for ever.
	Confirm time.Duration
	// KeepHistory makes a destroy leave the history of earlier applies.
	KeepHistory bool
	// Veto looks at a plan that changes something, before anything is written, and returns
	// its refusals; nil is nobody.
	Veto func(in backend.Input, p *plan.Plan) error
	// Command, Target and By are for the history: what was called, the entry that it goes
	// back to, and by whom.
	Command string
	Target  int
	By      state.Who
}

// Assessment is what an apply would do, and why it would refuse to.
type Assessment struct {
	Plan *plan.Plan
	// Refused joins the refusals, each a *backend.Refusal; nil for none.
	Refused error

	memory  backend.Memory
	applied *state.Applied
}

// Assess looks at the host and plans. It reads only. A host that refuses still gets a
// plan as far as one can be made: the operator wants to see both.
func (e *Engine) Assess(ctx context.Context, req Request) (*Assessment, error) {
	a := &Assessment{}
	var err error
	if a.applied, err = e.State.Applied(); err != nil {
		return nil, err
	}
	if a.memory, err = e.State.Memory(); err != nil {
		return nil, err
	}
	in := backend.Input{
		Want: req.Want, Memory: a.memory, Secrets: e.Vault, Options: req.Options,
	}
	if a.applied != nil {
		in.Applied = a.applied.State
	}
	a.Refused = e.check(ctx, in, a.applied)
	if a.Refused != nil && !backend.IsRefusal(a.Refused) {
		return nil, a.Refused
	}
	steps, err := e.plan(ctx, in)
	if err != nil && a.Refused != nil {
		// What refuses may be just what cannot be read.
		a.Plan = plan.New(req.Want.Site, req.Want.Node, nil)
		return a, nil
	}
	if err != nil {
		return nil, err
	}
	a.Plan = plan.New(req.Want.Site, req.Want.Node, steps)
	if req.Veto != nil && !a.Plan.Empty() {
		a.Refused = errors.Join(a.Refused, req.Veto(in, a.Plan))
	}
	return a, nil
}

// check asks everybody what would make the wanted state impossible here.
func (e *Engine) check(ctx context.Context, in backend.Input, applied *state.Applied) error {
	errs := []error{e.State.Check(), sameSite(in.Want, applied)}
	for _, b := range e.Backends {
		errs = append(errs, b.Check(ctx, in))
	}
	return errors.Join(errs...)
}

// sameSite refuses a second topology on a host: each would undo the other's work.
func sameSite(want *desired.State, applied *state.Applied) error {
	if applied == nil || applied.Site == want.Site {
		return nil
	}
	return backend.Refuse("site/"+want.Site, "run `vpnctl destroy` first, or apply a topology of that site",
		"this host belongs to site %s since %s", applied.Site, applied.At.Format(time.RFC3339))
}

func (e *Engine) plan(ctx context.Context, in backend.Input) ([]backend.Step, error) {
	var steps []backend.Step
	for _, b := range e.Backends {
		s, err := b.Plan(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("planning %s: %w", b.Kind(), err)
		}
		steps = append(steps, s...)
	}
	return steps, nil
}

func (e *Engine) now() time.Time {
	if e.Now == nil {
		return time.Now()
	}
	return e.Now()
}

func (e *Engine) progress(format string, args ...any) {
	if e.Progress != nil {
		e.Progress(fmt.Sprintf(format, args...))
	}
}

// Interrupted returns what a cut-off apply left; nil where there is none, where one is
// under way now, or waits to be confirmed.
func (e *Engine) Interrupted() (*state.Record, error) {
	rec, err := e.State.Interrupted()
	if rec == nil || err != nil || e.Locked() {
		return nil, err
	}
	if armed, err := e.State.Armed(); err != nil || armed != nil && !armed.Deadline.IsZero() {
		return nil, err
	}
	return rec, nil
}
