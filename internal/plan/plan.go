// Package plan collects the steps of all backends into one plan: it orders them, counts
// them, and prints them as text and JSON. It computes no difference of its own.
package plan

import (
	"slices"

	"github.com/vpnctl/vpnctl/internal/backend"
)

// Plan is what lies between a host and its desired state.
type Plan struct {
	Site  string
	Node  string
	Steps []backend.Step // in the order in which they are done

	changes []backend.Change // what Changes returned
}

// New puts steps into the order of their phases. Steps of one phase stay in the order
// in which they come, which is the order of their backends.
func New(site, node string, steps []backend.Step) *Plan {
	steps = slices.Clone(steps)
	slices.SortStableFunc(steps, func(a, b backend.Step) int { return int(a.Phase) - int(b.Phase) })
	return &Plan{Site: site, Node: node, Steps: steps}
}

// Empty reports whether there is nothing to show. Silent steps, which only move what
// vpnctl remembers, do not count.
func (p *Plan) Empty() bool {
	return !slices.ContainsFunc(p.Steps, func(s backend.Step) bool { return len(s.Changes) > 0 })
}

// Changes are the lines of the plan, in the order of the steps. An object that several
// steps touch in the same way is told once, where it is touched first. They are put
// together once: everybody who counts or prints asks for them.
func (p *Plan) Changes() []backend.Change {
	if p.changes == nil {
		p.changes = changesOf(p.Steps)
	}
	return p.changes
}

func changesOf(steps []backend.Step) []backend.Change {
	type key struct {
		action backend.Action
		object string
	}
	count := 0
	for i := range steps {
		count += len(steps[i].Changes)
	}
	out := make([]backend.Change, 0, count)
	at := make(map[key]int, count)
	for i := range steps {
		for _, c := range steps[i].Changes {
			k := key{c.Action, c.Object}
			i, seen := at[k]
			if !seen {
				at[k] = len(out)
				out = append(out, c)
				continue
			}
			out[i] = merge(out[i], c)
		}
	}
	return out
}

// merge joins two changes of one object. The greater impact speaks for both, two of the
// same level each for itself; sessions are joined, each told once.
func merge(a, b backend.Change) backend.Change {
	a.Fields = mergeFields(a.Fields, b.Fields)
	a.Note = join(a.Note, b.Note)
	switch {
	case b.Impact.Level > a.Impact.Level:
		a.Impact.What = b.Impact.What
	case b.Impact.Level == a.Impact.Level:
		a.Impact.What = join(a.Impact.What, b.Impact.What)
	}
	a.Impact.Level = max(a.Impact.Level, b.Impact.Level)
	sessions := slices.Clone(a.Impact.Sessions)
	for _, s := range b.Impact.Sessions {
		if !slices.Contains(sessions, s) {
			sessions = append(sessions, s)
		}
	}
	a.Impact.Sessions = sessions
	return a
}

// mergeFields joins the fields of an earlier and a later step. One that both change goes
// from where the first finds it to where the second leaves it.
func mergeFields(a, b []backend.Field) []backend.Field {
	out := slices.Clone(a)
	for _, f := range b {
		i := slices.IndexFunc(out, func(o backend.Field) bool { return o.Name == f.Name })
		if i < 0 {
			out = append(out, f)
			continue
		}
		out[i].Want = f.Want
	}
	return backend.SortFields(out)
}

// join puts two remarks into one; one that is made already is not repeated.
func join(a, b string) string {
	switch {
	case b == "" || a == b:
		return a
	case a == "":
		return b
	}
	return a + "; " + b
}

// Summary counts a plan's changes.
type Summary struct {
	Create     int `json:"create"`
	Update     int `json:"update"`
	Delete     int `json:"delete"`
	Disruptive int `json:"disruptive"`
}

// Summarize counts changes by action, and those that cost live sessions.
func Summarize(changes []backend.Change) Summary {
	var s Summary
	for _, c := range changes {
		switch c.Action {
		case backend.Create:
			s.Create++
		case backend.Update:
			s.Update++
		case backend.Delete:
			s.Delete++
		}
		if c.Impact.Level == backend.Disrupt {
			s.Disruptive++
		}
	}
	return s
}

// MaxImpact is the highest impact in the plan, and the object that has it.
func (p *Plan) MaxImpact() (backend.Level, string) {
	level, object := backend.None, ""
	for _, c := range p.Changes() {
		if c.Impact.Level > level {
			level, object = c.Impact.Level, c.Object
		}
	}
	return level, object
}
