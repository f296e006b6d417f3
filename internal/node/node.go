// Package node finds out which node of a topology this host is.
package node

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/topology"
	"github.com/vpnctl/vpnctl/internal/topology/spelling"
)

// Env is the variable that names the node where no flag does.
const Env = "VPNCTL_NODE"

// Hints are what may tell the node, the strongest first.
type Hints struct {
	Flag     string       // --node
	Env      string       // VPNCTL_NODE
	Hostname string       // short or full
	Addrs    []netip.Addr // of all local interfaces
}

// LocalHints returns the hints of this host beside a flag. What the host does not tell
// stays empty: another hint may do.
func LocalHints(flag string) Hints {
	h := Hints{Flag: flag, Env: os.Getenv(Env)}
	h.Hostname, _ = os.Hostname()
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			h.Addrs = append(h.Addrs, p.Addr())
		}
	}
	return h
}

// Identify returns the name of the node that this host is. An error lists the nodes; the
// command line or the topology is wrong then, not the host.
func Identify(t *topology.Topology, h Hints) (string, error) {
	switch {
	case h.Flag != "":
		return named(t, "--node", h.Flag)
	case h.Env != "":
		return named(t, Env, h.Env)
	}
	if name := byHostname(t, h.Hostname); name != "" {
		return name, nil
	}
	found := byAddress(t, h.Addrs)
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", fmt.Errorf("this host (%s) is no node of %s by host name or address; name it with --node: %s",
			hostname(h), t.File, list(names(t)))
	}
	return "", fmt.Errorf("this host (%s) has addresses of several nodes of %s; name it with --node: %s",
		hostname(h), t.File, list(found))
}

func hostname(h Hints) string {
	if h.Hostname == "" {
		return "without a name"
	}
	return h.Hostname
}

// named checks what somebody has said.
func named(t *topology.Topology, where, name string) (string, error) {
	if t.Node(name) != nil {
		return name, nil
	}
	known := names(t)
	if len(known) == 0 {
		return "", errors.New("the topology has no nodes")
	}
	meant := ""
	if near := spelling.Nearest(name, known); near != "" {
		meant = fmt.Sprintf(" (did you mean %q?)", near)
	}
	return "", fmt.Errorf("%s: %q is no node of %s%s; nodes: %s", where, name, t.File, meant, list(known))
}

// byHostname finds the one node that a host name means, "" where there is none, or
// several: the full name before the short one, and a node's own short name last, for
// two sites may each have a gw1.
func byHostname(t *topology.Topology, full string) string {
	if full == "" {
		return ""
	}
	full = strings.ToLower(strings.TrimSuffix(full, "."))
	for _, is := range []func(name, hostname string) bool{
		func(name, hostname string) bool { return name == full || hostname == full },
		func(name, hostname string) bool { return name == short(full) || hostname == short(full) },
		func(_, hostname string) bool { return short(hostname) == short(full) },
	} {
		var found []string
		for i := range t.Nodes {
			n := &t.Nodes[i]
			if is(strings.ToLower(n.Name), strings.ToLower(n.Hostname)) {
				found = append(found, n.Name)
			}
		}
		if len(found) > 0 {
			return only(found)
		}
	}
	return ""
}

func short(name string) string {
	s, _, _ := strings.Cut(name, ".")
	return s
}

func only(found []string) string {
	if len(found) == 1 {
		return found[0]
	}
	return ""
}

// byAddress finds the nodes that have an address of this host.
func byAddress(t *topology.Topology, local []netip.Addr) []string {
	own := map[netip.Addr]bool{}
	for _, a := range local {
		// Every host has these, or may have them.
		if a = a.Unmap().WithZone(""); !a.IsLoopback() && !a.IsLinkLocalUnicast() {
			own[a] = true
		}
	}
	var found []string
	for i := range t.Nodes {
		n := &t.Nodes[i]
		if slices.ContainsFunc(n.Addresses, func(h topology.Host) bool { return own[h.Addr] }) {
			found = append(found, n.Name)
		}
	}
	return found
}

func names(t *topology.Topology) []string {
	all := make([]string, len(t.Nodes))
	for i := range t.Nodes {
		all[i] = t.Nodes[i].Name
	}
	return all
}

// list names nodes for a message, which no site of thousands shall flood.
func list(names []string) string {
	const most = 20
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
