package wireguard_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/plan"
	"github.com/vpnctl/vpnctl/internal/wireguard"
	"github.com/vpnctl/vpnctl/internal/wireguard/wireguardtest"
)

// rig is a host, and as much of an engine as applies and undoes.
type rig struct {
	t       testing.TB
	host    *wireguardtest.Host
	secrets wireguardtest.Secrets
	memory  backend.Memory
	applied *desired.State
	options backend.Options
	journal []entry
	real    *wireguard.Backend // in place of that of the fake host
}

// entry is an operation as it outlives a process.
type entry struct {
	kind     string
	from, to json.RawMessage
}

func newRig(t testing.TB) *rig {
	return &rig{t: t, host: wireguardtest.New(), secrets: wireguardtest.Secrets{}, memory: backend.Memory{}}
}

func (r *rig) backend() *wireguard.Backend {
	if r.real != nil {
		return r.real
	}
	return wireguard.New(r.host.Config(r.secrets))
}

func (r *rig) input(want *desired.State) backend.Input {
	return backend.Input{Want: want, Applied: r.applied, Memory: r.memory, Secrets: r.secrets, Options: r.options}
}

func (r *rig) plan(want *desired.State) *plan.Plan {
	r.t.Helper()
	steps, err := r.backend().Plan(context.Background(), r.input(want))
	if err != nil {
		r.t.Fatal(err)
	}
	return plan.New(want.Site, "linux1", steps)
}

// text is the plan's text, and the state's memory of it.
func (r *rig) text(want *desired.State) string { return r.plan(want).Text(plan.Palette{}) }

// do applies a plan and stops at the first error.
func (r *rig) do(p *plan.Plan) error {
	r.journal = nil
	for _, s := range p.Steps {
		e := entry{s.Op.Kind, r.encode(s.Op.From), r.encode(s.Op.To)}
		r.journal = append(r.journal, e)
		if err := r.run(e.kind, e.from, e.to); err != nil {
			return err
		}
	}
	return nil
}

// undo does what the journal holds backwards, the other way round.
func (r *rig) undo() error {
	for _, e := range slices.Backward(r.journal) {
		if err := r.run(e.kind, e.to, e.from); err != nil {
			return fmt.Errorf("undoing %s: %w", e.kind, err)
		}
	}
	return nil
}

// redo does again what the journal holds.
func (r *rig) redo() error {
	for _, e := range r.journal {
		if err := r.run(e.kind, e.from, e.to); err != nil {
			return fmt.Errorf("redoing %s: %w", e.kind, err)
		}
	}
	return nil
}

// apply applies a state, which must succeed and leave nothing to do.
func (r *rig) apply(want *desired.State) {
	r.t.Helper()
	in := r.input(want)
	if err := r.backend().Check(context.Background(), in); err != nil {
		r.t.Fatal(err)
	}
	if err := r.do(r.plan(want)); err != nil {
		r.t.Fatalf("applying: %v", err)
	}
	r.applied = want
	r.options.Adopt = false
	if p := r.plan(want); len(p.Steps) > 0 {
		r.t.Fatalf("after apply there is still to do:\n%s%+v\n%s", p.Text(plan.Palette{}), p.Steps, r.host)
	}
}

func (r *rig) encode(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		r.t.Fatal(err)
	}
	return raw
}

func (r *rig) run(kind string, from, to json.RawMessage) error {
	h := backend.Handle(r.remember)
	if kind != backend.MemoryOp {
		h = r.backend().Handlers()[kind]
	}
	f, errFrom := h.Decode(from)
	t, errTo := h.Decode(to)
	if err := errors.Join(errFrom, errTo); err != nil {
		r.t.Fatalf("%s: %v", kind, err)
	}
	return h.Apply(context.Background(), f, t)
}

func (r *rig) remember(_ context.Context, from, to *backend.MemoryEntry) error {
	if to == nil {
		delete(r.memory, from.Key)
		return nil
	}
	r.memory[to.Key] = to.Value
	return nil
}

// state is the whole of a rig: the host and what is remembered.
func (r *rig) state() string {
	return r.host.String() + "memory " + string(r.encode(r.memory)) + "\n"
}

var errFault = errors.New("injected fault")

// failAt lets the k-th write fail, or the process be killed before it.
func (r *rig) failAt(k int, killed bool) (hit func() bool) {
	n := 0
	r.host.Fault = func(string) error {
		n++
		switch {
		case killed && n >= k:
			return wireguardtest.ErrKilled
		case n == k:
			return errFault
		}
		return nil
	}
	return func() bool { return n >= k }
}
