package ppp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// protocol marks the routes of vpnctl; see /etc/iproute2/rt_protos.d/vpnctl.conf.
const protocol = 118

// fallbacks are routes that lead nowhere, as an operation makes or removes them.
type fallbacks struct {
	Routes []netip.Prefix `json:"routes"`
}

// sessionRoutes are routes into a session, as an operation makes or removes them.
type sessionRoutes struct {
	Interface string         `json:"interface"`
	Routes    []netip.Prefix `json:"routes"`
}

// settling is how long after a session's beginning its hook may still be at work.
const settling = 10 * time.Second

// planRoutes plans what leads nowhere while a session is down, and the routes of those that
// are up: pppd's hook makes them when a session begins, with the options of then.
func (d *differ) planRoutes() error {
	c, err := d.b.Network()
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if err := d.planFallbacks(c); err != nil {
		return err
	}
	links, err := c.Links()
	if err != nil {
		return err
	}
	var all []sessionPlan
	wanted := map[netip.Prefix]bool{} // by any session
	for i := range d.sessions {
		p := sessionPlan{session: &d.sessions[i]}
		at := slices.IndexFunc(links, func(l rtnl.Link) bool { return l.Name == p.session.Interface })
		var ok bool
		if p.want, ok = d.routesInto(p.session); !ok || at < 0 || d.b.Now().Sub(p.session.Since) < d.settling() {
			continue
		}
		if p.have, err = routesOf(c, links[at].Index); err != nil {
			return err
		}
		for _, dst := range p.want {
			wanted[dst] = true
		}
		all = append(all, p)
	}
	for i := range all {
		d.planSession(&all[i], wanted)
	}
	return nil
}

// settling is how long after a session's beginning its hook may still be at work, with what
// the files were then. Behind an apply it is longer: who logged in just before has the routes
// of before, and is no reason to undo everything. The next plan has him.
func (d *differ) settling() time.Duration {
	if d.in.Applied == d.in.Want {
		return time.Minute
	}
	return settling
}

// sessionPlan is what leads into a session.
type sessionPlan struct {
	session    *Session
	have, want []netip.Prefix
}

// routesInto are the routes that lead into a session; it reports false for one that is not
// vpnctl's business. Of a user who is in twice, the newest session has them.
func (d *differ) routesInto(s *Session) ([]netip.Prefix, bool) {
	if s.Link {
		l := findLink(&d.in.Want.PPP, s.Object())
		if l == nil {
			return nil, false
		}
		return linkRoutes(l), true
	}
	server := d.in.Want.PPP.Server(s.Protocol)
	if s.Name == "" || server == nil || server.Name != s.Name || s.User == "" {
		return nil, false
	}
	newer := func(o Session) bool {
		return o.Object() == s.Object() && !o.Link && o.User == s.User && o.Since.After(s.Since)
	}
	if slices.ContainsFunc(d.sessions, newer) {
		return nil, true
	}
	return server.NetworksOf(s.User), true
}

func (d *differ) planFallbacks(c Network) error {
	routes, err := c.Routes(rtnl.RouteFilter{Table: rtnl.MainTable, Protocol: protocol, Unreachable: true})
	if err != nil {
		return fmt.Errorf("listing routes: %w", err)
	}
	var have []netip.Prefix
	for _, r := range routes {
		if r.Metric == desired.FallbackMetric && r.Unreachable {
			have = append(have, r.Dst)
		}
	}
	want := d.in.Want.PPP.Fallbacks()
	if add := without(want, have); len(add) > 0 {
		d.steps = append(d.steps, backend.Step{Phase: backend.PhaseGuard, Changes: routeChanges(backend.Create, add, "unreachable"),
			Op: backend.Op{Kind: opFallback, To: &fallbacks{add}}})
	}
	if gone := without(have, want); len(gone) > 0 {
		d.steps = append(d.steps, backend.Step{Phase: backend.PhaseUnguard, Changes: routeChanges(backend.Delete, gone, ""),
			Op: backend.Op{Kind: opFallback, From: &fallbacks{gone}}})
	}
	return nil
}

// routesOf are our routes through a link.
func routesOf(c Network, index int) ([]netip.Prefix, error) {
	routes, err := c.Routes(rtnl.RouteFilter{Table: rtnl.MainTable, Protocol: protocol, Index: index})
	if err != nil {
		return nil, fmt.Errorf("listing routes: %w", err)
	}
	var out []netip.Prefix
	for _, r := range routes {
		if r.Index == index && r.Protocol == protocol {
			out = append(out, r.Dst)
		}
	}
	return out, nil
}

