package nattest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// tableNames are the tables in the order in which iptables-save prints them.
var tableNames = []string{"mangle", "raw", "nat", "filter"}

// builtin are the chains that every table has.
var builtin = map[string][]string{
	"raw":    {"PREROUTING", "OUTPUT"},
	"mangle": {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"},
	"nat":    {"PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"},
	"filter": {"INPUT", "FORWARD", "OUTPUT"},
}

// targets are the targets that are no chains.
var targets = []string{"ACCEPT", "DROP", "RETURN", "REJECT", "LOG", "MASQUERADE", "SNAT", "DNAT", "NETMAP", "TCPMSS", "CONNMARK", "MARK", "CT"}

// table is one table: its chains with their rules as they are printed.
type table struct {
	name     string
	policies map[string]string
	rules    map[string][]string
}

func newTable(name string) *table {
	t := &table{name: name, policies: make(map[string]string), rules: make(map[string][]string)}
	for _, chain := range builtin[name] {
		t.policies[chain], t.rules[chain] = "ACCEPT", nil
	}
	return t
}

func (t *table) clone() *table {
	c := &table{name: t.name, policies: maps.Clone(t.policies), rules: make(map[string][]string)}
	for chain, rules := range t.rules {
		c.rules[chain] = slices.Clone(rules)
	}
	return c
}

// pristine reports whether a table is as if it had never been touched.
func (t *table) pristine() bool { return t.String() == newTable(t.name).String() }

// String prints the table as iptables-save does, with counters that never count.
func (t *table) String() string {
	var user []string
	for chain := range t.rules {
		if t.policies[chain] == "" {
			user = append(user, chain)
		}
	}
	slices.Sort(user)
	chains := slices.Concat(builtin[t.name], user)
	var b strings.Builder
	fmt.Fprintf(&b, "*%s\n", t.name)
	for _, chain := range chains {
		policy := t.policies[chain]
		if policy == "" {
			policy = "-"
		}
		fmt.Fprintf(&b, ":%s %s [0:0]\n", chain, policy)
	}
	for _, chain := range chains {
		for _, spec := range t.rules[chain] {
			fmt.Fprintf(&b, "-A %s %s\n", chain, spec)
		}
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

// restoreAll does the lines of an iptables-restore -n; the number of the first bad line
// comes back with its error.
func restoreAll(tables map[string]*table, script string) (int, error) {
	var t *table
	n := 0
	for line := range strings.Lines(script) {
		n++
		line = strings.TrimSuffix(line, "\n")
		var err error
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '*':
			t, err = open(tables, line[1:])
		case t == nil:
			err = errors.New("outside of a table")
		case line == "COMMIT":
			err = t.valid()
			t = nil
		default:
			err = t.do(line)
		}
		if err != nil {
			return n, err
		}
	}
	if t != nil {
		return n, errors.New("COMMIT expected")
	}
	return 0, nil
}

func open(tables map[string]*table, name string) (*table, error) {
	if builtin[name] == nil {
		return nil, fmt.Errorf("no table %q", name)
	}
	if tables[name] == nil {
		tables[name] = newTable(name)
	}
	return tables[name], nil
}

// do does one line.
func (t *table) do(line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	chain, spec, _ := strings.Cut(rest, " ")
	if name, ok := strings.CutPrefix(verb, ":"); ok {
		return t.declare(name, chain)
	}
	if _, ok := t.rules[chain]; !ok && verb != "-N" {
		return fmt.Errorf("no chain %q", chain)
	}
	switch verb {
	case "-N":
		t.rules[chain] = nil
	case "-P":
		t.policies[chain] = spec
	case "-F":
		t.rules[chain] = nil
	case "-A":
		t.rules[chain] = append(t.rules[chain], spell(spec))
	case "-I":
		return t.insert(chain, spec)
	case "-D":
		at := slices.Index(t.rules[chain], spell(spec))
		if at < 0 {
			return errors.New("no such rule")
		}
		t.rules[chain] = slices.Delete(t.rules[chain], at, at+1)
	case "-X":
		return t.remove(chain)
	default:
		return fmt.Errorf("unknown command %q", verb)
	}
	return nil
}

// declare makes a chain, or empties the one that is there: a builtin one keeps its rules
// with -n and gets the policy.
func (t *table) declare(chain, policy string) error {
	if t.policies[chain] != "" {
		if policy != "-" {
			t.policies[chain] = policy
		}
		return nil
	}
	if len(chain) > 28 {
		return fmt.Errorf("chain name %q too long", chain)
	}
	t.rules[chain] = nil
	return nil
}

// insert puts a rule at the place that precedes it, else first.
func (t *table) insert(chain, spec string) error {
	at := 1
	if word, rest, _ := strings.Cut(spec, " "); !strings.HasPrefix(word, "-") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 || n > len(t.rules[chain])+1 {
			return fmt.Errorf("bad place %q", word)
		}
		at, spec = n, rest
	}
	t.rules[chain] = slices.Insert(t.rules[chain], at-1, spell(spec))
	return nil
}

func (t *table) remove(chain string) error {
	switch {
	case t.policies[chain] != "":
		return fmt.Errorf("chain %q is builtin", chain)
	case len(t.rules[chain]) > 0:
		return fmt.Errorf("chain %q not empty", chain)
	}
	delete(t.rules, chain)
	return nil
}

// valid is what the kernel looks at when it takes a table: where rules lead to.
func (t *table) valid() error {
	for chain, rules := range t.rules {
		for _, spec := range rules {
			target := targetOf(spec)
			_, isChain := t.rules[target]
			switch {
			case target != "" && !isChain && !slices.Contains(targets, target):
				return fmt.Errorf("chain %s leads to %q, which is not there", chain, target)
			case (target == "MASQUERADE" || target == "SNAT") && t.name != "nat":
				return fmt.Errorf("%s in table %s", target, t.name)
			}
		}
	}
	return nil
}
