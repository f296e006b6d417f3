package nat

import (
	"fmt"
	"strings"
)

// saved is what iptables-save printed of one family, by table.
type saved map[string]*savedTable

// savedTable is one table: its chains with their rules as printed, foreign ones and ours.
type savedTable struct {
	policies map[string]string   // of builtin chains
	rules    map[string][]string // by chain, each as printed behind "-A CHAIN"
	// opaque is a table that nft(8) wrote to and iptables-nft therefore does not
	// print. It is not empty: it is unknown.
	opaque bool
}

func newSavedTable() *savedTable {
	return &savedTable{policies: make(map[string]string), rules: make(map[string][]string)}
}

// table is the named table, an empty one where nothing was printed of it.
func (s saved) table(name string) *savedTable {
	if t, ok := s[name]; ok {
		return t
	}
	return newSavedTable()
}

// parseSave reads the output of iptables-save.
func parseSave(out string) (saved, error) {
	s := make(saved)
	var t *savedTable
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "#"):
			s.comment(line)
		case line == "", line == "COMMIT":
		case strings.HasPrefix(line, "*"):
			t = newSavedTable()
			s[line[1:]] = t
		case t == nil:
			return nil, fmt.Errorf("parsing saved rules: %q outside of a table", line)
		default:
			if err := t.line(line); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// comment notes the tables that are left out: "# Table `filter' is incompatible, use
// 'nft' tool."
func (s saved) comment(line string) {
	rest, ok := strings.CutPrefix(line, "# Table `")
	name, rest, found := strings.Cut(rest, "'")
	if ok && found && strings.HasPrefix(rest, " is incompatible") {
		t := newSavedTable()
		t.opaque = true
		s[name] = t
	}
}

// line reads one line of a table: a chain (":NAME POLICY [0:0]") or a rule ("-A NAME …",
// with counters ahead if asked for).
func (t *savedTable) line(line string) error {
	if rest, ok := strings.CutPrefix(line, ":"); ok {
		f := strings.Fields(rest)
		if len(f) < 2 {
			return fmt.Errorf("parsing saved rules: chain %q without policy", line)
		}
		if f[1] != "-" {
			t.policies[f[0]] = f[1]
		}
		t.rules[f[0]] = nil
		return nil
	}
	if strings.HasPrefix(line, "[") {
		_, line, _ = strings.Cut(line, " ")
	}
	rest, ok := strings.CutPrefix(line, "-A ")
	chain, spec, _ := strings.Cut(rest, " ")
	if !ok || chain == "" {
		return fmt.Errorf("parsing saved rules: unknown line %q", line)
	}
	t.rules[chain] = append(t.rules[chain], spec)
	return nil
}

// ours are the chains with our prefix and our jumps into them.
func (t *savedTable) ours() ([]Chain, []Jump) {
	var chains []Chain
	var jumps []Jump
	for name, rules := range t.rules {
		if strings.HasPrefix(name, Prefix) {
			chains = append(chains, Chain{Name: name, Rules: normalRules(rules)})
			continue
		}
		for i, spec := range rules {
			if to, ok := jumpTo(spec); ok {
				jumps = append(jumps, Jump{Hook: name, Chain: to, At: i + 1})
			}
		}
	}
	return sortChains(chains), sortJumps(jumps)
}

// normalRules brings the rules of a chain into normal form, those that we wrote. Others,
// which undo puts back, stay as they are: nobody knows what their order of words means.
func normalRules(rules []string) []string {
	var out []string
	for _, spec := range rules {
		if r, err := parseRule(spec); err == nil && strings.HasPrefix(r.comment(), objectPrefix) {
			spec = r.String()
		}
		out = append(out, spec)
	}
	return out
}

// jumpTo is the chain of ours to which a rule leads, if the rule is our jump: a user's own
// jump into our chains lacks the comment, or has a condition, and is none of ours.
func jumpTo(spec string) (string, bool) {
	if !strings.Contains(spec, Prefix) {
		return "", false
	}
	r, err := parseRule(spec)
	if err != nil || len(r) != 2 || r.comment() != jumpComment || !strings.HasPrefix(r[optJump], Prefix) {
		return "", false
	}
	return r[optJump], true
}

// foreign reports whether somebody else keeps rules here, or a policy.
func (s saved) foreign() bool {
	for _, t := range s {
		if t.foreign() {
			return true
		}
	}
	return false
}

func (t *savedTable) foreign() bool {
	if t.opaque {
		return true
	}
	for _, policy := range t.policies {
		if policy != "ACCEPT" {
			return true
		}
	}
	for name, rules := range t.rules {
		if strings.HasPrefix(name, Prefix) {
			continue
		}
		for _, spec := range rules {
			if _, jump := jumpTo(spec); !jump {
				return true
			}
		}
	}
	return false
}

// owns reports whether any chain or jump here is ours.
func (s saved) owns() bool {
	for _, t := range s {
		if chains, jumps := t.ours(); len(chains)+len(jumps) > 0 {
			return true
		}
	}
	return false
}

// translatesBefore reports whether a foreign rule ahead of place at in a chain rewrites
// sources, itself or in a chain to which it leads.
func (t *savedTable) translatesBefore(chain string, at int) bool {
	rules := t.rules[chain]
	return t.translates(rules[:min(at-1, len(rules))], map[string]bool{chain: true})
}

func (t *savedTable) translates(rules []string, seen map[string]bool) bool {
	for _, spec := range rules {
		r, err := parseRule(spec)
		if err != nil {
			continue
		}
		target := r[optJump] + r["-g"]
		if target == "MASQUERADE" || target == "SNAT" || target == "NETMAP" {
			return true
		}
		if next, ok := t.rules[target]; ok && !seen[target] && !strings.HasPrefix(target, Prefix) {
			seen[target] = true
			if t.translates(next, seen) {
				return true
			}
		}
	}
	return false
}