// planSession plans the routes of one session. What another session wants is freed for it
// first.
func (d *differ) planSession(p *sessionPlan, wanted map[netip.Prefix]bool) {
	name := p.session.Interface
	if add := without(p.want, p.have); len(add) > 0 {
		d.steps = append(d.steps, backend.Step{Phase: backend.PhaseRoute, Changes: routeChanges(backend.Create, add, name),
			Op: backend.Op{Kind: opRoutes, To: &sessionRoutes{name, add}}})
	}
	var moved, gone []netip.Prefix
	for _, dst := range without(p.have, p.want) {
		if wanted[dst] {
			moved = append(moved, dst)
		} else {
			gone = append(gone, dst)
		}
	}
	if len(moved) > 0 {
		d.steps = append(d.steps, backend.Step{Phase: backend.PhaseFree, Op: backend.Op{Kind: opRoutes, From: &sessionRoutes{name, moved}}})
	}
	if len(gone) > 0 {
		d.steps = append(d.steps, backend.Step{Phase: backend.PhaseRemoveRoute, Changes: routeChanges(backend.Delete, gone, ""),
			Op: backend.Op{Kind: opRoutes, From: &sessionRoutes{name, gone}}})
	}
}

func without(a, b []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(a), func(p netip.Prefix) bool { return slices.Contains(b, p) })
}

// routeChanges are the lines of a plan for routes; via is where new ones lead.
func routeChanges(a backend.Action, routes []netip.Prefix, via string) []backend.Change {
	var out []backend.Change
	for _, p := range routes {
		c := backend.Change{Action: a, Object: "route/" + p.String()}
		if via != "" {
			c.Fields = []backend.Field{{Name: "dev", Want: backend.Text(via)}}
		}
		out = append(out, c)
	}
	return out
}

// applyFallback makes or removes routes that lead nowhere.
func (b *Backend) applyFallback(_ context.Context, from, to *fallbacks) error {
	return b.change(side(from), side(to), 0)
}

func side(f *fallbacks) []rtnl.Route {
	var out []rtnl.Route
	if f != nil {
		for _, p := range f.Routes {
			out = append(out, rtnl.Route{Dst: p, Table: rtnl.MainTable, Protocol: protocol, Metric: desired.FallbackMetric, Unreachable: true})
		}
	}
	return out
}

// applyRoutes makes or removes routes into a session. One that has ended has taken them
// along.
func (b *Backend) applyRoutes(_ context.Context, from, to *sessionRoutes) error {
	name := ""
	list := func(r *sessionRoutes) []rtnl.Route {
		var out []rtnl.Route
		if r != nil {
			name = r.Interface
			for _, p := range r.Routes {
				out = append(out, rtnl.Route{Dst: p, Table: rtnl.MainTable, Protocol: protocol})
			}
		}
		return out
	}
	remove, add := list(from), list(to)
	c, err := b.Network()
	if err != nil {
		return err
	}
	links, err := c.Links()
	_ = c.Close()
	if err != nil {
		return err
	}
	at := slices.IndexFunc(links, func(l rtnl.Link) bool { return l.Name == name })
	if at < 0 {
		return nil
	}
	return b.change(remove, add, links[at].Index)
}

// change adds routes through a link before it removes others; what is there already, or
// not, is success.
func (b *Backend) change(remove, add []rtnl.Route, index int) error {
	c, err := b.Network()
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	for _, r := range add {
		r.Index = index
		err := c.Do(rtnl.AddRoute{Route: r})
		if errors.Is(err, fs.ErrExist) && stands(c, r) {
			continue
		}
		if err != nil {
			return err
		}
	}
	for _, r := range remove {
		r.Index = index
		if err := c.Do(rtnl.DelRoute{Route: r}); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// stands reports whether the route that is in the way is the very one, as far as the kernel
// tells.
func stands(c Network, want rtnl.Route) bool {
	routes, err := c.Routes(rtnl.RouteFilter{Table: rtnl.MainTable, Protocol: protocol, Unreachable: want.Unreachable})
	return err == nil && slices.ContainsFunc(routes, func(r rtnl.Route) bool {
		return r.Dst == want.Dst && r.Protocol == protocol && r.Unreachable == want.Unreachable && (r.Unreachable || r.Index == want.Index)
	})
}

// checkRoutes refuses a link or network whose route somebody else has.
func (b *Backend) checkRoutes(in backend.Input) error {
	want := map[string][]netip.Prefix{}
	for i := range in.Want.PPP.Links {
		l := &in.Want.PPP.Links[i]
		want[l.Object()] = linkRoutes(l)
	}
	for i := range in.Want.PPP.Servers {
		s := &in.Want.PPP.Servers[i]
		for _, n := range s.Networks {
			want[s.Object()+"/user/"+n.User] = n.Prefixes
		}
	}
	if len(want) == 0 {
		return nil
	}
	c, err := b.Network()
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	routes, err := c.Routes(rtnl.RouteFilter{Table: rtnl.MainTable})
	if err != nil {
		return fmt.Errorf("listing routes: %w", err)
	}
	var errs []error
	for _, object := range slices.Sorted(maps.Keys(want)) {
		for _, p := range want[object] {
			if slices.ContainsFunc(routes, func(r rtnl.Route) bool {
				return r.Dst == p && r.Metric <= rtnl.DefaultMetric(p) && r.Protocol != protocol
			}) {
				errs = append(errs, backend.Refuse(object, "ip route del "+p.String(), "route %s is there already and not vpnctl's", p))
			}
		}
	}
	return errors.Join(errs...)
}
