package backend

import (
	"context"
	"encoding/json"
	"fmt"
)

// Phase orders the steps of all backends. Within one phase the order of the backend
// that planned them holds.
//
// Guards against clear text come first and go last; adds come before deletes; what has
// no inverse comes at the very end (contract, section 4).
type Phase int

// The phases of an apply, in their order.
const (
	PhaseMemory Phase = iota // what must be known again before anything changes
	PhaseGuard
	PhaseFile
	PhaseSysctl
	PhaseFree // what must be freed before it can be taken: a listen port, an allowed IP, a name
	PhaseLink
	PhaseAddress
	PhasePeer
	PhaseRoute
	PhaseStart // daemons that do not run yet
	PhaseConnection
	PhaseNAT
	PhaseDaemon

	PhaseRemoveNAT
	PhaseRemoveConnection
	PhaseRemoveDaemon
	PhaseRemoveRoute
	PhaseRemovePeer
	PhaseRemoveAddress
	PhaseRemoveLink
	PhaseRemoveSysctl
	PhaseRemoveFile
	PhaseUnguard
	PhaseForget  // memory that nothing needs any more
	PhaseSession // what has no inverse: ended sessions, restarts, flushed conntrack
)

// Step is one batch to the kernel, one file, or one call to a daemon.
type Step struct {
	Phase   Phase
	Changes []Change // what it shows; a step without any is done in silence
	Op      Op       // what it does
}

// Op is an operation as data: a registered kind, and what it leads from and to. It is
// in the journal before it is done; undoing it is doing it the other way round, in this
// process or, after a crash, in the next.
//
// From and To are values of the type that the kind's handler takes, encodable as JSON
// (secrets as ids), or nil where the object does not exist on that side.
type Op struct {
	Kind string
	From any
	To   any
}

// Handler does the operations of one kind.
type Handler interface {
	// Apply brings the object from one state to another. It is idempotent: undo also
	// calls it when the step was done in part or not at all, so it finds the object in
	// either state or between them.
	Apply(ctx context.Context, from, to any) error
	// Decode reads back what the journal holds of From or To.
	Decode(raw json.RawMessage) (any, error)
}

// Handle makes a Handler from a function over one type; nil is the absent object.
func Handle[T any](apply func(ctx context.Context, from, to *T) error) Handler {
	return handler[T](apply)
}

type handler[T any] func(ctx context.Context, from, to *T) error

func (h handler[T]) Apply(ctx context.Context, from, to any) error {
	f, err := side[T](from)
	if err != nil {
		return err
	}
	t, err := side[T](to)
	if err != nil {
		return err
	}
	return h(ctx, f, t)
}

func (h handler[T]) Decode(raw json.RawMessage) (any, error) {
	var v *T
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, fmt.Errorf("decoding operation: %w", err)
	}
	if v == nil {
		return nil, nil
	}
	return v, nil
}

// side takes both T and *T, so that planners may write either.
func side[T any](v any) (*T, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case T:
		return &v, nil
	case *T:
		return v, nil
	}
	return nil, fmt.Errorf("operation on %T, not %T", v, *new(T))
}
