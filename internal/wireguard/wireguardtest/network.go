package wireguardtest

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// What Linux does with MTUs.
const (
	defaultMTU = 1420 // of a new WireGuard link
	minMTU6    = 1280 // below it a link has no IPv6
)

// space is one network namespace.
type space struct {
	links  []*link // by index
	routes map[routeKey]rtnl.Route
	rules  []rtnl.Rule
}

// link is one link and what is on it.
type link struct {
	rtnl.Link
	addrs []rtnl.Addr
	wg    *device // nil for other kinds
}

// routeKey is what there is only one of in a namespace.
type routeKey struct {
	dst           netip.Prefix
	table, metric int
}

func keyOf(r rtnl.Route) routeKey { return routeKey{r.Dst, r.Table, r.Metric} }

func (h *Host) addSpace(name string) *space {
	s := &space{routes: map[routeKey]rtnl.Route{}}
	for _, v6 := range []bool{false, true} {
		s.rules = append(s.rules,
			rtnl.Rule{IPv6: v6, Priority: 0, Table: unix.RT_TABLE_LOCAL, Protocol: unix.RTPROT_KERNEL},
			rtnl.Rule{IPv6: v6, Priority: 32766, Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_KERNEL})
	}
	h.spaces[name] = s
	lo := h.addLink(s, "lo", "", 65536)
	lo.Loopback = true
	return s
}

func (h *Host) addLink(s *space, name, kind string, mtu int) *link {
	h.index++
	l := &link{Link: rtnl.Link{Index: h.index, Name: name, Kind: kind, MTU: mtu}}
	if kind == "wireguard" || kind == "tun" {
		l.wg = newDevice()
	}
	s.links = append(s.links, l)
	return l
}

func (s *space) find(name string) *link {
	for _, l := range s.links {
		if l.Name == name {
			return l
		}
	}
	return nil
}

func (s *space) at(index int) *link {
	for _, l := range s.links {
		if l.Index == index {
			return l
		}
	}
	return nil
}

// network is a handle on a namespace.
type network struct {
	h *Host
	s *space
}

func (n *network) Close() error { return nil }

func (n *network) Links() ([]rtnl.Link, error) {
	links := make([]rtnl.Link, len(n.s.links))
	for i, l := range n.s.links {
		links[i] = l.Link
	}
	return links, nil
}

func (n *network) Link(name string) (rtnl.Link, error) {
	if l := n.s.find(name); l != nil {
		return l.Link, nil
	}
	return rtnl.Link{}, fmt.Errorf("finding link %s: %w", name, fs.ErrNotExist)
}

func (n *network) Addrs(index int) ([]rtnl.Addr, error) {
	var all []rtnl.Addr
	for _, l := range n.s.links {
		if index == 0 || l.Index == index {
			all = append(all, l.addrs...)
		}
	}
	return all, nil
}

func (n *network) Routes(f rtnl.RouteFilter) ([]rtnl.Route, error) {
	var routes []rtnl.Route
	for _, r := range n.s.routes {
		if (f.Index == 0 || f.Index == r.Index) && (f.Table == 0 || f.Table == r.Table) &&
			(f.Protocol == 0 || f.Protocol == r.Protocol) && f.Unreachable == r.Unreachable {
			routes = append(routes, r)
		}
	}
	return routes, nil
}

func (n *network) Rules() ([]rtnl.Rule, error) { return slices.Clone(n.s.rules), nil }

// Lookup knows the main table only, as what is sent with a tunnel's mark does.
func (n *network) Lookup(queries ...rtnl.Query) ([]rtnl.Path, error) {
	paths := make([]rtnl.Path, len(queries))
	for i, q := range queries {
		best := -1
		for _, r := range n.s.routes {
			if r.Table == rtnl.MainTable && r.Dst.Contains(q.Dst) && r.Dst.Bits() > best {
				best = r.Dst.Bits()
				paths[i] = rtnl.Path{Index: r.Index, MTU: r.MTU}
			}
		}
	}
	return paths, nil
}

