package nat

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Prefix marks the chains that are ours, and jumpComment the jumps into them.
const (
	Prefix      = "VPNCTL-"
	jumpComment = "vpnctl"
)

// Family is an address family.
type Family string

// The families, named as nft(8) names them.
const (
	IPv4 Family = "ip"
	IPv6 Family = "ip6"
)

// Kind is one of the two programs called iptables, and the kernel's tables behind it.
// A host can hold rules in both at once, and both filter.
type Kind string

// The kinds.
const (
	NFT    Kind = "nft"
	Legacy Kind = "legacy"
)

// Table is what is ours in one table, and so the unit of change: iptables-restore takes
// it as a whole. It is in the journal.
type Table struct {
	Family Family  `json:"family"`
	Kind   Kind    `json:"kind"`
	Name   string  `json:"table"`
	Chains []Chain `json:"chains,omitempty"` // sorted by name
	Jumps  []Jump  `json:"jumps,omitempty"`  // sorted by hook and place
}

// Chain is a chain of ours.
type Chain struct {
	Name  string   `json:"name"`
	Rules []string `json:"rules,omitempty"` // in the syntax of iptables-restore, without the chain
}

// Jump leads from a builtin chain into one of ours.
type Jump struct {
	Hook  string `json:"hook"`
	Chain string `json:"chain"`
	At    int    `json:"at"` // its place in the builtin chain, from 1
}

// label names the table among those of both families: "nat", "nat6".
func (t *Table) label() string {
	if t.Family == IPv6 {
		return t.Name + "6"
	}
	return t.Name
}

// chain is the named chain, nil where there is none.
func (t *Table) chain(name string) *Chain {
	for i := range t.Chains {
		if t.Chains[i].Name == name {
			return &t.Chains[i]
		}
	}
	return nil
}

// jumpsTo are the jumps that lead to a chain.
func (t *Table) jumpsTo(chain string) []Jump {
	var out []Jump
	for _, j := range t.Jumps {
		if j.Chain == chain {
			out = append(out, j)
		}
	}
	return out
}

// empty reports whether nothing of ours is there.
func (t *Table) empty() bool { return len(t.Chains)+len(t.Jumps) == 0 }

// with is the same table with other content.
func (t *Table) with(chains []Chain, jumps []Jump) *Table {
	return &Table{Family: t.Family, Kind: t.Kind, Name: t.Name, Chains: sortChains(chains), Jumps: sortJumps(jumps)}
}

// same reports whether two tables hold the same, rule by rule and word by word.
func (t *Table) same(o *Table) bool {
	return slices.EqualFunc(t.Chains, o.Chains, func(a, b Chain) bool {
		return a.Name == b.Name && slices.Equal(a.Rules, b.Rules)
	}) && slices.Equal(t.Jumps, o.Jumps)
}

func sortChains(c []Chain) []Chain {
	slices.SortFunc(c, func(a, b Chain) int { return cmp.Compare(a.Name, b.Name) })
	return c
}

func sortJumps(j []Jump) []Jump {
	slices.SortFunc(j, func(a, b Jump) int {
		return cmp.Or(cmp.Compare(a.Hook, b.Hook), cmp.Compare(a.At, b.At), cmp.Compare(a.Chain, b.Chain))
	})
	return j
}

// jumpRule is the rule that a jump is.
func jumpRule(chain string) string {
	r := rule{optJump: chain}
	r.setComment(jumpComment)
	return r.String()
}

// script collects the lines of one iptables-restore.
type script struct {
	table string
	lines []string
}

func (s *script) add(format string, args ...any) {
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

// String is the input of iptables-restore; "" where there is nothing to do.
func (s *script) String() string {
	if len(s.lines) == 0 {
		return ""
	}
	return "*" + s.table + "\n" + strings.Join(s.lines, "\n") + "\nCOMMIT\n"
}

// restoreScript leads a table from what it holds now to what it shall hold. From is what
// was found when this was planned: a jump that stays where it was stays where it is.
//
// now may be from, to, or anything between, so that a step can be undone that was never
// done. Chains that neither from nor to mentions are left alone.
func restoreScript(now *savedTable, from, to *Table) string {
	s := &script{table: to.Name}
	current := to.with(now.ours())
	for _, c := range to.Chains {
		if have := current.chain(c.Name); have != nil && slices.Equal(have.Rules, c.Rules) {
			continue // rewriting it would reset its counters
		}
		s.add(":%s - [0:0]", c.Name)
		for _, spec := range c.Rules {
			s.add("-A %s %s", c.Name, spec)
		}
	}
	names := scope(from, to)
	s.moveJumps(now, current, from, to, names)
	for _, name := range names {
		if to.chain(name) == nil && current.chain(name) != nil {
			s.add("-F %s", name)
			s.add("-X %s", name)
		}
	}
	return s.String()
}

// scope names the chains that an operation is about.
func scope(from, to *Table) []string {
	var names []string
	for _, t := range []*Table{from, to} {
		for _, c := range t.Chains {
			names = append(names, c.Name)
		}
		for _, j := range t.Jumps {
			names = append(names, j.Chain)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// moveJumps removes the jumps that shall not be where they are, then inserts those that
// are missing, from the top down so that their places are right.
func (s *script) moveJumps(now *savedTable, current, from, to *Table, names []string) {
	var missing []Jump
	length := make(map[string]int)
	for hook, rules := range now.rules {
		length[hook] = len(rules)
	}
	for _, name := range names {
		have, want := current.jumpsTo(name), to.jumpsTo(name)
		if slices.Equal(have, want) || settled(have, from.jumpsTo(name), want) {
			continue
		}
		for _, j := range have {
			s.add("-D %s %s", j.Hook, jumpRule(j.Chain))
			length[j.Hook]--
		}
		missing = append(missing, want...)
	}
	for _, j := range sortJumps(missing) {
		length[j.Hook]++
		s.add("-I %s %d %s", j.Hook, min(max(j.At, 1), max(length[j.Hook], 1)), jumpRule(j.Chain))
	}
}

// settled reports whether jumps are in the right chains and were not meant to move within
// them; foreign rules may have come before them in the meantime.
func settled(have, from, want []Jump) bool {
	return slices.Equal(from, want) && slices.EqualFunc(have, want, func(a, b Jump) bool { return a.Hook == b.Hook })
}
