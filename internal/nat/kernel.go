package nat

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"

	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// Kernel is what is asked of the kernel directly, without a program.
type Kernel interface {
	// Capable reports whether this process may change the packet filter.
	Capable() bool
	// Tables are the tables that iptables-legacy has here. While there is none, it has
	// no rules either, and listing them would only create the tables.
	Tables(f Family) []string
	// HasIPv6 reports whether the kernel speaks IPv6 at all.
	HasIPv6() bool
	// DefaultRoutes are the interfaces of the main table's default routes of the lowest
	// metric, by family, interfaces of ours left out.
	DefaultRoutes(ours []string) (map[Family]string, error)
}

// live is the Kernel of the real host.
type live struct{}

func (live) Capable() bool {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&head, &data[0]); err != nil {
		return true // a kernel that cannot say will refuse by itself
	}
	return data[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0
}

func (live) Tables(f Family) []string {
	b, err := os.ReadFile("/proc/net/" + string(f) + "_tables_names")
	if err != nil {
		return nil // the module is not loaded, so it holds nothing
	}
	return strings.Fields(string(b))
}

func (live) HasIPv6() bool {
	_, err := os.Stat("/proc/net/if_inet6")
	return err == nil
}

func (live) DefaultRoutes(ours []string) (map[Family]string, error) {
	c, err := rtnl.Open("")
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	routes, err := c.Routes(rtnl.RouteFilter{Table: rtnl.MainTable})
	if err != nil {
		return nil, err
	}
	links, err := c.Links()
	if err != nil {
		return nil, err
	}
	names := make(map[int]string)
	for _, l := range links {
		names[l.Index] = l.Name
	}
	slices.SortStableFunc(routes, func(a, b rtnl.Route) int { return a.Metric - b.Metric })
	out := make(map[Family]string)
	for _, r := range routes {
		name, f := names[r.Index], familyOf(r.Dst)
		if r.Dst.Bits() == 0 && name != "" && out[f] == "" && !slices.Contains(ours, name) {
			out[f] = name
		}
	}
	return out, nil
}

// tracked is the Conntrack of the real host.
type tracked struct{}

func (tracked) Count(_ context.Context, sources []netip.Prefix) ([]int, error) {
	counts := make([]int, len(sources))
	err := translated(sources, func(_ *conntrack.Conn, flow conntrack.Flow) error {
		for i, p := range sources {
			if p.Contains(flow.TupleOrig.IP.SourceAddress) {
				counts[i]++
			}
		}
		return nil
	})
	return counts, err
}

func (tracked) End(_ context.Context, sources []netip.Prefix) error {
	return translated(sources, func(c *conntrack.Conn, flow conntrack.Flow) error {
		if err := c.Delete(flow); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("ending translation from %s: %w", flow.TupleOrig.IP.SourceAddress, err)
		}
		return nil
	})
}

// translated calls fn for the running connections from the given sources whose source
// is rewritten.
func translated(sources []netip.Prefix, fn func(*conntrack.Conn, conntrack.Flow) error) error {
	c, err := conntrack.Dial(nil)
	if err != nil {
		return fmt.Errorf("opening conntrack: %w", err)
	}
	defer func() { _ = c.Close() }()
	flows, err := c.Dump(nil)
	if err != nil {
		return fmt.Errorf("reading conntrack: %w", err)
	}
	for _, flow := range flows {
		from := flow.TupleOrig.IP.SourceAddress
		if !flow.Status.SrcNAT() || !slices.ContainsFunc(sources, func(p netip.Prefix) bool { return p.Contains(from) }) {
			continue
		}
		if err := fn(c, flow); err != nil {
			return err
		}
	}
	return nil
}
