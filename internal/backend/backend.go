package backend

import (
	"context"
	"encoding/json"
	"reflect"
	"time"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/secret"
)

// Kind names a backend, and its part of an object's path.
type Kind string

// The backends. Sysctl is one of its own because every protocol asks it for keys, and
// File because what it writes belongs to none of them.
const (
	WireGuard Kind = "wireguard"
	IPsec     Kind = "ipsec"
	L2TP      Kind = "l2tp"
	PPTP      Kind = "pptp"
	NAT       Kind = "nat"
	Sysctl    Kind = "sysctl"
	File      Kind = "file"
)

// Backend reconciles one protocol with the host.
type Backend interface {
	// Kind is the backend's name; it never changes.
	Kind() Kind

	// Check looks for what would make the wanted state impossible here: a daemon, a
	// module, a permission, a name or port that is taken. It reads only. All that is
	// wrong comes back joined, each a *Refusal.
	Check(ctx context.Context, in Input) error

	// Plan compares the wanted state with the host and returns the steps between
	// them, none if there is no difference. It reads only. The empty state plans the
	// removal of all that is owned. Applying the steps and planning again gives none.
	Plan(ctx context.Context, in Input) ([]Step, error)

	// Status reports every live tunnel and session, foreign ones where they matter.
	// It reads only and needs no lock.
	Status(ctx context.Context, in Input) ([]Tunnel, error)
}

// Operator does the steps. Every backend that plans is one; the two are apart because
// undo needs only this one, after a crash too.
type Operator interface {
	// Handlers are the operations by kind ("wireguard.peers").
	Handlers() map[string]Handler
}

// Input is what Check, Plan and Status look at. They do not change it.
type Input struct {
	// Want is the desired state. Want.Site is never empty.
	Want *desired.State
	// Applied is what the last apply wanted, nil before the first: it tells an
	// endpoint that the topology changed from one that roamed, and carries the hooks
	// of an interface that is to go.
	Applied *desired.State
	// AppliedAt is when that was; for Status, which tells a first attempt from a failure
	// by it.
	AppliedAt time.Time
	// Memory is what earlier applies left for later ones; see Memory.
	Memory  Memory
	Secrets Secrets
	Options Options
}

// Options are the flags of apply that change what is planned.
type Options struct {
	Adopt     bool // take over foreign objects that stand where ours must
	Userspace bool // never ask the kernel for a WireGuard link
	Boot      bool // the apply of a boot: what fails is left out
}

// Secrets turns secrets into ids and back. Ids are stable on one host and equal for
// equal values; only ids reach plans, the journal and the state folder.
type Secrets interface {
	ID(v secret.Value) secret.ID
	Value(id secret.ID) (secret.Value, error)
}

// Memory is a small persistent map that outlives an apply, one key an object
// ("sysctl/net/ipv4/ip_forward"): the values from before, the files that were
// adopted. It changes only by steps, so an undone apply forgets what it learned.
type Memory map[string]json.RawMessage

// Get decodes the value at key into v; it reports false and leaves v alone where there
// is none or it is of another shape.
func (m Memory) Get(key string, v any) bool {
	raw, ok := m[key]
	if !ok {
		return false
	}
	// The decoder fills what it can before it finds what it cannot.
	decoded := reflect.New(reflect.TypeOf(v).Elem())
	if json.Unmarshal(raw, decoded.Interface()) != nil {
		return false
	}
	reflect.ValueOf(v).Elem().Set(decoded.Elem())
	return true
}
