package cli_test

import (
	"context"
	"maps"
	"slices"
	"testing"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/vault"
)

// mutant is a backend that does no operation of one kind once the fault has struck: what it
// should undo stays done.
type mutant struct {
	backend.Backend
	m *machine
}

// Handlers implements backend.Operator.
func (b mutant) Handlers() map[string]backend.Handler {
	operator, ok := b.Backend.(backend.Operator)
	if !ok {
		return nil
	}
	all := maps.Clone(operator.Handlers())
	for kind, h := range all {
		all[kind] = mutated{h, kind, b.m}
	}
	return all
}

type mutated struct {
	backend.Handler
	kind string
	m    *machine
}

func (h mutated) Apply(ctx context.Context, from, to any) error {
	if h.m.struck && h.kind == h.m.broken {
		return nil
	}
	if !h.m.struck {
		h.m.did[h.kind] = true
	}
	return h.Handler.Apply(ctx, from, to)
}

// mutable lets a machine's undo be broken, and notes the kinds of operations that it does.
func (m *machine) mutable() {
	m.did = map[string]bool{}
	m.mutate = func(b backend.Backend) backend.Backend { return mutant{b, m} }
}

// kinds are those of all operations that the backends can do.
func (m *machine) kinds() map[string]bool {
	kinds := map[string]bool{}
	for _, b := range m.backends(vault.Ephemeral()) {
		if o, ok := b.(backend.Operator); ok {
			for kind := range o.Handlers() {
				kinds[kind] = true
			}
		}
	}
	return kinds
}

// seen reports whether a broken undo of one kind shows after a fault at some write: the host
// or what is remembered of it is not as before, or the apply does not say that all is undone.
func (tr transition) seen(t *testing.T, kind string) bool {
	t.Helper()
	for k := 1; ; k++ {
		m := tr.machine(t)
		m.mutable()
		tr.mustApply(t, m, tr.from)
		before, remembered := m.String(), m.remembered(t)
		m.broken = kind
		m.failAt(k)
		r := tr.apply(t, m, tr.to)
		struck := m.struck
		m.repair()
		switch {
		case !struck:
			return false
		case r.code != 4 || m.String() != before || m.remembered(t) != remembered:
			return true
		}
	}
}

// noInverse are the operations whose undo has nothing to do.
var noInverse = map[string]string{
	"ipsec.initiate": "the SAs that it brings up go with what was loaded for them",
	"ppp.modules":    "modules stay loaded: nobody can tell who uses them by then",
	"nat.flush":      "what conntrack has forgotten, traffic brings again",
}

// elsewhere are the operations that take live sessions, foreign daemons or systemd, which
// these transitions do not have: the walks of their own packages have them.
var elsewhere = map[string]bool{
	"l2tp.back": true, "l2tp.reload": true, "l2tp.restart": true, "ppp.end": true, "ppp.routes": true,
	"pptp.end": true, "pptp.redial": true, "pptp.reload": true,
}

// TestMutations breaks the undo of each kind of operation in turn: the walk over all faults
// must see it, or it would not see a mistake there either.
func TestMutations(t *testing.T) {
	all := transitions(t)
	users := map[string][]string{} // the transitions that have a kind
	for _, name := range slices.Sorted(maps.Keys(all)) {
		tr := all[name]
		m := tr.machine(t)
		tr.mustApply(t, m, tr.from)
		m.mutable()
		tr.mustApply(t, m, tr.to)
		for kind := range m.did {
			users[kind] = append(users[kind], name)
		}
	}
	for kind := range newMachine("linux1", memoryDir(t)).kinds() {
		if users[kind] == nil && !elsewhere[kind] {
			t.Errorf("%s: no transition has it", kind)
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(users)) {
		if noInverse[kind] != "" {
			continue
		}
		i := slices.IndexFunc(users[kind], func(name string) bool { return all[name].seen(t, kind) })
		if i < 0 {
			t.Errorf("%s: its undo does nothing, and none of %d transitions shows it", kind, len(users[kind]))
			continue
		}
		t.Logf("%s: a broken undo shows in %q", kind, users[kind][i])
	}
}
