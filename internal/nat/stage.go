package nat

import (
	"slices"

	"github.com/vpnctl/vpnctl/internal/backend"
)

// stage is one change of one table.
type stage struct {
	phase    backend.Phase
	from, to *Table
}

// stages leads a table from have to want, in one change unless guards come or go with
// others: guards are set before anything else of the apply, and taken away after
// everything else.
func stages(have, want *Table) []stage {
	if have.same(want) {
		return nil // as nearly always; the rest parses each rule
	}
	guarded := overlay(have, want, have)
	filled := overlay(have, want, want)
	var out []stage
	for _, s := range []stage{
		{backend.PhaseGuard, have, guarded},
		{direction(guarded, filled), guarded, filled},
		{backend.PhaseUnguard, filled, want},
	} {
		if !s.from.same(s.to) {
			out = append(out, s)
		}
	}
	return out
}

// direction is the phase of a change: that of removals where it only removes.
func direction(from, to *Table) backend.Phase {
	for _, c := range to.Chains {
		have := from.chain(c.Name)
		if have == nil || !slices.Equal(intersect(have.Rules, c.Rules), c.Rules) {
			return backend.PhaseNAT
		}
	}
	for _, j := range to.Jumps {
		if !slices.Contains(from.Jumps, j) {
			return backend.PhaseNAT
		}
	}
	return backend.PhaseRemoveNAT
}

// intersect are those of a that are in b too, in the order of a.
func intersect(a, b []string) []string {
	in := make(map[string]bool, len(b))
	for _, s := range b {
		in[s] = true
	}
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return !in[s] })
}

// overlay is base with the guards of both have and want ahead in each chain, and with the
// jumps that lead to them.
func overlay(have, want, base *Table) *Table {
	var chains []Chain
	var jumps []Jump
	for _, name := range scope(have, want) {
		guarding := guardsOf(have, want, name)
		source := base.chain(name)
		if source == nil && len(guarding) == 0 {
			jumps = append(jumps, base.jumpsTo(name)...)
			continue
		}
		c := Chain{Name: name}
		if source != nil {
			c.Rules = source.Rules
		}
		if len(guarding) == 0 {
			chains, jumps = append(chains, c), append(jumps, base.jumpsTo(name)...)
			continue
		}
		rest := slices.DeleteFunc(slices.Clone(c.Rules), func(s string) bool { return slices.Contains(guarding, s) })
		c.Rules = append(slices.Clone(guarding), rest...)
		chains, jumps = append(chains, c), append(jumps, guardJumps(have, want, name)...)
	}
	return base.with(chains, jumps)
}

// guardsOf are the guards of both tables in one chain, the wanted ones first.
func guardsOf(have, want *Table, name string) []string {
	var out []string
	for _, t := range []*Table{want, have} {
		c := t.chain(name)
		if c == nil {
			continue
		}
		for _, spec := range c.Rules {
			if guards(t.Name, name, spec) && !slices.Contains(out, spec) {
				out = append(out, spec)
			}
		}
	}
	return out
}

// guardJumps are the jumps to a chain with guards: the wanted ones, and until the end the
// present ones.
func guardJumps(have, want *Table, name string) []Jump {
	if jumps := want.jumpsTo(name); len(jumps) > 0 {
		return jumps
	}
	return have.jumpsTo(name)
}
