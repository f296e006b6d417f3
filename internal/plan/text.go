package plan

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
)

// NoChanges is the whole text of an empty plan.
const NoChanges = "no changes\n"

// Palette colours a line; meaning is never in colour alone.
type Palette struct{ Create, Update, Delete, Cost, Reset string }

// ANSI is the palette of a terminal.
var ANSI = Palette{Create: "\x1b[32m", Update: "\x1b[33m", Delete: "\x1b[31m", Cost: "\x1b[1;31m", Reset: "\x1b[0m"}

// Text is the plan as the operator reads it: one line an object, its fields and its cost
// below it, and a count. The zero Palette prints without colour.
func (p *Plan) Text(colour Palette) string {
	changes := p.Changes()
	if len(changes) == 0 {
		return NoChanges
	}
	var b strings.Builder
	for _, c := range changes {
		writeChange(&b, c, colour)
	}
	b.WriteString(Count(changes))
	return b.String()
}

// Count is the plan's last line.
func Count(changes []backend.Change) string {
	s := Summarize(changes)
	return fmt.Sprintf("plan: %d to create, %d to update, %d to delete; %d disruptive\n",
		s.Create, s.Update, s.Delete, s.Disruptive)
}

func writeChange(b *strings.Builder, c backend.Change, colour Palette) {
	note := ""
	if c.Note != "" {
		note = " (" + c.Note + ")"
	}
	fmt.Fprintf(b, "%s%c %s%s%s\n", colour.of(c.Action), c.Action, c.Object, colour.Reset, note)
	for _, f := range c.Fields {
		writeField(b, f, c.Action)
	}
	switch {
	case c.Impact.Level == backend.Disrupt:
		fmt.Fprintf(b, "    %s! %s%s\n", colour.Cost, cost(c.Impact), colour.Reset)
	case c.Impact.Level == backend.Reload && c.Impact.What != "":
		// The mark is for what costs a session; this costs nobody anything.
		fmt.Fprintf(b, "    %s\n", c.Impact.What)
	}
}

// width is what a terminal shows of a line. A list that needs more gets a line an item.
const width = 100

// itemEnd is what backends put between the items of a list that may be long.
const itemEnd = "; "

func writeField(b *strings.Builder, f backend.Field, action backend.Action) {
	value := f.Want.String()
	if action != backend.Create {
		value = f.Have.String() + " -> " + value
	}
	line := "    " + f.Name + ": " + value
	if len(line) <= width || !strings.Contains(value, itemEnd) {
		b.WriteString(line + "\n")
		return
	}
	b.WriteString("    " + f.Name + ":\n")
	sides := []string{f.Want.String()}
	if action != backend.Create {
		sides = []string{f.Have.String(), "-> " + f.Want.String()}
	}
	for _, side := range sides {
		b.WriteString("      " + strings.ReplaceAll(side, itemEnd, "\n      ") + "\n")
	}
}

// cost is what an impact says: what happens, and to whom.
func cost(i backend.Impact) string {
	what := cmp.Or(i.What, "interrupts what is live")
	names := make([]string, len(i.Sessions))
	for n, s := range i.Sessions {
		names[n] = strings.Join(nonEmpty(s.User, s.Peer, s.Address), " ")
	}
	if len(names) == 0 {
		return what
	}
	return fmt.Sprintf("%s (%s)", what, strings.Join(names, ", "))
}

func nonEmpty(words ...string) []string {
	var out []string
	for _, w := range words {
		if w != "" {
			out = append(out, w)
		}
	}
	return out
}

func (p Palette) of(a backend.Action) string {
	switch a {
	case backend.Create:
		return p.Create
	case backend.Update:
		return p.Update
	case backend.Delete:
		return p.Delete
	}
	return ""
}
