// Package nattest is a host without a kernel: it holds the rules of both kinds of
// iptables in memory, takes the programs' arguments and input, and prints what they
// print.
package nattest

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/nat"
)

// Host is one fake host. It is the host.Runner, nat.Programs, nat.Kernel and
// nat.Conntrack of a nat.Backend, and in the hands of a test the operator who writes
// rules of his own.
type Host struct {
	// Fault is asked before every write, with the program and its input; an error
	// is the write's, and nothing is written.
	Fault func(write string) error
	// Runs are the programs that were run, oldest first, with their arguments.
	Runs []string

	Unprivileged bool                  // without CAP_NET_ADMIN
	NoIPv6       bool                  // the kernel has no IPv6
	Broken       string                // what programs say instead of working
	Unnamed      bool                  // programs do not have their kind in their names
	Version      [3]int                // of iptables
	Routes       map[nat.Family]string // interfaces of the default routes
	Flows        []Flow

	kinds  []nat.Kind // the installed ones, the default first
	tables map[where]map[string]*table
	opaque map[where]map[string]bool
}

// where is a rule set of its own.
type where struct {
	family nat.Family
	kind   nat.Kind
}

// New is a host with the given kinds of iptables, of which the first is the default, and
// IPv4 and IPv6 default routes through eth0.
func New(kinds ...nat.Kind) *Host {
	return &Host{
		Version: [3]int{1, 8, 9},
		Routes:  map[nat.Family]string{nat.IPv4: "eth0", nat.IPv6: "eth0"},
		kinds:   kinds,
		tables:  make(map[where]map[string]*table),
		opaque:  make(map[where]map[string]bool),
	}
}

// Config is a Backend's view of the host.
func (h *Host) Config() nat.Config {
	return nat.Config{Runner: h, Programs: h, Kernel: h, Conntrack: h}
}

// Uninstall removes a kind of iptables. Its rules stay in the kernel.
func (h *Host) Uninstall(k nat.Kind) {
	h.kinds = slices.DeleteFunc(slices.Clone(h.kinds), func(o nat.Kind) bool { return o == k })
}

// Install adds a kind of iptables, as the default.
func (h *Host) Install(k nat.Kind) {
	h.Uninstall(k)
	h.kinds = append([]nat.Kind{k}, h.kinds...)
}

// command is a program's name taken apart.
type command struct {
	where
	does string // "", "save" or "restore"
}

// parse finds the program of a name. One that is not installed is fs.ErrNotExist.
func (h *Host) parse(name string) (command, error) {
	rest, ok := strings.CutPrefix(name, "iptables")
	c := command{where: where{family: nat.IPv4}}
	if !ok {
		rest, ok = strings.CutPrefix(name, "ip6tables")
		c.family = nat.IPv6
	}
	for _, does := range []string{"save", "restore"} {
		if r, found := strings.CutSuffix(rest, "-"+does); found {
			rest, c.does = r, does
		}
	}
	if rest == "" && len(h.kinds) > 0 {
		c.kind = h.kinds[0]
	} else {
		c.kind = nat.Kind(strings.TrimPrefix(rest, "-"))
	}
	if !ok || !slices.Contains(h.kinds, c.kind) || h.Unnamed && rest != "" {
		return command{}, fmt.Errorf("program %s: %w", name, fs.ErrNotExist)
	}
	return c, nil
}

// Run implements host.Runner.
func (h *Host) Run(_ context.Context, cmd host.Cmd) ([]byte, error) {
	name, args := cmd.Args[0], cmd.Args[1:]
	c, err := h.parse(name)
	if err != nil {
		return nil, err
	}
	h.Runs = append(h.Runs, strings.Join(cmd.Args, " "))
	switch {
	case h.Unprivileged:
		return nil, exit(name, 4, "Could not fetch rule set generation id: Permission denied (you must be root)")
	case h.Broken != "":
		return nil, exit(name, 1, h.Broken)
	case c.does == "" && slices.Equal(args, []string{"--version"}):
		return []byte(name + " " + h.version(c.kind) + "\n"), nil
	case c.does == "save" && len(args) == 0:
		return []byte(h.save(c.where, tableNames...)), nil
	case c.does == "save" && len(args) == 2 && args[0] == "-t":
		return []byte(h.save(c.where, args[1])), nil
	case c.does == "restore":
		return nil, h.restore(name, c.where, args, string(cmd.Stdin))
	}
	return nil, exit(name, 2, "unknown arguments: "+strings.Join(args, " "))
}

