package wireguard

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// applyRoutes adds and removes routes through a link. Those of a fresh link are removed
// too when that is undone: they may stand where routes of another link were before.
func (b *Backend) applyRoutes(_ context.Context, from, to *routeSet) error {
	if from == nil && to == nil {
		return nil
	}
	return b.onLink(either(from, to).place, to == nil, func(d *device) error {
		if to != nil && to.Fresh {
			err := d.Do(addRoutes(d.link.Index, to.List)...)
			if !errors.Is(err, fs.ErrExist) {
				return err
			}
		}
		return raced(func() error { return d.updateRoutes(from, to) })
	})
}

func (d *device) updateRoutes(from, to *routeSet) error {
	gone, wanted := parts(from, to, func(s *routeSet) []rtnl.Route { return s.List })
	have, err := linkRoutes(d, d.link.Index)
	if err != nil {
		return err
	}
	// What is neither to go nor to come stays as it is.
	out := map[routeKey]bool{}
	for _, r := range slices.Concat(gone, wanted) {
		out[keyOf(d.netns, r)] = true
	}
	target := slices.Clone(wanted)
	for _, r := range have {
		if !out[keyOf(d.netns, r)] {
			target = append(target, r)
		}
	}
	slices.SortFunc(target, compareRoutes)
	return d.changeRoutes(have, target)
}

// addMissing adds those of the routes that are not there.
func (d *device) addMissing(routes []rtnl.Route) error {
	return d.updateRoutes(nil, &routeSet{List: routes})
}

// changeRoutes brings the link from the routes it has to others, both sorted. A route
// that only changes goes right before it comes again.
func (d *device) changeRoutes(have, want []rtnl.Route) error {
	c := compareRouteLists(have, want)
	requests := addRoutes(d.link.Index, c.add)
	for i := range c.to {
		requests = append(requests, rtnl.DelRoute{Route: c.from[i]})
		requests = append(requests, addRoutes(d.link.Index, c.to[i:i+1])...)
	}
	for _, r := range c.del {
		requests = append(requests, rtnl.DelRoute{Route: r})
	}
	return d.Do(requests...)
}

func addRoutes(index int, routes []rtnl.Route) []rtnl.Request {
	requests := make([]rtnl.Request, len(routes))
	for i, r := range routes {
		r.Index = index
		requests[i] = rtnl.AddRoute{Route: r}
	}
	return requests
}

// applyRules adds and removes rules of policy routing. The kernel would take a rule
// twice, so what is there is read first.
func (b *Backend) applyRules(_ context.Context, from, to *ruleSet) error {
	if from == nil && to == nil {
		return nil
	}
	netns := either(from, to).Netns
	n, err := b.Network(netns)
	if errors.Is(err, fs.ErrNotExist) && to == nil {
		return nil // they went with the namespace
	}
	if err != nil {
		return inNetns(netns, err)
	}
	defer func() { _ = n.Close() }()
	gone, wanted := parts(from, to, func(s *ruleSet) []rtnl.Rule { return s.List })
	return inNetns(netns, changeRules(n, gone, wanted))
}

// changeRules adds what spares before what captures, and removes it after that.
func changeRules(n Network, gone, wanted []rtnl.Rule) error {
	have, err := n.Rules()
	if err != nil {
		return err
	}
	add := surplus(wanted, have)
	gone = surplus(gone, wanted)
	del := surplus(gone, surplus(gone, have))
	slices.SortFunc(add, compareRules)
	slices.SortFunc(del, func(a, b rtnl.Rule) int { return compareRules(b, a) })
	requests := make([]rtnl.Request, 0, len(add)+len(del))
	for _, r := range add {
		requests = append(requests, rtnl.AddRule{Rule: r})
	}
	for _, r := range del {
		requests = append(requests, rtnl.DelRule{Rule: r})
	}
	return n.Do(requests...)
}
