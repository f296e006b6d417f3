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

func (tracked) Count(_ context.Context, flows []Flow) ([]int, error) {
	counts := make([]int, len(flows))
	err := translated(flows, func(_ *conntrack.Conn, running conntrack.Flow) error {
		for i, f := range flows {
			if f.Contains(ends(running)) {
				counts[i]++
			}
		}
		return nil
	})
	return counts, err
}

func (tracked) End(_ context.Context, flows []Flow) error {
	return translated(flows, func(c *conntrack.Conn, running conntrack.Flow) error {
		if err := c.Delete(running); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("ending translation from %s: %w", running.TupleOrig.IP.SourceAddress, err)
		}
		return nil
	})
}

// ends are a connection's two ends as whoever began it sees them.
func ends(running conntrack.Flow) (source, dest netip.Addr) {
	return running.TupleOrig.IP.SourceAddress, running.TupleOrig.IP.DestinationAddress
}

// translated calls fn for the running connections of the given flows whose source is
// rewritten.
func translated(flows []Flow, fn func(*conntrack.Conn, conntrack.Flow) error) error {
	c, err := conntrack.Dial(nil)
	if err != nil {
		return fmt.Errorf("opening conntrack: %w", err)
	}
	defer func() { _ = c.Close() }()
	all, err := c.Dump(nil)
	if err != nil {
		return fmt.Errorf("reading conntrack: %w", err)
	}
	for _, running := range all {
		source, dest := ends(running)
		if !running.Status.SrcNAT() || !slices.ContainsFunc(flows, func(f Flow) bool { return f.Contains(source, dest) }) {
			continue
		}
		if err := fn(c, running); err != nil {
			return err
		}
	}
	return nil
}
