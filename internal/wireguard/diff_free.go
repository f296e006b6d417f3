package wireguard

import (
	"slices"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// freed is what interfaces give up before others can take it.
type freed struct {
	ports  map[place]bool
	routes map[place][]rtnl.Route
	names  map[place]bool // the whole interface goes first
}

// free plans what must be given up before it can be taken: a name that moves to another
// namespace, a listen port, a route that another interface gets. Everything else is
// added before anything is removed.
func (d *differ) free(want *wanted, h *snapshot) {
	d.freed = freed{map[place]bool{}, map[place][]rtnl.Route{}, map[place]bool{}}
	ports, routes, names := want.taken()
	for i := range h.ours {
		o := &h.ours[i]
		t := want.find(o.place)
		if t == nil && names[o.Name] {
			d.freed.names[o.place] = true
			continue
		}
		d.freePort(o, t, ports)
		d.freeRoutes(o, t, routes)
	}
}

// taken lists what interfaces are to get that they do not have.
func (w *wanted) taken() (ports map[int]bool, routes map[routeKey]bool, names map[string]bool) {
	ports, routes, names = map[int]bool{}, map[routeKey]bool{}, map[string]bool{}
	for i := range w.targets {
		t := &w.targets[i]
		var have link
		if t.have == nil {
			names[t.Name] = true
		} else {
			have = t.have.link
		}
		if t.ListenPort != 0 && t.ListenPort != have.ListenPort {
			ports[t.ListenPort] = true
		}
		for _, r := range compareRouteLists(have.Routes, t.Routes).add {
			routes[keyOf(t.Netns, r)] = true
		}
	}
	return ports, routes, names
}

// freePort notes that an interface gives its port up. That two interfaces swap theirs is
// one reason.
func (d *differ) freePort(o *observed, t *target, taken map[int]bool) {
	if taken[o.ListenPort] && (t == nil || t.ListenPort != o.ListenPort) {
		d.freed.ports[o.place] = true
	}
}

// givePort plans that an interface listens on any port from now on, if it has to, and
// returns its settings from then on.
func (d *differ) givePort(o *observed, show func() []backend.Change) settings {
	from := settingsOf(&o.link)
	to := from
	if d.freed.ports[o.place] {
		to.ListenPort = 0
		d.step(backend.PhaseFree, backend.Op{Kind: opSettings, From: &from, To: &to}, show()...)
	}
	return to
}

// freeRoutes removes routes right before another interface gets them.
func (d *differ) freeRoutes(o *observed, t *target, taken map[routeKey]bool) {
	var want []rtnl.Route
	if t != nil {
		want = t.Routes
	}
	gone := compareRouteLists(o.Routes, want).del
	gone = slices.DeleteFunc(gone, func(r rtnl.Route) bool { return !taken[keyOf(o.Netns, r)] })
	if len(gone) == 0 {
		return
	}
	d.freed.routes[o.place] = gone
	d.step(backend.PhaseRoute, backend.Op{Kind: opRoutes, From: routes(o.place, gone)},
		routeChanges(backend.Delete, o.place, gone)...)
}

// keptRoutes are the routes of an interface without the freed ones.
func (d *differ) keptRoutes(o *observed) []rtnl.Route {
	if len(d.freed.routes[o.place]) == 0 {
		return o.Routes
	}
	return compareRouteLists(o.Routes, d.freed.routes[o.place]).del
}

// removal is how an interface goes: when, and what there still is of it by then.
func (d *differ) removal(o *observed) (backend.Phase, *link) {
	if d.freed.names[o.place] {
		return backend.PhaseFree, &o.link
	}
	from := o.link
	from.Routes = d.keptRoutes(o)
	from.ListenPort = d.givePort(o, func() []backend.Change { return nil }).ListenPort
	return backend.PhaseRemoveLink, &from
}
