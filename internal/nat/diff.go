package nat

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
)

// differ collects the tables of both families, as they are and as they shall be, and
// makes steps of them.
type differ struct {
	node  string
	pairs []pair
}

// pair is one table of one kind.
type pair struct {
	have, want *Table
	label      string // how fields name the table: "nat", "nat6", "legacy nat"
	note       string // where its rules go, if not where one expects them
}

// add takes the tables of one family in.
func (d *differ) add(o *observed, want rendered) error {
	note := ""
	if !o.byDefault && len(want) > 0 {
		note = fmt.Sprintf("in %s, where the host's own rules are", program(o.tool.family, o.tool.kind))
	}
	for _, name := range tableOrder {
		st := o.saved.table(name)
		p := pair{have: o.tool.owned(name, st), note: note}
		p.want = p.have.with(nil, nil)
		p.label = p.have.label()
		if w := want[name]; w != nil {
			p.want = p.want.with(w.Chains, place(w.Jumps, p.have, st))
		}
		if err := d.pair(p, st); err != nil {
			return err
		}
		if o.other == nil {
			continue
		}
		st = o.otherSaved.table(name)
		p = pair{have: o.other.owned(name, st)}
		p.want = p.have.with(nil, nil)
		p.label = string(o.other.kind) + " " + p.have.label()
		if err := d.pair(p, st); err != nil {
			return err
		}
	}
	return nil
}

// pair takes one table in. A chain that has to go while a foreign rule leads into it
// would make the kernel refuse the whole table later, so it is refused now.
func (d *differ) pair(p pair, st *savedTable) error {
	for _, c := range p.have.Chains {
		if p.want.chain(c.Name) != nil {
			continue
		}
		if hook, spec, ok := st.leadsTo(c.Name); ok {
			cure := fmt.Sprintf("%s -t %s -D %s %s", program(p.have.Family, p.have.Kind), p.have.Name, hook, spec)
			return backend.Refuse(d.path("chain", p.label, c.Name), cure, "a foreign rule leads into it")
		}
	}
	if !p.have.empty() || !p.want.empty() {
		d.pairs = append(d.pairs, p)
	}
	return nil
}

// place leaves a jump where it is, foreign rules ahead of it too, unless they translate
// what the exemption behind it is there to keep as it is.
func place(want []Jump, have *Table, st *savedTable) []Jump {
	out := slices.Clone(want)
	for i, j := range out {
		now := have.jumpsTo(j.Chain)
		if len(now) != 1 || now[0].Hook != j.Hook {
			continue
		}
		if have.Name != "nat" || !st.translatesBefore(j.Hook, now[0].At) {
			out[i].At = now[0].At
		}
	}
	return out
}

// path is the path of an object that is no rule.
func (d *differ) path(what, label, chain string) string {
	return fmt.Sprintf("nat/%s/%s/%s/%s", d.node, what, strings.ReplaceAll(label, " ", "/"), strings.TrimPrefix(chain, Prefix))
}

// steps are the steps between what is and what shall be. What is emptied is emptied in
// the inverse order, so that nothing is let through that is no longer translated.
func (d *differ) steps() []backend.Step {
	if !slices.ContainsFunc(d.pairs, func(p pair) bool { return !p.have.same(p.want) }) {
		return nil
	}
	actions := d.actions()
	var adding, removing []backend.Step
	for _, p := range d.pairs {
		for _, s := range stages(p.have, p.want) {
			step := backend.Step{
				Phase: s.phase, Changes: d.changes(p, s, actions),
				Op: backend.Op{Kind: tableOp, From: s.from, To: s.to},
			}
			if s.phase == backend.PhaseRemoveNAT || s.phase == backend.PhaseUnguard {
				removing = append(removing, step)
				continue
			}
			adding = append(adding, step)
		}
	}
	slices.Reverse(removing)
	return append(adding, removing...)
}

// content is what a table holds: by object, then by the name of a field, the rules
// without their comments.
type content map[string]map[string][]string

// contents reads a table as objects: each rule carries in its comment whose it is.
func (d *differ) contents(label string, t *Table) content {
	c := make(content)
	for _, chain := range t.Chains {
		for _, spec := range chain.Rules {
			object, text := d.object(label, chain.Name, spec)
			if c[object] == nil {
				c[object] = make(map[string][]string)
			}
			field := label + "/" + strings.TrimPrefix(chain.Name, Prefix)
			c[object][field] = append(c[object][field], text)
		}
	}
	return c
}

// object is the object that a rule belongs to, and the rule as its field shows it. What
// somebody else put into a chain of ours belongs to none.
func (d *differ) object(label, chain, spec string) (object, text string) {
	r, err := parseRule(spec)
	if err != nil || !strings.HasPrefix(r.comment(), objectPrefix) {
		return d.path("stray", label, chain), spec
	}
	object = r.comment()
	delete(r, optComment)
	return object, r.String()
}

// objectPrefix begins the path of all that has rules.
const objectPrefix = "nat/"