// Do goes on after an error, as the kernel does within a batch.
func (n *network) Do(requests ...rtnl.Request) error {
	var first error
	for i, r := range requests {
		err := n.h.fault(r.String())
		switch {
		case errors.Is(err, ErrKilled) && i == 0:
			return err
		case err == nil, errors.Is(err, ErrKilled):
			err = n.s.do(n.h, r)
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// do makes one change.
func (s *space) do(h *Host, r rtnl.Request) error {
	code := unix.Errno(0)
	switch r := r.(type) {
	case rtnl.AddLink:
		code = s.addLink(h, r)
	case rtnl.SetLink:
		code = s.setLink(h, r)
	case rtnl.MoveLink:
		code = s.moveLink(h, r)
	case rtnl.DelLink:
		code = s.delLink(r.Name)
	case rtnl.AddAddr:
		code = s.addAddr(r)
	case rtnl.DelAddr:
		code = s.delAddr(r)
	case rtnl.AddRoute:
		code = s.addRoute(r.Route)
	case rtnl.DelRoute:
		code = s.delRoute(r.Route)
	case rtnl.AddRule:
		s.rules = append(s.rules, r.Rule)
	case rtnl.DelRule:
		code = s.delRule(r.Rule)
	default:
		panic(fmt.Sprintf("no such request: %T", r))
	}
	if code == 0 {
		return nil
	}
	return &rtnl.Error{Request: r, Errno: code}
}

func (s *space) addLink(h *Host, r rtnl.AddLink) unix.Errno {
	switch {
	case s.find(r.Name) != nil:
		return unix.EEXIST
	case r.Kind == "wireguard" && h.NoKernel:
		return unix.EOPNOTSUPP
	}
	l := h.addLink(s, r.Name, r.Kind, defaultMTU)
	if r.MTU != 0 {
		l.MTU = r.MTU
	}
	return 0
}

func (s *space) setLink(h *Host, r rtnl.SetLink) unix.Errno {
	l := s.find(r.Name)
	if l == nil {
		return unix.ENODEV
	}
	if r.Alias != nil {
		l.Alias = *r.Alias
	}
	if r.MTU != 0 {
		l.MTU = r.MTU
		if l.MTU < minMTU6 {
			s.dropAddrs(l, is6)
			s.dropRoutes(l, is6)
		}
	}
	switch {
	case r.Up == nil || *r.Up == l.Up:
		return 0
	case *r.Up:
		return s.up(h, l)
	}
	s.down(l)
	return 0
}

// up opens the socket and connects the subnets. Routes of others do not come back.
func (s *space) up(h *Host, l *link) unix.Errno {
	if l.wg != nil {
		if code := h.bind(l, l.wg.port); code != 0 {
			return code
		}
	}
	l.Up = true
	for _, a := range l.addrs {
		s.connect(l, a.Prefix)
	}
	if l.Kind == "tun" && l.MTU >= minMTU6 {
		own := rtnl.Addr{Index: l.Index, Prefix: netip.MustParsePrefix("fe80::1/64"), Kernel: true}
		l.addrs = append(l.addrs, own)
		s.connect(l, own.Prefix)
	}
	return 0
}

// down takes all routes of the link along, and its IPv6 addresses.
func (s *space) down(l *link) {
	l.Up = false
	s.dropAddrs(l, is6)
	s.dropRoutes(l, func(netip.Prefix) bool { return true })
}

func (s *space) moveLink(h *Host, r rtnl.MoveLink) unix.Errno {
	l, to := s.find(r.Name), h.spaces[r.To.Name()]
	switch {
	case l == nil:
		return unix.ENODEV
	case to.find(r.Name) != nil:
		return unix.EEXIST
	}
	s.down(l)
	l.addrs = nil
	s.links = slices.DeleteFunc(s.links, func(o *link) bool { return o == l })
	to.links = append(to.links, l)
	return 0
}

func (s *space) delLink(name string) unix.Errno {
	l := s.find(name)
	if l == nil {
		return unix.ENODEV
	}
	s.down(l)
	s.links = slices.DeleteFunc(s.links, func(o *link) bool { return o == l })
	return 0
}

func (s *space) addAddr(r rtnl.AddAddr) unix.Errno {
	l := s.at(r.Index)
	switch {
	case l == nil:
		return unix.ENODEV
	case is6(r.Prefix) && l.MTU < minMTU6:
		return unix.EINVAL
	case slices.ContainsFunc(l.addrs, func(a rtnl.Addr) bool { return a.Prefix == r.Prefix }):
		return unix.EEXIST
	}
	l.addrs = append(l.addrs, rtnl.Addr{Index: r.Index, Prefix: r.Prefix})
	if l.Up {
		s.connect(l, r.Prefix)
	}
	return 0
}

// delAddr removes an address. With the first of an IPv4 subnet go the others, and with
// the last of a link all its IPv4 routes.
func (s *space) delAddr(r rtnl.DelAddr) unix.Errno {
	l := s.at(r.Index)
	if l == nil {
		return unix.ENODEV
	}
	at := slices.IndexFunc(l.addrs, func(a rtnl.Addr) bool { return a.Prefix == r.Prefix })
	if at < 0 {
		return unix.EADDRNOTAVAIL
	}
	same := func(p netip.Prefix) bool { return p.Masked() == r.Prefix.Masked() }
	first := slices.IndexFunc(l.addrs, func(a rtnl.Addr) bool { return same(a.Prefix) })
	l.addrs = slices.Delete(l.addrs, at, at+1)
	if !is6(r.Prefix) && at == first {
		s.dropAddrs(l, same)
	}
	if !slices.ContainsFunc(l.addrs, func(a rtnl.Addr) bool { return same(a.Prefix) }) {
		s.disconnect(l, r.Prefix)
	}
	if !is6(r.Prefix) && !slices.ContainsFunc(l.addrs, func(a rtnl.Addr) bool { return !is6(a.Prefix) }) {
		s.dropRoutes(l, func(p netip.Prefix) bool { return !is6(p) })
	}
	return 0
}

func is6(p netip.Prefix) bool { return p.Addr().Is6() }

func (s *space) dropAddrs(l *link, which func(netip.Prefix) bool) {
	l.addrs = slices.DeleteFunc(l.addrs, func(a rtnl.Addr) bool { return which(a.Prefix) })
}

func (s *space) dropRoutes(l *link, which func(netip.Prefix) bool) {
	for k, r := range s.routes {
		if r.Index == l.Index && which(r.Dst) {
			delete(s.routes, k)
		}
	}
}

// connect adds the kernel's own route to a subnet, of which there may be others.
func (s *space) connect(l *link, p netip.Prefix) {
	if p.IsSingleIP() {
		return
	}
	r := rtnl.Route{Dst: p.Masked(), Table: rtnl.MainTable, Protocol: unix.RTPROT_KERNEL, Index: l.Index, Metric: connectedMetric(p)}
	if _, taken := s.routes[keyOf(r)]; !taken {
		s.routes[keyOf(r)] = r
	}
}

// connectedMetric is the metric of the kernel's own routes: 256 for IPv6.
func connectedMetric(p netip.Prefix) int {
	if is6(p) {
		return 256
	}
	return 0
}

func (s *space) disconnect(l *link, p netip.Prefix) {
	k := routeKey{p.Masked(), rtnl.MainTable, connectedMetric(p)}
	if r, ok := s.routes[k]; ok && r.Protocol == unix.RTPROT_KERNEL && r.Index == l.Index {
		delete(s.routes, k)
	}
}

func (s *space) addRoute(r rtnl.Route) unix.Errno {
	l := s.at(r.Index)
	_, taken := s.routes[keyOf(r)]
	switch {
	case l == nil:
		return unix.ENODEV
	case !l.Up:
		return unix.ENETDOWN
	case is6(r.Dst) && l.MTU < minMTU6:
		return unix.ENODEV
	case r.Dst != r.Dst.Masked():
		return unix.EINVAL
	case taken:
		return unix.EEXIST
	}
	s.routes[keyOf(r)] = r
	return 0
}

func (s *space) delRoute(r rtnl.Route) unix.Errno {
	have, ok := s.routes[keyOf(r)]
	if !ok || r.Index != 0 && r.Index != have.Index || r.Protocol != 0 && r.Protocol != have.Protocol {
		return unix.ESRCH
	}
	delete(s.routes, keyOf(r))
	return 0
}

func (s *space) delRule(r rtnl.Rule) unix.Errno {
	at := slices.Index(s.rules, r)
	if at < 0 {
		return unix.ENOENT
	}
	s.rules = slices.Delete(s.rules, at, at+1)
	return 0
}
