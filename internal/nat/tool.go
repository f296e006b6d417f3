package nat

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/coreos/go-iptables/iptables"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/host"
)

// lockWait is how many seconds a program waits for others that change rules.
const lockWait = 10

// Reader reads single chains; *iptables.IPTables is one.
type Reader interface {
	List(table, chain string) ([]string, error)
	Exists(table, chain string, rulespec ...string) (bool, error)
	GetIptablesVersion() (major, minor, patch int)
}

// Programs finds the host's programs.
type Programs interface {
	// LookPath is where a program is, symbolic links followed; a missing one is
	// fs.ErrNotExist.
	LookPath(name string) (string, error)
	// Open runs the iptables of that name for its version.
	Open(name string, f Family) (Reader, error)
}

// installed are the Programs of the real host.
type installed struct{}

func (installed) LookPath(name string) (string, error) {
	path, err := host.LookPath(name)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

func (installed) Open(name string, f Family) (Reader, error) {
	path, err := host.LookPath(name)
	if err != nil {
		return nil, err
	}
	proto := iptables.ProtocolIPv4
	if f == IPv6 {
		proto = iptables.ProtocolIPv6
	}
	return iptables.New(iptables.IPFamily(proto), iptables.Path(path), iptables.Timeout(lockWait))
}

// tool is one kind of iptables for one family.
type tool struct {
	family Family
	kind   Kind
	name   string // "ip6tables-legacy", or "iptables" where there is only one kind
	run    host.Runner
	progs  Programs
	reader Reader // once it was needed
}

// program is the name of a family's iptables of a kind; the host's default with "".
func program(f Family, k Kind) string {
	name := "iptables"
	if f == IPv6 {
		name = "ip6tables"
	}
	if k == "" {
		return name
	}
	return name + "-" + string(k)
}

// tools are the kinds of iptables that a host has for one family, its default first.
type tools []*tool

// of is the tool of a kind, nil where the host has none.
func (ts tools) of(k Kind) *tool {
	for _, t := range ts {
		if t.kind == k {
			return t
		}
	}
	return nil
}

// tools finds what the host has, without running any of it if possible; none is a Refusal.
func (b *Backend) tools(ctx context.Context, f Family) (tools, error) {
	if found, ok := b.found[f]; ok {
		return found, nil
	}
	var found tools
	add := func(k Kind, name string) {
		if found.of(k) == nil {
			found = append(found, &tool{family: f, kind: k, name: name, run: b.runner, progs: b.programs})
		}
	}
	def, err := b.defaultKind(ctx, f)
	if err != nil {
		return nil, err
	}
	for _, k := range []Kind{def, NFT, Legacy} {
		if k == "" {
			continue
		}
		name := program(f, k)
		if b.complete(name) {
			add(k, name)
		}
	}
	if plain := program(f, ""); def != "" && b.complete(plain) {
		add(def, plain)
	}
	if len(found) == 0 {
		return nil, backend.Refuse("nat/"+program(f, ""), "install it: apt install iptables",
			"the program is missing, and the topology needs rules of it")
	}
	b.found[f] = found
	return found, nil
}

// complete reports whether all programs behind a name are there.
func (b *Backend) complete(name string) bool {
	for _, suffix := range []string{"", "-save", "-restore"} {
		if _, err := b.programs.LookPath(name + suffix); err != nil {
			return false
		}
	}
	return true
}

// defaultKind is which kind the host's plain iptables is, "" where it has none. The name
// behind the symbolic link says it; elsewhere the program is asked.
func (b *Backend) defaultKind(ctx context.Context, f Family) (Kind, error) {
	path, err := b.programs.LookPath(program(f, ""))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("finding %s: %w", program(f, ""), err)
	}
	switch base := filepath.Base(path); {
	case strings.Contains(base, "nft"):
		return NFT, nil
	case strings.Contains(base, "legacy"):
		return Legacy, nil
	}
	out, err := b.runner.Run(ctx, host.Cmd{Args: []string{program(f, ""), "--version"}})
	if err != nil {
		return "", fmt.Errorf("asking %s for its version: %w", program(f, ""), err)
	}
	if strings.Contains(string(out), "nf_tables") {
		return NFT, nil
	}
	return Legacy, nil
}

