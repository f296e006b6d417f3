package rtnl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"
)

// MainTable is the routing table of a host without policy routing.
const MainTable = unix.RT_TABLE_MAIN

// metric6 is what the kernel makes of no metric for IPv6 (IP6_RT_PRIO_USER).
const metric6 = 1024

// Route is a unicast route through a link, or one that leads nowhere. Two are the same where
// they are equal.
type Route struct {
	Dst      netip.Prefix `json:"dst"`
	Table    int          `json:"table"`
	Metric   int          `json:"metric,omitempty"`
	Protocol int          `json:"protocol"`
	Index    int          `json:"-"` // of the link: it does not outlive the link
	Gateway  netip.Addr   `json:"gateway,omitzero"`
	Source   netip.Addr   `json:"source,omitzero"`
	MTU      int          `json:"mtu,omitempty"`
	// Unreachable says that it leads nowhere: it has no link, and whoever sends is told.
	Unreachable bool `json:"unreachable,omitempty"`
}

// kind is the kernel's type of the route.
func (r Route) kind() uint8 {
	if r.Unreachable {
		return unix.RTN_UNREACHABLE
	}
	return unix.RTN_UNICAST
}

// DefaultMetric is the metric that the kernel gives a route to dst that names none.
func DefaultMetric(dst netip.Prefix) int {
	if dst.Addr().Is6() {
		return metric6
	}
	return 0
}

// String is the route as ip-route(8) writes it, without its link.
func (r Route) String() string {
	var b strings.Builder
	if r.Unreachable {
		b.WriteString("unreachable ")
	}
	b.WriteString(r.Dst.String())
	for _, a := range []struct {
		name string
		addr netip.Addr
	}{{"via", r.Gateway}, {"src", r.Source}} {
		if a.addr.IsValid() {
			fmt.Fprintf(&b, " %s %s", a.name, a.addr)
		}
	}
	for _, n := range []struct {
		name  string
		v, no int
	}{{"table", r.Table, MainTable}, {"metric", r.Metric, DefaultMetric(r.Dst)}, {"mtu", r.MTU, 0}} {
		if n.v != n.no {
			fmt.Fprintf(&b, " %s %d", n.name, n.v)
		}
	}
	return b.String()
}

// RouteFilter chooses routes; zero fields match all. The kernel applies it.
type RouteFilter struct {
	Index    int // of the link
	Table    int
	Protocol int
	// Unreachable chooses the routes that lead nowhere, in place of unicast routes.
	Unreachable bool
}

// kind is the kernel's type of the routes that are chosen.
func (f RouteFilter) kind() uint8 { return Route{Unreachable: f.Unreachable}.kind() }

// Routes lists routes of both families.
func (c *Conn) Routes(f RouteFilter) ([]Route, error) {
	var routes []Route
	for _, fam := range []uint8{unix.AF_INET, unix.AF_INET6} {
		at := len(routes)
		err := c.dump("routes", func() { routes = routes[:at] }, func(e *encoder, seq uint32) {
			f.encode(e, seq, fam)
		}, func(m message) error {
			r, typ, err := parseRoute(m.data)
			if err == nil && typ == f.kind() && f.match(r) {
				// The kernel hangs those of IPv6 that lead nowhere on the loopback.
				if r.Unreachable = f.Unreachable; r.Unreachable {
					r.Index = 0
				}
				routes = append(routes, r)
			}
			return err
		})
		if err != nil && !noTable(err) {
			return nil, err
		}
	}
	return routes, nil
}

// noTable reports whether a dump failed because its table is not there, or the whole
// family: neither has routes then.
func noTable(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Errno == unix.ENOENT || e.Errno == unix.EAFNOSUPPORT || e.Errno == unix.EOPNOTSUPP)
}

func (f RouteFilter) encode(e *encoder, seq uint32, fam uint8) {
	head := e.begin(unix.RTM_GETROUTE, 0, seq, unix.SizeofRtMsg)
	head[0], head[5], head[7] = fam, uint8(f.Protocol), f.kind()
	if f.Index != 0 {
		e.uint32(unix.RTA_OIF, uint32(f.Index))
	}
	if f.Table != 0 {
		e.uint32(unix.RTA_TABLE, uint32(f.Table))
	}
}

