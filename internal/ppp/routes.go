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
	for i := range d.sessions {
		s := &d.sessions[i]
		want, ok := d.routesInto(s)
		at := slices.IndexFunc(links, func(l rtnl.Link) bool { return l.Name == s.Interface })
		if !ok || at < 0 || d.b.Now().Sub(s.Since) < settling {
			continue
		}
		if err := d.planSession(c, links[at].Index, want, s); err != nil {
			return err
		}
	}
	return nil
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

// planSession plans the routes of one session.
func (d *differ) planSession(c Network, index int, want []netip.Prefix, s *Session) error {
	routes, err := c.Routes(rtnl.RouteFilter{Table: rtnl.MainTable, Protocol: protocol, Index: index})
	if err != nil {
		return fmt.Errorf("listing routes: %w", err)
	}
	var have []netip.Prefix
	for _, r := range routes {
		if r.Index == index && r.Protocol == protocol {
			have = append(have, r.Dst)
		}
	}
	if add := without(want, have); len(add) > 0 {
		d.steps = append(d.steps, backend.Step{Phase: backend.PhaseRoute, Changes: routeChanges(backend.Create, add, s.Interface),
			Op: backend.Op{Kind: opRoutes, To: &sessionRoutes{s.Interface, add}}})
	}
	if gone := without(have, want); len(gone) > 0 {
		d.steps = append(d.steps, backend.Step{Phase: backend.PhaseRemoveRoute, Changes: routeChanges(backend.Delete, gone, ""),
			Op: backend.Op{Kind: opRoutes, From: &sessionRoutes{s.Interface, gone}}})
	}
	return nil
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
		if err := c.Do(rtnl.AddRoute{Route: r}); err != nil && !errors.Is(err, fs.ErrExist) {
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
				return r.Dst == p && r.Metric == rtnl.DefaultMetric(p) && r.Protocol != protocol
			}) {
				errs = append(errs, backend.Refuse(object, "ip route del "+p.String(), "route %s is there already and not vpnctl's", p))
			}
		}
	}
	return errors.Join(errs...)
}
