package nattest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/nat"
)

// Flow is one running connection.
type Flow struct {
	Source, Dest netip.Addr
	Translated   bool
}

var (
	_ nat.Programs  = (*Host)(nil)
	_ nat.Kernel    = (*Host)(nil)
	_ nat.Conntrack = (*Host)(nil)
)

// LookPath implements nat.Programs, with the links of Debian.
func (h *Host) LookPath(name string) (string, error) {
	c, err := h.parse(name)
	if err != nil {
		return "", err
	}
	if h.Unnamed {
		return "/sbin/" + name, nil
	}
	return "/usr/sbin/xtables-" + string(c.kind) + "-multi", nil
}

// Open implements nat.Programs.
func (h *Host) Open(name string, _ nat.Family) (nat.Reader, error) {
	c, err := h.parse(name)
	if err != nil {
		return nil, err
	}
	h.Runs = append(h.Runs, name+" --version")
	return reader{h, c.where}, nil
}

// Capable implements nat.Kernel.
func (h *Host) Capable() bool { return !h.Unprivileged }

// HasIPv6 implements nat.Kernel.
func (h *Host) HasIPv6() bool { return !h.NoIPv6 }

// Tables implements nat.Kernel.
func (h *Host) Tables(f nat.Family) []string {
	return slices.Sorted(maps.Keys(h.tables[where{f, nat.Legacy}]))
}

// DefaultRoutes implements nat.Kernel.
func (h *Host) DefaultRoutes(ours []string) (map[nat.Family]string, error) {
	out := maps.Clone(h.Routes)
	maps.DeleteFunc(out, func(_ nat.Family, name string) bool { return slices.Contains(ours, name) })
	return out, nil
}

// Count implements nat.Conntrack.
func (h *Host) Count(_ context.Context, flows []nat.Flow) ([]int, error) {
	counts := make([]int, len(flows))
	for _, running := range h.Flows {
		for i, f := range flows {
			if running.Translated && f.Contains(running.Source, running.Dest) {
				counts[i]++
			}
		}
	}
	return counts, nil
}

// End implements nat.Conntrack.
func (h *Host) End(_ context.Context, flows []nat.Flow) error {
	if h.Fault != nil {
		if err := h.Fault(fmt.Sprintf("conntrack -D -s %v", flows)); err != nil {
			return err
		}
	}
	h.Flows = slices.DeleteFunc(slices.Clone(h.Flows), func(running Flow) bool {
		return running.Translated && slices.ContainsFunc(flows, func(f nat.Flow) bool { return f.Contains(running.Source, running.Dest) })
	})
	return nil
}

// reader is the nat.Reader of one kind and family.
type reader struct {
	host *Host
	where
}

// missing is the error of go-iptables about a chain that is not there.
type missing struct{ error }

func (missing) IsNotExist() bool { return true }

func (r reader) GetIptablesVersion() (major, minor, patch int) {
	return r.host.Version[0], r.host.Version[1], r.host.Version[2]
}

// List prints one chain as `iptables -S CHAIN` does. Of a missing chain iptables-nft
// 1.8.9 says that it was incompatible, and so this does.
func (r reader) List(tableName, chain string) ([]string, error) {
	r.host.Runs = append(r.host.Runs, "-S "+chain)
	rules, ok := r.chain(tableName, chain)
	if !ok {
		return nil, errors.New("chain `" + chain + "' in table `" + tableName + "' is incompatible, use 'nft' tool")
	}
	lines := []string{"-N " + chain}
	for _, spec := range rules {
		lines = append(lines, "-A "+chain+" "+spec)
	}
	return lines, nil
}

func (r reader) chain(tableName, chain string) ([]string, bool) {
	t := r.host.tables[r.where][tableName]
	if t == nil {
		return nil, false
	}
	rules, ok := t.rules[chain]
	return rules, ok
}

// Exists asks for a rule as `iptables -C` does.
func (r reader) Exists(tableName, chain string, spec ...string) (bool, error) {
	r.host.Runs = append(r.host.Runs, "-C "+chain)
	target := spec[len(spec)-1]
	if _, ok := r.chain(tableName, target); !ok {
		return false, missing{errors.New("Chain '" + target + "' does not exist")}
	}
	rules, _ := r.chain(tableName, chain)
	return slices.Contains(rules, spell(strings.Join(spec, " "))), nil
}
