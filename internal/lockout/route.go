package lockout

import (
	"fmt"

	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// lookup finds the route of a packet as the kernel does: rule by rule, and in each table
// the longest prefix, then the lowest metric.
func (v *view) lookup(p packet) (route, bool) {
	for i := range v.rules {
		r := &v.rules[i]
		if !applies(r, p) {
			continue
		}
		best := v.best(r.Table, p)
		if best == nil || r.SuppressDefault && best.Dst.Bits() == 0 {
			continue
		}
		found := *best
		found.objects = append(found.objects[:len(found.objects):len(found.objects)], ruleObjects(r)...)
		return found, true
	}
	return route{}, false
}

// applies reports whether a rule looks at a packet of this host. One that asks for what is
// not known here is none of the packet's.
func applies(r *rtnl.Rule, p packet) bool {
	if r.Other || r.IPv6 != p.dst.Is6() {
		return false
	}
	mask := r.Mask
	if mask == 0 {
		mask = ^0
	}
	matches := (r.Mark == 0 && r.Mask == 0 || p.mark&mask == r.Mark) &&
		(!r.Src.IsValid() || p.src.IsValid() && r.Src.Contains(p.src)) &&
		(!r.Dst.IsValid() || r.Dst.Contains(p.dst))
	return matches != r.Not
}

func (v *view) best(table int, p packet) *route {
	var best *route
	for i := range v.routes {
		r := &v.routes[i]
		if r.Table != table || !r.Dst.Contains(p.dst) {
			continue
		}
		if best == nil || r.Dst.Bits() > best.Dst.Bits() || r.Dst.Bits() == best.Dst.Bits() && r.Metric < best.Metric {
			best = r
		}
	}
	return best
}

// routeObject and ruleObjects are the paths of the plan; see wireguard.
func routeObject(r rtnl.Route) string {
	s := "route/" + r.Dst.String()
	if r.Table != rtnl.MainTable {
		s += fmt.Sprintf("/table/%d", r.Table)
	}
	return s
}

func ruleObjects(r *rtnl.Rule) []string {
	if r.Protocol != protocol {
		return nil
	}
	family := "ipv4"
	if r.IPv6 {
		family = "ipv6"
	}
	return []string{fmt.Sprintf("rule/%s/lookup-%d", family, r.Table)}
}