// match repeats the filter for a kernel without strict checking, which ignores it.
func (f RouteFilter) match(r Route) bool {
	return (f.Index == 0 || f.Index == r.Index) && (f.Table == 0 || f.Table == r.Table) &&
		(f.Protocol == 0 || f.Protocol == r.Protocol) && r.Dst.IsValid()
}

func parseRoute(data []byte) (r Route, typ uint8, err error) {
	if len(data) < unix.SizeofRtMsg {
		return r, 0, errMalformed
	}
	dst := netip.IPv4Unspecified()
	if data[0] == unix.AF_INET6 {
		dst = netip.IPv6Unspecified()
	}
	r.Table, r.Protocol = int(data[4]), int(data[5])
	err = attributes(data, unix.SizeofRtMsg, func(typ uint16, v []byte) {
		switch typ {
		case unix.RTA_DST:
			dst = address(v)
		case unix.RTA_TABLE:
			r.Table = number(v)
		case unix.RTA_PRIORITY:
			r.Metric = number(v)
		case unix.RTA_OIF:
			r.Index = number(v)
		case unix.RTA_GATEWAY:
			r.Gateway = address(v)
		case unix.RTA_PREFSRC:
			r.Source = address(v)
		case unix.RTA_METRICS:
			r.MTU = routeMTU(v)
		case unix.RTA_MULTIPATH:
			if r.Index == 0 && len(v) >= unix.SizeofRtNexthop {
				r.Index = number(v[4:8]) // the first of them stands for all
			}
		}
	})
	r.Dst = netip.PrefixFrom(dst, int(data[1]))
	return r, data[7], err
}

// routeMTU finds a route's own MTU among its metrics; 0 for none.
func routeMTU(metrics []byte) (mtu int) {
	// Metrics that cannot be read say nothing about the MTU.
	_ = attributes(metrics, 0, func(typ uint16, v []byte) {
		if typ == unix.RTAX_MTU {
			mtu = number(v)
		}
	})
	return mtu
}

// AddRoute adds a route; one of the same prefix, table and metric is fs.ErrExist.
type AddRoute struct{ Route }

func (r AddRoute) String() string { return "adding route " + r.Route.String() }

func (r AddRoute) encode(e *encoder, seq uint32) {
	r.Route.encode(e, unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, seq)
	if r.MTU != 0 {
		e.nest(unix.RTA_METRICS, func() { e.uint32(unix.RTAX_MTU, uint32(r.MTU)) })
	}
}

// DelRoute removes a route.
type DelRoute struct{ Route }

func (r DelRoute) String() string { return "deleting route " + r.Route.String() }

func (r DelRoute) encode(e *encoder, seq uint32) {
	r.Route.encode(e, unix.RTM_DELROUTE, 0, seq)
}

func (r Route) encode(e *encoder, typ, flags int, seq uint32) {
	head := e.begin(typ, flags, seq, unix.SizeofRtMsg)
	head[0], head[1] = family(r.Dst.Addr()), uint8(r.Dst.Bits())
	head[5], head[6], head[7] = uint8(r.Protocol), r.scope(typ), r.kind()
	e.addr(unix.RTA_DST, r.Dst.Addr())
	e.uint32(unix.RTA_TABLE, uint32(r.Table))
	if !r.Unreachable {
		e.uint32(unix.RTA_OIF, uint32(r.Index))
	}
	if r.Metric != 0 {
		e.uint32(unix.RTA_PRIORITY, uint32(r.Metric))
	}
	if r.Gateway.IsValid() {
		e.addr(unix.RTA_GATEWAY, r.Gateway)
	}
	if r.Source.IsValid() {
		e.addr(unix.RTA_PREFSRC, r.Source)
	}
}

// scope is what ip-route(8) chooses: the other end of the link, or beyond a gateway;
// whichever it is for what is to be deleted.
func (r Route) scope(typ int) uint8 {
	switch {
	case typ == unix.RTM_DELROUTE:
		return unix.RT_SCOPE_NOWHERE
	case r.Dst.Addr().Is4() && !r.Gateway.IsValid() && !r.Unreachable:
		return unix.RT_SCOPE_LINK
	}
	return unix.RT_SCOPE_UNIVERSE
}

func putUint32(b []byte, v uint32) { binary.NativeEndian.PutUint32(b, v) }