// save reads all tables, or one, in one go.
func (t *tool) save(ctx context.Context, table string) (saved, error) {
	args := []string{t.name + "-save"}
	if table != "" {
		args = append(args, "-t", table)
	}
	out, err := t.run.Run(ctx, host.Cmd{Args: args})
	if err != nil {
		return nil, fmt.Errorf("reading rules: %w", err)
	}
	s, err := parseSave(string(out))
	if err != nil {
		return nil, err
	}
	for name, st := range s {
		if st.opaque {
			if err := t.fill(name, st); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// fill reads what is ours of a table that iptables-save left out, because of foreign
// rules that nft(8) wrote. Single chains can be listed all the same, and rules be asked
// for; where in its chain a jump stands stays unknown.
func (t *tool) fill(table string, st *savedTable) error {
	r, err := t.open()
	if err != nil {
		return err
	}
	for _, chain := range chainsIn(table) {
		hook := chain[strings.LastIndex(chain, "-")+1:]
		// iptables 1.8.9 says of a missing chain that nft(8) wrote it; only the
		// question for a rule that leads there tells the two apart.
		leads, err := r.Exists(table, hook, "-m", "comment", "--comment", jumpComment, "-j", chain)
		if isNotExist(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("looking for the jump in %s: %w", hook, err)
		}
		lines, err := r.List(table, chain)
		if isNotExist(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("listing %s: %w", chain, err)
		}
		st.addChain(chain, lines)
		if leads {
			st.rules[hook] = append(st.rules[hook], jumpRule(chain))
		}
	}
	return nil
}

// addChain takes in a single chain as `iptables -S` lists it.
func (t *savedTable) addChain(chain string, lines []string) {
	t.rules[chain] = nil
	for _, line := range lines {
		if spec, ok := strings.CutPrefix(line, "-A "+chain+" "); ok {
			t.rules[chain] = append(t.rules[chain], spec)
		}
	}
}

// hooks are the builtin chains by table in which we have jumps.
var hooks = map[string][]string{
	"raw":    {"PREROUTING"},
	"mangle": {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"},
	"nat":    {"POSTROUTING"},
	"filter": {"INPUT", "FORWARD", "OUTPUT"},
}

// chainsIn names all chains that we may have in a table.
func chainsIn(table string) []string {
	var all []string
	for _, hook := range hooks[table] {
		all = append(all, chainsOf(hook)...)
	}
	return all
}

// isNotExist recognises the error of a chain that does not exist.
func isNotExist(err error) bool {
	var missing interface{ IsNotExist() bool }
	return errors.As(err, &missing) && missing.IsNotExist()
}

// open asks the program for its version, once.
func (t *tool) open() (Reader, error) {
	if t.reader == nil {
		r, err := t.progs.Open(t.name, t.family)
		if err != nil {
			return nil, fmt.Errorf("running %s: %w", t.name, err)
		}
		t.reader = r
	}
	return t.reader, nil
}

// capable refuses an iptables that cannot do what is needed: without -w, a restore fails
// whenever somebody else is at it.
func (t *tool) capable() error {
	r, err := t.open()
	if err != nil {
		return err
	}
	major, minor, patch := r.GetIptablesVersion()
	if major*10000+minor*100+patch < 10602 {
		return backend.Refuse("nat/"+t.name, "update iptables",
			"version %d.%d.%d has no %s-restore -w; 1.6.2 has", major, minor, patch, t.name)
	}
	return nil
}

// restore changes rules of one table, all or none.
func (t *tool) restore(ctx context.Context, script string) error {
	args := []string{t.name + "-restore", "-n", "-w", strconv.Itoa(lockWait)}
	if _, err := t.run.Run(ctx, host.Cmd{Args: args, Stdin: []byte(script)}); err != nil {
		return fmt.Errorf("changing rules: %w", err)
	}
	return nil
}
