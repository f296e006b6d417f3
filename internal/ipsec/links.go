package ipsec

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// protocol marks routes as vpnctl's (contract, section 3).
const protocol = 118

// routesMemory is the key of Memory for the routes of policy tunnels: other backends mark
// theirs by the same protocol.
const routesMemory = memoryPrefix + "routes"

// aliasOf marks a link as a site's.
func aliasOf(site string) string { return "vpnctl:" + site }

// xfrm is an XFRM link as it is or shall be.
type xfrm struct {
	Name  string `json:"name"`
	IfID  uint32 `json:"if_id"`
	Alias string `json:"alias"`
	// Routes go with a link that is made anew, and come again.
	Routes []route `json:"routes,omitempty"`
}

// route is a route by the name of its link, which the journal can hold.
type route struct {
	Link string `json:"link"`
	rtnl.Route
}

// routes is a set of them: what is in From and not in To goes, what is in To comes.
type routes struct {
	List []route `json:"list"`
}

func compareRoutes(a, b route) int {
	return cmp.Or(a.Dst.Addr().Compare(b.Dst.Addr()), cmp.Compare(a.Dst.Bits(), b.Dst.Bits()), cmp.Compare(a.Link, b.Link))
}

func (b *Backend) observeNetwork(h *snapshot) error {
	n, err := b.Network()
	if err != nil {
		return err
	}
	defer func() { _ = n.Close() }()
	if h.links, err = n.Links(); err != nil {
		return err
	}
	if h.addrs, err = n.Addrs(0); err != nil {
		return err
	}
	h.routes, err = n.Routes(rtnl.RouteFilter{Table: rtnl.MainTable})
	return err
}

// links plans the XFRM links, their routes and those of policy tunnels.
func (d *differ) links() {
	wanted := map[string]bool{}
	for _, l := range d.w.Links {
		wanted[l.Name] = true
		d.link(&xfrm{Name: l.Name, IfID: l.IfID, Alias: aliasOf(d.in.Want.Site)})
	}
	for _, l := range d.h.links {
		if have := d.ownLink(l); have != nil && !wanted[l.Name] {
			d.step(backend.PhaseRemoveLink, backend.Op{Kind: opLink, From: have},
				backend.Change{Action: backend.Delete, Object: "link/" + l.Name})
		}
	}
	d.linkRoutes()
}

// ownLink is a link of ours, nil for another.
func (d *differ) ownLink(l rtnl.Link) *xfrm {
	if l.Kind != "xfrm" || l.Alias != aliasOf(d.in.Want.Site) {
		return nil
	}
	return &xfrm{Name: l.Name, IfID: l.IfID, Alias: l.Alias}
}

func (d *differ) link(want *xfrm) {
	at := slices.IndexFunc(d.h.links, func(l rtnl.Link) bool { return l.Name == want.Name })
	c := backend.Change{Action: backend.Create, Object: "link/" + want.Name, Fields: []backend.Field{
		{Name: "if_id", Want: backend.Text(fmt.Sprint(want.IfID))},
	}}
	op := backend.Op{Kind: opLink, To: want}
	if at >= 0 {
		have := d.ownLink(d.h.links[at])
		if have == nil {
			return // somebody else's: Check refuses it
		}
		if have.IfID == want.IfID && d.h.links[at].Up {
			return
		}
		op.From, c.Action = have, backend.Update
		c.Fields = []backend.Field{{Name: "up", Have: backend.Text("false"), Want: backend.Text("true")}}
		if have.IfID != want.IfID {
			have.Routes = onLink(d.ownRoutes(nil), want.Name)
			want.Routes = have.Routes
			c.Fields = []backend.Field{{Name: "if_id", Have: backend.Text(fmt.Sprint(have.IfID)), Want: backend.Text(fmt.Sprint(want.IfID))}}
		}
	}
	d.step(backend.PhaseLink, op, c)
}

// onLink are those of the routes that lead through a link.
func onLink(list []route, name string) []route {
	return slices.DeleteFunc(slices.Clone(list), func(r route) bool { return r.Link != name })
}

