package wireguard

import (
	"errors"
	"io/fs"
	"maps"
	"slices"

	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// checkRoutes looks for foreign routes where new ones of ours must stand.
func (c *checker) checkRoutes() error {
	fresh := c.newRoutes()
	for _, netns := range slices.Sorted(maps.Keys(fresh)) {
		n, err := c.Network(netns)
		if errors.Is(err, fs.ErrNotExist) {
			continue // made by apply, and empty
		}
		if err != nil {
			return inNetns(netns, err)
		}
		err = c.checkTables(n, netns, fresh[netns])
		_ = n.Close()
		if err != nil {
			return inNetns(netns, err)
		}
	}
	return nil
}

// newRoutes lists, by namespace, the wanted routes that the last apply did not want.
func (c *checker) newRoutes() map[string][]rtnl.Route {
	fresh := map[string][]rtnl.Route{}
	for i := range c.in.Want.Interfaces {
		want := &c.in.Want.Interfaces[i]
		var before []rtnl.Route
		if a := appliedTo(c.in.Applied, want.Name).iface; a != nil && c.ours(place{want.Name, want.Netns}) {
			before = RoutesOf(a)
		}
		if add := compareRouteLists(before, RoutesOf(want)).add; len(add) > 0 {
			fresh[want.Netns] = append(fresh[want.Netns], add...)
		}
	}
	return fresh
}

// checkTables compares new routes with all that is in their tables.
func (c *checker) checkTables(n Routing, netns string, fresh []rtnl.Route) error {
	wanted, tables := map[routeKey]bool{}, map[int]bool{}
	for _, r := range fresh {
		wanted[keyOf(netns, r)] = true
		tables[r.Table] = true
	}
	names := map[int]string{} // of foreign links
	for _, l := range c.links[netns] {
		if l.Alias != aliasOf(c.in.Want.Site) && !adopts(c.in, netns, l) {
			names[l.Index] = l.Name
		}
	}
	for _, table := range slices.Sorted(maps.Keys(tables)) {
		routes, err := n.Routes(rtnl.RouteFilter{Table: table})
		if err != nil {
			return err
		}
		for _, r := range routes {
			if dev, foreign := names[r.Index]; foreign && wanted[keyOf(netns, r)] {
				c.refuse(routeObject(netns, r), "remove that route, or change the allowed IPs",
					"a route of that prefix, table and metric exists on %s and is not vpnctl's", dev)
			}
		}
	}
	return nil
}
