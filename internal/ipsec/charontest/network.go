package charontest

import (
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/ipsec"
	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// Network is a host's links and routes in memory, as far as XFRM links need them.
type Network struct {
	Fault func(write string) error

	links  []rtnl.Link
	addrs  []rtnl.Addr
	routes []rtnl.Route
	next   int
}

var _ ipsec.Network = (*Network)(nil)

// AddLink makes a link that is up, as somebody else would.
func (n *Network) AddLink(l rtnl.Link) {
	n.next++
	l.Index, l.Up = n.next, true
	n.links = append(n.links, l)
}

// AddRoute makes a route through a link, as somebody else would.
func (n *Network) AddRoute(link string, r rtnl.Route) {
	r.Index, r.Table = n.links[n.find(link)].Index, rtnl.MainTable
	n.routes = append(n.routes, r)
}

// AddAddr gives a link an address, as somebody else would.
func (n *Network) AddAddr(link, prefix string) {
	n.addrs = append(n.addrs, rtnl.Addr{Index: n.links[n.find(link)].Index, Prefix: netip.MustParsePrefix(prefix)})
}

// Addrs implements ipsec.Network.
func (n *Network) Addrs(int) ([]rtnl.Addr, error) { return slices.Clone(n.addrs), nil }

// Links implements ipsec.Network.
func (n *Network) Links() ([]rtnl.Link, error) { return slices.Clone(n.links), nil }

// Routes implements ipsec.Network.
func (n *Network) Routes(rtnl.RouteFilter) ([]rtnl.Route, error) { return slices.Clone(n.routes), nil }

// Close implements ipsec.Network.
func (n *Network) Close() error { return nil }

func (n *Network) find(name string) int {
	return slices.IndexFunc(n.links, func(l rtnl.Link) bool { return l.Name == name })
}

// Do implements ipsec.Network. Requests of one call are one write.
func (n *Network) Do(requests ...rtnl.Request) error {
	if len(requests) > 0 && n.Fault != nil {
		if err := n.Fault(requests[0].String()); err != nil {
			return err
		}
	}
	for _, r := range requests {
		if err := n.do(r); err != nil {
			return fmt.Errorf("%s: %w", r, err)
		}
	}
	return nil
}

func (n *Network) do(r rtnl.Request) error {
	switch r := r.(type) {
	case rtnl.AddLink:
		if n.find(r.Name) >= 0 {
			return fs.ErrExist
		}
		n.AddLink(rtnl.Link{Name: r.Name, Kind: r.Kind, IfID: r.IfID})
		n.links[len(n.links)-1].Up = false
	case rtnl.SetLink:
		at := n.find(r.Name)
		if at < 0 {
			return fs.ErrNotExist
		}
		n.links[at].Alias, n.links[at].Up = *r.Alias, *r.Up
	case rtnl.DelLink:
		at := n.find(r.Name)
		if at < 0 {
			return fs.ErrNotExist
		}
		index := n.links[at].Index
		n.links = slices.Delete(n.links, at, at+1)
		n.routes = slices.DeleteFunc(n.routes, func(r rtnl.Route) bool { return r.Index == index })
	case rtnl.AddRoute:
		if slices.Contains(n.routes, r.Route) {
			return fs.ErrExist
		}
		n.routes = append(n.routes, r.Route)
	case rtnl.DelRoute:
		before := len(n.routes)
		n.routes = slices.DeleteFunc(n.routes, func(have rtnl.Route) bool { return have == r.Route })
		if len(n.routes) == before {
			return fs.ErrNotExist
		}
	default:
		return fmt.Errorf("nobody does %T", r)
	}
	return nil
}

// String is all of it, as ip(8) tells it.
func (n *Network) String() string {
	var lines []string
	names := map[int]string{}
	for _, l := range n.links {
		names[l.Index] = l.Name
		lines = append(lines, fmt.Sprintf("link %s kind %q if_id %d alias %q up %t\n", l.Name, l.Kind, l.IfID, l.Alias, l.Up))
	}
	for _, r := range n.routes {
		lines = append(lines, fmt.Sprintf("route %s dev %s proto %d\n", r, names[r.Index], r.Protocol))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}
