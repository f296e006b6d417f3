package backend

import (
	"cmp"
	"slices"
)

// Action is what happens to an object. Its value is the sign that the plan prints.
type Action rune

// The actions.
const (
	Create Action = '+'
	Update Action = '~'
	Delete Action = '-'
)

// String is the action's name, as in JSON.
func (a Action) String() string {
	switch a {
	case Create:
		return "create"
	case Update:
		return "update"
	case Delete:
		return "delete"
	}
	return "unknown"
}

// Change is one line of a plan, and its fields below it.
type Change struct {
	Action Action
	Object string  // "wireguard/wg0/peer/alice"
	Fields []Field // sorted by name; of a created object what it gets, of a deleted one none
	Impact Impact
	// Note is a remark behind the object: "takes effect once the other end applies too".
	Note string
}

// Field is one property that differs.
type Field struct {
	Name string
	Have Value
	Want Value
}

// Value is the text of one side of a Field. The zero Value is "absent".
type Value struct {
	text    string
	present bool
	secret  bool
}

// Text is a value that may be shown.
func Text(s string) Value { return Value{text: s, present: true} }

// Secret is a value that may not; only that it is there.
func Secret() Value { return Value{present: true, secret: true} }

// IsSecret reports whether the value is hidden.
func (v Value) IsSecret() bool { return v.secret }

// Get is the text to show, and false where the value is absent or hidden.
func (v Value) Get() (string, bool) { return v.text, v.present && !v.secret }

// String is the value as the plan prints it.
func (v Value) String() string {
	switch {
	case !v.present:
		return "(none)"
	case v.secret:
		return "(secret)"
	}
	return v.text
}

// SortFields puts fields into the order of their names, as a Change holds them.
func SortFields(fields []Field) []Field {
	slices.SortFunc(fields, func(a, b Field) int { return cmp.Compare(a.Name, b.Name) })
	return fields
}

// Level is what a change costs those who are connected now.
type Level int

// The levels, in the order of what they cost.
const (
	None    Level = iota // nobody notices
	Reload               // a daemon reloads, or restarts with nobody on it
	Disrupt              // a live session or tunnel is ended or interrupted
)

// String is the level's name, as in JSON and in --max-impact.
func (l Level) String() string { return [...]string{"none", "reload", "disrupt"}[l] }

// ParseLevel is the inverse of String; it reports false for any other word.
func ParseLevel(s string) (Level, bool) {
	for l := None; l <= Disrupt; l++ {
		if l.String() == s {
			return l, true
		}
	}
	return None, false
}

// Impact is what one change costs, and whom.
type Impact struct {
	Level    Level
	What     string // "restarts xl2tpd: drops 2 sessions"; without the names
	Sessions []Session
}

// Session is one live session or tunnel that a change ends or interrupts.
type Session struct {
	Protocol Kind   `json:"protocol"`
	Name     string `json:"name"`
	User     string `json:"user"`
	Peer     string `json:"peer"`
	Address  string `json:"address"`
}
