package wireguard

import (
	"cmp"
	"slices"

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

// addRules derives the rules of all full tunnels: what the tunnels did not send
// themselves goes to their table, unless the main table knows a better way than its
// default route. Two tunnels share the latter rule.
func (w *wanted) addRules() {
	tables := map[string][]int{}
	for i := range w.targets {
		t := &w.targets[i]
		if t.desired.FullTunnel(false) || t.desired.FullTunnel(true) {
			tables[t.Netns] = append(tables[t.Netns], t.desired.RouteTable())
		}
	}
	for i := range w.targets {
		t := &w.targets[i]
		slices.Sort(tables[t.Netns])
		at := slices.Index(tables[t.Netns], t.desired.RouteTable())
		for _, v6 := range []bool{false, true} {
			if !t.desired.FullTunnel(v6) {
				continue
			}
			w.rules[t.Netns] = append(w.rules[t.Netns],
				rtnl.Rule{IPv6: v6, Priority: suppressPriority, Table: rtnl.MainTable, SuppressDefault: true, Protocol: protocol},
				rtnl.Rule{IPv6: v6, Priority: tunnelPriority + at, Not: true, Mark: t.FirewallMark, Table: t.desired.RouteTable(), Protocol: protocol})
		}
	}
	for ns, rules := range w.rules {
		slices.SortFunc(rules, compareRules)
		w.rules[ns] = slices.Compact(rules)
	}
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