// linkRoutes plans all routes.
func (d *differ) linkRoutes() {
	var before *routes
	d.in.Memory.Get(routesMemory, &before)
	want := d.wantedRoutes(before)
	have := d.ownRoutes(before)
	var add, del []route
	for _, r := range want {
		if !slices.Contains(have, r) {
			add = append(add, r)
		}
	}
	for _, r := range have {
		if !slices.Contains(want, r) {
			del = append(del, r)
		}
	}
	d.rememberRoutes(before, want)
	if len(add) > 0 {
		d.step(backend.PhaseRoute, backend.Op{Kind: opRoutes, To: &routes{add}}, routeChanges(backend.Create, add)...)
	}
	if len(del) > 0 {
		d.step(backend.PhaseRemoveRoute, backend.Op{Kind: opRoutes, From: &routes{del}}, routeChanges(backend.Delete, del)...)
	}
}

// rememberRoutes plans what the memory holds of the routes of policy tunnels: before they
// are made, and until they are gone.
func (d *differ) rememberRoutes(before *routes, want []route) {
	after := &routes{slices.DeleteFunc(slices.Clone(want), func(r route) bool { return d.onOwnLink(r.Link) })}
	if len(after.List) == 0 {
		after = nil
	}
	var have, list []route
	if before != nil {
		have, list = before.List, slices.Clone(before.List)
	}
	if after != nil {
		for _, r := range after.List {
			if !slices.Contains(list, r) {
				list = append(list, r)
			}
		}
	}
	between := before
	if len(list) > len(have) {
		between = &routes{list}
		d.steps = append(d.steps, remember(backend.PhaseMemory, routesMemory, before, between, false)...)
	}
	same := between == nil && after == nil || between != nil && after != nil && slices.Equal(between.List, after.List)
	d.steps = append(d.steps, remember(backend.PhaseForget, routesMemory, between, after, same)...)
}

// onOwnLink reports whether a link of that name is an XFRM link of ours.
func (d *differ) onOwnLink(name string) bool {
	for _, l := range d.w.Links {
		if l.Name == name {
			return true
		}
	}
	return slices.ContainsFunc(d.h.links, func(l rtnl.Link) bool { return l.Name == name && d.ownLink(l) != nil })
}

// ownRoutes lists the routes of ours that there are.
func (d *differ) ownRoutes(remembered *routes) []route {
	names := map[int]string{}
	for _, l := range d.h.links {
		names[l.Index] = l.Name
	}
	var out []route
	for _, r := range d.h.routes {
		have := route{Link: names[r.Index], Route: r}
		have.Index = 0
		if r.Protocol == protocol && (d.onOwnLink(have.Link) || remembered != nil && slices.Contains(remembered.List, have)) {
			out = append(out, have)
		}
	}
	return out
}

// wantedRoutes lists the routes that there shall be, sorted.
func (d *differ) wantedRoutes(remembered *routes) []route {
	var out []route
	for _, l := range d.w.Links {
		for _, dst := range l.Routes {
			out = append(out, newRoute(l.Name, dst, netip.Addr{}))
		}
	}
	own := d.ownRoutes(remembered)
	for _, s := range d.w.Routes {
		if d.reached(s.Dst, own) {
			continue
		}
		peer, err := netip.ParseAddr(s.Peer)
		if err != nil {
			// A name that does not resolve now leaves what there is.
			out = append(out, slices.DeleteFunc(slices.Clone(own), func(r route) bool { return r.Dst != s.Dst })...)
			continue
		}
		via, name := d.way(peer)
		if name == "" {
			continue
		}
		gateway := via.Gateway
		if gateway.Is4() != s.Dst.Addr().Is4() {
			gateway = netip.Addr{} // the packet never goes there: its policy takes it
		}
		out = append(out, newRoute(name, s.Dst, gateway))
	}
	slices.SortFunc(out, compareRoutes)
	return slices.Compact(out)
}

func newRoute(link string, dst netip.Prefix, gateway netip.Addr) route {
	return route{Link: link, Route: rtnl.Route{
		Dst: dst, Table: rtnl.MainTable, Metric: rtnl.DefaultMetric(dst), Protocol: protocol, Gateway: gateway,
	}}
}