// actions says what becomes of each object on the whole: one that only some of its rules
// are missing of is updated.
func (d *differ) actions() map[string]backend.Action {
	out := make(map[string]backend.Action)
	for _, p := range d.pairs {
		for object := range d.contents(p.label, p.have) {
			out[object] = backend.Delete
		}
	}
	for _, p := range d.pairs {
		for object := range d.contents(p.label, p.want) {
			switch out[object] {
			case backend.Delete:
				out[object] = backend.Update
			case backend.Action(0):
				out[object] = backend.Create
			}
		}
	}
	return out
}

// changes are what one stage shows.
func (d *differ) changes(p pair, s stage, actions map[string]backend.Action) []backend.Change {
	from, to := d.contents(p.label, s.from), d.contents(p.label, s.to)
	var out []backend.Change
	for _, object := range slices.Sorted(maps.Keys(actions)) {
		fields := diffFields(from[object], to[object])
		if len(fields) == 0 {
			continue
		}
		c := backend.Change{Action: actions[object], Object: object, Fields: fields}
		if c.Action == backend.Delete {
			c.Fields = nil
		}
		out = append(out, c)
	}
	out = slices.Concat(out, d.chainChanges(p, s), d.jumpChanges(p, s))
	if len(out) > 0 {
		out[0].Note = p.note
	}
	return out
}

func diffFields(from, to map[string][]string) []backend.Field {
	var out []backend.Field
	names := slices.Concat(slices.Collect(maps.Keys(from)), slices.Collect(maps.Keys(to)))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if !slices.Equal(from[name], to[name]) {
			out = append(out, backend.Field{Name: name, Have: text(from[name]), Want: text(to[name])})
		}
	}
	return out
}

func text(rules []string) backend.Value {
	if len(rules) == 0 {
		return backend.Value{}
	}
	return backend.Text(strings.Join(rules, "; "))
}

// chainChanges tells of chains what no rule tells: that an empty one goes, and that the
// rules are in another order.
func (d *differ) chainChanges(p pair, s stage) []backend.Change {
	var out []backend.Change
	for _, have := range s.from.Chains {
		want := s.to.chain(have.Name)
		object := d.path("chain", p.label, have.Name)
		switch {
		case want == nil && len(have.Rules) == 0:
			out = append(out, backend.Change{Action: backend.Delete, Object: object})
		case want != nil:
			a, b := intersect(have.Rules, want.Rules), intersect(want.Rules, have.Rules)
			if at := firstDifference(a, b); at >= 0 {
				is, _ := d.object(p.label, have.Name, a[at])
				shall, _ := d.object(p.label, have.Name, b[at])
				out = append(out, backend.Change{Action: backend.Update, Object: object, Fields: []backend.Field{
					{Name: "order", Have: backend.Text(is), Want: backend.Text(shall)},
				}})
			}
		}
	}
	return out
}

// firstDifference is the index from which on two lists differ, -1 if one begins the
// other.
func firstDifference(a, b []string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

// jumpChanges tells of jumps into chains that stay. Those of a chain that comes or goes
// come and go with it.
func (d *differ) jumpChanges(p pair, s stage) []backend.Change {
	have, want := jumpPlaces(s.from, s.to), jumpPlaces(s.to, s.from)
	hooks := slices.Concat(slices.Collect(maps.Keys(have)), slices.Collect(maps.Keys(want)))
	slices.Sort(hooks)
	var out []backend.Change
	for _, hook := range slices.Compact(hooks) {
		from, to := have[hook], want[hook]
		if slices.Equal(from, to) {
			continue
		}
		c := backend.Change{Object: d.path("jump", p.label, hook)}
		switch {
		case len(from) == 0:
			c.Action = backend.Create
		case len(to) == 0:
			c.Action = backend.Delete
		default:
			c.Action = backend.Update
			c.Fields = []backend.Field{{Name: "place", Have: text(from), Want: text(to)}}
		}
		out = append(out, c)
	}
	return out
}

// jumpPlaces are the places of jumps by hook, of those to chains that both tables have.
func jumpPlaces(t, other *Table) map[string][]string {
	out := make(map[string][]string)
	for _, j := range t.Jumps {
		if t.chain(j.Chain) != nil && other.chain(j.Chain) != nil {
			out[j.Hook] = append(out[j.Hook], strconv.Itoa(j.At))
		}
	}
	return out
}

// leadsTo finds a foreign rule that leads to a chain of ours.
func (t *savedTable) leadsTo(chain string) (hook, spec string, found bool) {
	for _, name := range slices.SortedFunc(maps.Keys(t.rules), cmp.Compare) {
		if strings.HasPrefix(name, Prefix) {
			continue
		}
		for _, spec := range t.rules[name] {
			if _, ours := jumpTo(spec); ours || !strings.Contains(spec, chain) {
				continue
			}
			if r, err := parseRule(spec); err == nil && (r[optJump] == chain || r["-g"] == chain) {
				return name, spec, true
			}
		}
	}
	return "", "", false
}
