package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/secret"
)

// toyHost is a host that consists of settings. Those that begin with "foreign" are
// somebody else's.
type toyHost struct {
	settings map[string]string
	writes   int
	// fault is asked before every write, by its number from 1; a write may fail before
	// or, torn, after it was made.
	fault func(n int) error
	torn  bool
	// killed makes a faulty write end the process instead.
	killed bool
	// deaf settings accept writes and keep their value.
	deaf map[string]bool
}

// errKilled is what a killed process panics with.
var errKilled = errors.New("killed")

func newToyHost() *toyHost {
	return &toyHost{settings: map[string]string{"foreign": "1"}}
}

func (h *toyHost) String() string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(h.settings)) {
		fmt.Fprintf(&b, "%s = %s\n", k, h.settings[k])
	}
	return b.String()
}

func (h *toyHost) write(key string, value *string) error {
	h.writes++
	var err error
	if h.fault != nil {
		err = h.fault(h.writes)
	}
	if err == nil || h.torn {
		switch {
		case h.deaf[key]:
		case value == nil:
			delete(h.settings, key)
		default:
			h.settings[key] = *value
		}
	}
	if err != nil && h.killed {
		panic(errKilled)
	}
	return err
}

// setting is what an operation on the toy leads from and to.
type setting struct {
	Key   string    `json:"key"`
	Value string    `json:"value"`
	ID    secret.ID `json:"id,omitempty"`
}

// toy is a backend whose desired state is what a State holds as sysctls: settings that
// nobody else of this test uses.
type toy struct {
	host    *toyHost
	refused error
	impact  backend.Level
	secret  secret.ID
}

var _ backend.Operator = (*toy)(nil)

func (b *toy) Kind() backend.Kind { return backend.Sysctl }

func (b *toy) Check(context.Context, backend.Input) error { return b.refused }

func (b *toy) Status(context.Context, backend.Input) ([]backend.Tunnel, error) { return nil, nil }

func (b *toy) Plan(_ context.Context, in backend.Input) ([]backend.Step, error) {
	want := in.Want.Sysctl
	var steps []backend.Step
	for _, key := range slices.Sorted(maps.Keys(want)) {
		have, ok := b.host.settings[key]
		switch {
		case !ok:
			steps = append(steps, backend.Remember(backend.PhaseMemory, "toy/"+key, nil, true),
				b.step(backend.PhaseLink, backend.Create, key, nil, &setting{key, want[key], b.secret}))
		case have != want[key]:
			steps = append(steps, b.step(backend.PhaseLink, backend.Update, key, &setting{key, have, ""}, &setting{key, want[key], ""}))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(b.host.settings)) {
		if _, wanted := want[key]; wanted || strings.HasPrefix(key, "foreign") {
			continue
		}
		steps = append(steps, b.step(backend.PhaseRemoveLink, backend.Delete, key, &setting{key, b.host.settings[key], ""}, nil))
	}
	// What is remembered decides what is to be forgotten: a kill may have come between
	// the removal and this.
	for _, key := range slices.Sorted(maps.Keys(in.Memory)) {
		if _, wanted := want[strings.TrimPrefix(key, "toy/")]; !wanted {
			steps = append(steps, backend.Remember(backend.PhaseForget, key, true, nil))
		}
	}
	return steps, nil
}

func (b *toy) step(phase backend.Phase, action backend.Action, key string, from, to *setting) backend.Step {
	s := backend.Step{Phase: phase, Op: backend.Op{Kind: "toy"}, Changes: []backend.Change{{
		Action: action, Object: "toy/" + key, Impact: backend.Impact{Level: b.impact},
	}}}
	if from != nil {
		s.Op.From = from
	}
	if to != nil {
		s.Op.To = to
	}
	return s
}

func (b *toy) Handlers() map[string]backend.Handler {
	return map[string]backend.Handler{"toy": backend.Handle(func(_ context.Context, from, to *setting) error {
		if to == nil {
			return b.host.write(from.Key, nil)
		}
		return b.host.write(to.Key, &to.Value)
	})}
}

// wanting is a desired state of the toy: "a=1 b=2".
func wanting(text string) *desired.State {
	s := &desired.State{Site: "hq", Node: "gw", Sysctl: map[string]string{}}
	for _, f := range strings.Fields(text) {
		k, v, _ := strings.Cut(f, "=")
		s.Sysctl[k] = v
	}
	return s
}
