package wireguard

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// routeKey is what makes two routes of a namespace rivals: there can be only one of them.
type routeKey struct {
	netns         string
	dst           netip.Prefix
	table, metric int
}

func keyOf(netns string, r rtnl.Route) routeKey { return routeKey{netns, r.Dst, r.Table, r.Metric} }

// routeChanges is one line a route.
func routeChanges(action backend.Action, p place, routes []rtnl.Route) []backend.Change {
	changes := make([]backend.Change, len(routes))
	for i, r := range routes {
		changes[i] = backend.Change{Action: action, Object: routeObject(p.Netns, r)}
		if action == backend.Create {
			changes[i].Fields = routeFields(p, r)
		}
	}
	return changes
}

// routeObject is the path of a route: "route/10.13.0.0/16", and where that is not enough
// "netns/blue/route/0.0.0.0/0/table/51820".
func routeObject(netns string, r rtnl.Route) string {
	s := inside(netns) + "route/" + r.Dst.String()
	if r.Table != rtnl.MainTable {
		s += fmt.Sprintf("/table/%d", r.Table)
	}
	return s
}

// inside is how the paths of objects in a namespace begin.
func inside(netns string) string {
	if netns == "" {
		return ""
	}
	return namespaceObject(netns) + "/"
}

func routeFields(p place, r rtnl.Route) []backend.Field {
	f := fields{{Name: "dev", Want: backend.Text(p.Name)}}
	if r.Metric != rtnl.DefaultMetric(r.Dst) {
		f.number("metric", 0, r.Metric)
	}
	return f
}

// updateRoutes plans the routes that are missing, and later the removal of others.
func (d *differ) updateRoutes(t *target) {
	c := compareRouteLists(d.keptRoutes(t.have), t.Routes)
	if len(c.add)+len(c.to) > 0 {
		changes := append(routeChanges(backend.Create, t.place, c.add), replacedRoutes(t.Netns, c.from, c.to)...)
		op := backend.Op{Kind: opRoutes, From: routes(t.place, c.from), To: routes(t.place, slices.Concat(c.add, c.to))}
		d.step(backend.PhaseRoute, op, changes...)
	}
	if len(c.del) > 0 {
		d.step(t.removal(backend.PhaseRemoveRoute), backend.Op{Kind: opRoutes, From: routes(t.place, c.del)},
			routeChanges(backend.Delete, t.place, c.del)...)
	}
}

// routeDiff is the difference between the routes of a link. One that differs in no more
// than its origin or its gateway is replaced where it stands: it leads from one to
// another.
type routeDiff struct{ add, del, from, to []rtnl.Route }

// compareRouteLists compares two sorted lists.
func compareRouteLists(have, want []rtnl.Route) routeDiff {
	var d routeDiff
	for len(have) > 0 || len(want) > 0 {
		switch c := compareHeads(have, want); {
		case c < 0:
			d.del, have = append(d.del, have[0]), have[1:]
		case c > 0:
			d.add, want = append(d.add, want[0]), want[1:]
		default:
			if !sameRoute(have[0], want[0]) {
				d.from, d.to = append(d.from, have[0]), append(d.to, want[0])
			}
			have, want = have[1:], want[1:]
		}
	}
	return d
}

// compareHeads compares the first routes of two sorted lists; an empty one has the
// largest.
func compareHeads(have, want []rtnl.Route) int {
	switch {
	case len(want) == 0:
		return -1
	case len(have) == 0:
		return 1
	}
	return compareRoutes(have[0], want[0])
}

// sameRoute compares what compareRoutes does not; the link is the same by being looked
// at.
func sameRoute(a, b rtnl.Route) bool {
	a.Index, b.Index = 0, 0
	return a == b
}

func routes(p place, list []rtnl.Route) any {
	if len(list) == 0 {
		return nil
	}
	return &routeSet{p, false, list}
}

func replacedRoutes(netns string, from, to []rtnl.Route) []backend.Change {
	changes := make([]backend.Change, len(from))
	for i := range from {
		var f fields
		f.text("gateway", addrText(from[i].Gateway), addrText(to[i].Gateway))
		f.number("mtu", from[i].MTU, to[i].MTU)
		f.number("protocol", from[i].Protocol, to[i].Protocol)
		f.text("src", addrText(from[i].Source), addrText(to[i].Source))
		changes[i] = backend.Change{Action: backend.Update, Object: routeObject(netns, to[i]), Fields: f}
	}
	return changes
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// rules plans the rules of policy routing, after the routes to which they lead, and
// removes those that are left over before the routes go.
func (d *differ) rules(want *wanted, h *snapshot) {
	for _, ns := range spaceNames(want, h) {
		var have []rtnl.Rule
		if s := h.spaces[ns]; s != nil {
			have = slices.SortedFunc(slices.Values(s.rules), compareRules)
		}
		add := surplus(want.rules[ns], have)
		del := surplus(have, want.rules[ns])
		slices.Reverse(del) // what captures goes before what spares
		if len(add) > 0 {
			d.step(backend.PhaseRoute, backend.Op{Kind: opRules, To: &ruleSet{ns, add}}, ruleChanges(backend.Create, ns, add)...)
		}
		if len(del) > 0 {
			d.step(backend.PhaseRemoveRoute, backend.Op{Kind: opRules, From: &ruleSet{ns, del}}, ruleChanges(backend.Delete, ns, del)...)
		}
	}
}

func spaceNames(want *wanted, h *snapshot) []string {
	var names []string
	for ns := range h.spaces {
		names = append(names, ns)
	}
	for ns := range want.rules {
		names = append(names, ns)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// surplus is what is in a more often than in b.
func surplus(a, b []rtnl.Rule) []rtnl.Rule {
	count := map[rtnl.Rule]int{}
	for _, r := range b {
		count[r]++
	}
	var out []rtnl.Rule
	for _, r := range a {
		if count[r]--; count[r] < 0 {
			out = append(out, r)
		}
	}
	return out
}

func ruleChanges(action backend.Action, netns string, rules []rtnl.Rule) []backend.Change {
	changes := make([]backend.Change, len(rules))
	for i, r := range rules {
		changes[i] = backend.Change{Action: action, Object: inside(netns) + ruleObject(r)}
		if action == backend.Create {
			changes[i].Fields = []backend.Field{{Name: "rule", Want: backend.Text(r.String())}}
		}
	}
	return changes
}

// ruleObject is the path of a rule: "rule/ipv4/lookup-51820".
func ruleObject(r rtnl.Rule) string {
	family := "ipv4"
	if r.IPv6 {
		family = "ipv6"
	}
	if r.Table == rtnl.MainTable {
		return "rule/" + family + "/lookup-main"
	}
	return fmt.Sprintf("rule/%s/lookup-%d", family, r.Table)
}