// reached reports whether the host has a route of somebody else's to a prefix.
func (d *differ) reached(dst netip.Prefix, own []route) bool {
	return slices.ContainsFunc(d.h.routes, func(r rtnl.Route) bool {
		if r.Dst.Bits() > dst.Bits() || !r.Dst.Contains(dst.Addr()) {
			return false
		}
		return !slices.ContainsFunc(own, func(o route) bool { return o.Dst == r.Dst && r.Protocol == protocol })
	})
}

// way is the route to an address, and its link's name.
func (d *differ) way(a netip.Addr) (rtnl.Route, string) {
	var best *rtnl.Route
	for i := range d.h.routes {
		r := &d.h.routes[i]
		if r.Dst.Contains(a) && (best == nil || r.Dst.Bits() > best.Dst.Bits() ||
			r.Dst.Bits() == best.Dst.Bits() && r.Metric < best.Metric) {
			best = r
		}
	}
	if best == nil {
		return rtnl.Route{}, ""
	}
	for _, l := range d.h.links {
		if l.Index == best.Index {
			return *best, l.Name
		}
	}
	return rtnl.Route{}, ""
}

func routeChanges(action backend.Action, list []route) []backend.Change {
	changes := make([]backend.Change, len(list))
	for i, r := range list {
		changes[i] = backend.Change{Action: action, Object: "route/" + r.Dst.String()}
		if action == backend.Create {
			changes[i].Fields = []backend.Field{{Name: "dev", Want: backend.Text(r.Link)}}
			if r.Gateway.IsValid() {
				changes[i].Fields = append(changes[i].Fields, backend.Field{Name: "gateway", Want: backend.Text(r.Gateway.String())})
			}
		}
	}
	return changes
}

// applyLink brings an XFRM link from one state to another.
func (b *Backend) applyLink(ctx context.Context, from, to *xfrm) error {
	n, err := b.Network()
	if err != nil {
		return err
	}
	defer func() { _ = n.Close() }()
	links, err := n.Links()
	if err != nil {
		return err
	}
	find := func(name string) *rtnl.Link {
		at := slices.IndexFunc(links, func(l rtnl.Link) bool { return l.Name == name && l.Kind == "xfrm" })
		if at < 0 {
			return nil
		}
		return &links[at]
	}
	if from != nil {
		if have := find(from.Name); have != nil && (to == nil || have.IfID != to.IfID) {
			if err := n.Do(rtnl.DelLink{Name: from.Name}); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			links = slices.DeleteFunc(links, func(l rtnl.Link) bool { return l.Name == from.Name })
		}
	}
	if to == nil {
		return nil
	}
	up := true
	set := rtnl.SetLink{Name: to.Name, Alias: &to.Alias, Up: &up}
	if find(to.Name) != nil {
		return n.Do(set)
	}
	// One system call, so that there is no moment at which the link has no mark.
	if err := n.Do(rtnl.AddLink{Name: to.Name, Kind: "xfrm", IfID: to.IfID}, set); err != nil || len(to.Routes) == 0 {
		return err
	}
	return b.applyRoutes(ctx, nil, &routes{to.Routes})
}

// applyRoutes adds and removes routes. What is there already, or gone with its link, is
// success.
func (b *Backend) applyRoutes(_ context.Context, from, to *routes) error {
	n, err := b.Network()
	if err != nil {
		return err
	}
	defer func() { _ = n.Close() }()
	links, err := n.Links()
	if err != nil {
		return err
	}
	index := map[string]int{}
	for _, l := range links {
		index[l.Name] = l.Index
	}
	if from != nil {
		for _, r := range from.List {
			if to != nil && slices.Contains(to.List, r) || index[r.Link] == 0 {
				continue
			}
			r.Index = index[r.Link]
			if err := n.Do(rtnl.DelRoute{Route: r.Route}); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	if to == nil {
		return nil
	}
	for _, r := range to.List {
		if index[r.Link] == 0 {
			return fmt.Errorf("adding route %s: link %s: %w", r.Dst, r.Link, fs.ErrNotExist)
		}
		r.Index = index[r.Link]
		if err := n.Do(rtnl.AddRoute{Route: r.Route}); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}
