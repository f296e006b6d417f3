package wireguard

import (
	"cmp"
	"slices"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// The priorities of full-tunnel policy routing. They stand after rules that an
// administrator made for special traffic and before that of the main table, and are not
// those that the kernel would hand to wg-quick(8): two rules that differ in nothing but
// who made them could not be told apart when one of them has to go. Every tunnel has one
// of its own, for rules of the same priority count in the order in which they came.
const (
	suppressPriority = 32700
	tunnelPriority   = 32701 // of the first tunnel
)

// addRules derives the rules of every namespace.
func (w *wanted) addRules() {
	tunnels := map[string][]*desired.Interface{}
	for i := range w.targets {
		t := &w.targets[i]
		tunnels[t.Netns] = append(tunnels[t.Netns], t.desired)
	}
	for ns, interfaces := range tunnels {
		if rules := RulesOf(interfaces); len(rules) > 0 {
			w.rules[ns] = rules
		}
	}
}

// RulesOf derives the rules of all full tunnels of one namespace, sorted: what the tunnels
// did not send themselves goes to their table, unless the main table knows a better way
// than its default route. Two tunnels share the latter rule.
func RulesOf(interfaces []*desired.Interface) []rtnl.Rule {
	var tables []int
	for _, i := range interfaces {
		if i.FullTunnel(false) || i.FullTunnel(true) {
			tables = append(tables, i.RouteTable())
		}
	}
	slices.Sort(tables)
	var rules []rtnl.Rule
	for _, i := range interfaces {
		at := slices.Index(tables, i.RouteTable())
		for _, v6 := range []bool{false, true} {
			if !i.FullTunnel(v6) {
				continue
			}
			rules = append(rules,
				rtnl.Rule{IPv6: v6, Priority: suppressPriority, Table: rtnl.MainTable, SuppressDefault: true, Protocol: protocol},
				rtnl.Rule{IPv6: v6, Priority: tunnelPriority + at, Not: true, Mark: i.Mark(), Table: i.RouteTable(), Protocol: protocol})
		}
	}
	slices.SortFunc(rules, compareRules)
	return slices.Compact(rules)
}

// compareRules is the order of rules; by priority, so that the rule that spares the
// main table is there before the one that captures everything else.
func compareRules(a, b rtnl.Rule) int {
	return cmp.Or(compareBool(a.IPv6, b.IPv6), cmp.Compare(a.Priority, b.Priority),
		cmp.Compare(a.Table, b.Table), cmp.Compare(a.Mark, b.Mark),
		compareBool(a.Not, b.Not), compareBool(a.SuppressDefault, b.SuppressDefault))
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