func exit(program string, code int, stderr string) error {
	return &host.ExitError{Program: program, Code: code, Stderr: stderr}
}

// restore does what iptables-restore does, all or nothing.
func (h *Host) restore(name string, w where, args []string, script string) error {
	switch {
	case !slices.Contains(args, "-n"):
		return exit(name, 1, "without -n it would flush everybody's rules")
	case !slices.Contains(args, "-w"):
		return exit(name, 4, "Another app is currently holding the xtables lock.")
	}
	if h.Fault != nil {
		if err := h.Fault(name + "\n" + script); err != nil {
			return err
		}
	}
	next := make(map[string]*table)
	for name, t := range h.tables[w] {
		next[name] = t.clone()
	}
	if line, err := restoreAll(next, script); err != nil {
		return exit(name, 1, fmt.Sprintf("iptables-restore: line %d failed: %v", line, err))
	}
	h.tables[w] = next
	return nil
}

// Do is the operator at work: lines of iptables-restore in one table, of either kind.
// It panics where they are wrong.
func (h *Host) Do(f nat.Family, k nat.Kind, tableName string, lines ...string) {
	w := where{f, k}
	if h.tables[w] == nil {
		h.tables[w] = make(map[string]*table)
	}
	script := "*" + tableName + "\n" + strings.Join(lines, "\n") + "\nCOMMIT\n"
	if line, err := restoreAll(h.tables[w], script); err != nil {
		panic(fmt.Sprintf("nattest: line %d of %q: %v", line, script, err))
	}
}

// Spoil is nft(8) writing a rule to a table that iptables-nft cannot express, so that
// iptables-save leaves the table out from now on.
func (h *Host) Spoil(f nat.Family, tableName string) {
	w := where{f, nat.NFT}
	if h.opaque[w] == nil {
		h.opaque[w] = make(map[string]bool)
	}
	h.opaque[w][tableName] = true
}

// Saved is what iptables-save of one kind prints, without its comments.
func (h *Host) Saved(f nat.Family, k nat.Kind) string {
	var b strings.Builder
	for _, name := range tableNames {
		if t := h.tables[where{f, k}][name]; t != nil {
			b.WriteString(t.String())
		}
	}
	return b.String()
}

// version is how a program calls itself.
func (h *Host) version(k nat.Kind) string {
	s := fmt.Sprintf("v%d.%d.%d", h.Version[0], h.Version[1], h.Version[2])
	if k == nat.NFT {
		s += " (nf_tables)"
	}
	return s
}

// save prints tables as iptables-save does.
func (h *Host) save(w where, names ...string) string {
	var b strings.Builder
	for _, name := range names {
		t := h.tables[w][name]
		switch {
		case h.opaque[w][name]:
			fmt.Fprintf(&b, "# Table `%s' is incompatible, use 'nft' tool.\n", name)
		case t != nil:
			fmt.Fprintf(&b, "# Generated by iptables-save %s on Sat Jan  3 12:00:00 2026\n", h.version(w.kind))
			b.WriteString(t.String())
			b.WriteString("# Completed on Sat Jan  3 12:00:00 2026\n")
		}
	}
	return b.String()
}

// String is all that the host holds, by program. Tables that hold nothing are left out,
// for iptables keeps a table once it was touched.
func (h *Host) String() string {
	var b strings.Builder
	for _, f := range []nat.Family{nat.IPv4, nat.IPv6} {
		for _, k := range []nat.Kind{nat.NFT, nat.Legacy} {
			for _, name := range tableNames {
				if t := h.tables[where{f, k}][name]; t != nil && !t.pristine() {
					fmt.Fprintf(&b, "# %s %s\n%s", f, k, t)
				}
			}
		}
	}
	return b.String()
}
