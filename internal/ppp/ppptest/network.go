package ppptest

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/ppp"
	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// Network is a host's links and routes in memory, as far as PPP needs them.
type Network struct {
	// Fault is asked before each call of Do, with its first request.
	Fault func(write string) error

	links  []rtnl.Link
	routes []rtnl.Route
	next   int
}

var _ ppp.Network = (*Network)(nil)

// AddLink makes a link, as pppd would, with the routes of its hook.
func (n *Network) AddLink(name string, routes ...rtnl.Route) {
	n.next++
	n.links = append(n.links, rtnl.Link{Index: n.next, Name: name, Up: true})
	for _, r := range routes {
		r.Index, r.Table = n.next, rtnl.MainTable
		n.routes = append(n.routes, r)
	}
}

// DelLink ends a link with its routes, as the kernel does.
func (n *Network) DelLink(name string) {
	for _, l := range n.links {
		if l.Name == name {
			n.routes = slices.DeleteFunc(n.routes, func(r rtnl.Route) bool { return r.Index == l.Index })
		}
	}
	n.links = slices.DeleteFunc(n.links, func(l rtnl.Link) bool { return l.Name == name })
}

// Links implements ppp.Network.
func (n *Network) Links() ([]rtnl.Link, error) { return slices.Clone(n.links), nil }

// Routes implements ppp.Network.
func (n *Network) Routes(f rtnl.RouteFilter) ([]rtnl.Route, error) {
	var out []rtnl.Route
	for _, r := range n.routes {
		if r.Unreachable == f.Unreachable && (f.Index == 0 || f.Index == r.Index) && (f.Protocol == 0 || f.Protocol == r.Protocol) {
			out = append(out, r)
		}
	}
	return out, nil
}

// Close implements ppp.Network.
func (n *Network) Close() error { return nil }

// Do implements ppp.Network.
func (n *Network) Do(requests ...rtnl.Request) error {
	for _, r := range requests {
		if n.Fault != nil {
			if err := n.Fault(r.String()); err != nil {
				return err
			}
		}
		if err := n.do(r); err != nil {
			return fmt.Errorf("%s: %w", r, err)
		}
	}
	return nil
}

func (n *Network) do(r rtnl.Request) error {
	switch r := r.(type) {
	case rtnl.AddRoute:
		if slices.ContainsFunc(n.routes, func(o rtnl.Route) bool { return o.Dst == r.Dst && o.Table == r.Table && o.Metric == r.Metric }) {
			return fs.ErrExist
		}
		n.routes = append(n.routes, r.Route)
		return nil
	case rtnl.DelRoute:
		before := len(n.routes)
		n.routes = slices.DeleteFunc(n.routes, func(o rtnl.Route) bool { return o == r.Route })
		if len(n.routes) == before {
			return fs.ErrNotExist
		}
		return nil
	}
	return fmt.Errorf("nobody does %T", r)
}

// String is all of it, as ip(8) tells it.
func (n *Network) String() string {
	var lines []string
	names := map[int]string{}
	for _, l := range n.links {
		names[l.Index] = l.Name
		lines = append(lines, "link "+l.Name+"\n")
	}
	for _, r := range n.routes {
		lines = append(lines, fmt.Sprintf("route %s dev %s proto %d\n", r, names[r.Index], r.Protocol))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// Modules is a kernel with modules that can be loaded.
type Modules struct {
	// Fault is asked before one is loaded.
	Fault func(write string) error
	// Absent are those that this kernel does not have.
	Absent []string

	loaded map[string]bool
}

var _ ppp.Modules = (*Modules)(nil)

// NewModules is a kernel that has loaded none.
func NewModules() *Modules { return &Modules{loaded: map[string]bool{}} }

// Loaded implements ppp.Modules.
func (m *Modules) Loaded(_ context.Context, name string) (bool, error) { return m.loaded[name], nil }

// Available implements ppp.Modules.
func (m *Modules) Available(_ context.Context, name string) (bool, error) {
	return !slices.Contains(m.Absent, name), nil
}

// Load implements ppp.Modules.
func (m *Modules) Load(_ context.Context, name string) error {
	if m.Fault != nil {
		if err := m.Fault("modprobe " + name); err != nil {
			return err
		}
	}
	if slices.Contains(m.Absent, name) {
		return fmt.Errorf("module %s: %w", name, fs.ErrNotExist)
	}
	m.loaded[name] = true
	return nil
}

// String lists the loaded ones, as lsmod does.
func (m *Modules) String() string {
	return strings.Join(slices.Sorted(maps.Keys(m.loaded)), "\n") + "\n"
}
