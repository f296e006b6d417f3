package topology

import (
	"fmt"
	"iter"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/vpnctl/vpnctl/internal/topology/source"
	"github.com/vpnctl/vpnctl/internal/topology/spelling"
)

// reader collects what is said about a file while it is read and checked.
type reader struct {
	file  string
	errs  source.Errors
	warns []Warning
	// secrets are those that stand in the file itself.
	secrets []inlineSecret
	// draft files may lack public keys.
	draft bool
	// suggested counts the searches for a near word: of a file that is wrong
	// throughout the first hundred are enough.
	suggested int
}

// Warning is what an operator should know and may leave as it is.
type Warning struct {
	Pos  Pos
	Text string
}

// String returns file:line:column: key.path: the warning.
func (w Warning) String() string { return w.Pos.Prefix() + ": " + w.Text }

func (r *reader) errorf(pos Pos, format string, args ...any) {
	r.errs = append(r.errs, &source.Error{Pos: pos, Err: fmt.Errorf(format, args...)})
}

func (r *reader) warnf(pos Pos, format string, args ...any) {
	r.warns = append(r.warns, Warning{Pos: pos, Text: fmt.Sprintf(format, args...)})
}

// didYouMean returns what to append to a message about an unknown word.
func (r *reader) didYouMean(word string, known []string) string {
	const enough = 100
	if r.suggested++; r.suggested > enough {
		return ""
	}
	if near := spelling.Nearest(word, known); near != "" {
		return fmt.Sprintf(" (did you mean %q?)", near)
	}
	return ""
}

// choice returns what to append to a message about a name that none of some
// things has: which one was meant, and what there is.
func (r *reader) choice(name, things string, known []string) string {
	const enough = 8
	hint := r.didYouMean(name, known)
	switch {
	case len(known) == 0:
		return "; there are no " + things
	case len(known) > enough:
		return fmt.Sprintf("%s; the %s are %s and %d more", hint, things, strings.Join(known[:enough], ", "), len(known)-enough)
	}
	return fmt.Sprintf("%s; the %s are %s", hint, things, strings.Join(known, ", "))
}

// value is a node of the file together with the way to it. The way is a chain
// to the root: its text is only put together for messages and positions.
type value struct {
	*reader
	node *yaml.Node
	key  *yaml.Node
	up   *value
	name string
	// index counts from 1 in a list; 0 for what has a key.
	index int
	// hush keeps the keys of this mapping out of messages: it is a secret's,
	// and a key that should not be there may well be the secret.
	hush bool
	// way is the text of the path once somebody asked for it: the entries of
	// a long mapping all ask for the mapping's.
	way string
	// bad is set once the value itself was refused.
	bad bool
}

// pos is where the value stands.
func (v *value) pos() Pos { return v.at(v.node) }

// keyPos is where its key stands, which is what names an object.
func (v *value) keyPos() Pos {
	if v.key == nil {
		return v.pos()
	}
	return v.at(v.key)
}

// spelledPos is where the key stands, for messages about the key itself.
func (v *value) spelledPos() Pos {
	pos := v.keyPos()
	if v.up.hush {
		pos.Path = v.up.path()
	}
	return pos
}

func (v *value) at(n *yaml.Node) Pos {
	return Pos{File: v.file, Line: n.Line, Column: n.Column, Path: v.path()}
}

func (v *value) path() string {
	if v.way != "" {
		return v.way
	}
	switch {
	case v.up == nil:
		return ""
	case v.index > 0:
		v.way = v.up.path() + "[" + strconv.Itoa(v.index-1) + "]"
	case v.up.up == nil:
		v.way = quoteKey(v.name)
	default:
		v.way = v.up.path() + "." + quoteKey(v.name)
	}
	return v.way
}

// quoteKey keeps a path readable, and one path one place, whatever somebody
// uses as a key.
func quoteKey(name string) string {
	if name != "" && consistsOf(name, "_-") {
		return name
	}
	return strconv.Quote(name)
}

// fail says what is wrong with the value.
func (v *value) fail(format string, args ...any) {
	v.bad = true
	v.errorf(v.pos(), format, args...)
}

// null says whether the key has nothing behind it.
func (v *value) null() bool { return v.node.Kind == yaml.ScalarNode && v.node.Tag == "!!null" }

// plain refuses the parts of YAML that a topology has no use for. Aliases make
// a small file arbitrarily large, and one value would have two places.
func (v *value) plain() bool {
	switch {
	case v.node.Kind == yaml.AliasNode:
		v.fail("aliases are not supported; write the value out")
	case v.node.Anchor != "":
		v.fail("anchors are not supported; write the value out where it is needed")
	case v.node.Style&yaml.TaggedStyle != 0:
		v.fail("tags are not supported; leave out %s", quoteKey(v.node.Tag))
	default:
		return true
	}
	return false
}

// kindName is what messages call the kind of a value. They never show the
// value: it may be a secret that stands where its mapping should.
func (v *value) kindName() string {
	switch {
	case v.null():
		return "empty"
	case v.node.Kind == yaml.MappingNode:
		return "a mapping"
	case v.node.Kind == yaml.SequenceNode:
		return "a list"
	}
	return "a single value"
}

// entries yields the keys of a mapping; an empty value is an empty mapping.
func (v *value) entries() iter.Seq2[string, *value] {
	return func(yield func(string, *value) bool) {
		if v.null() {
			return
		}
		if v.node.Kind != yaml.MappingNode {
			v.fail("must be a mapping, and is %s", v.kindName())
			return
		}
		seen := newSeen(v.node)
		for i := 0; i+1 < len(v.node.Content); i += 2 {
			entry, ok := v.entry(v.node.Content[i], v.node.Content[i+1], seen)
			if !ok {
				continue
			}
			if entry.plain() && !yield(entry.name, entry) {
				return
			}
		}
	}
}

func (v *value) entry(key, content *yaml.Node, seen *seenKeys) (*value, bool) {
	switch {
	case key.Tag == "!!merge":
		v.errorf(v.at(key), "merge keys (<<) are not supported; write the values out")
		return nil, false
	case key.Kind != yaml.ScalarNode, key.Anchor != "", key.Style&yaml.TaggedStyle != 0:
		v.errorf(v.at(key), "a key must be a plain word")
		return nil, false
	}
	entry := &value{reader: v.reader, node: content, key: key, up: v, name: key.Value}
	if line, twice := seen.add(key); twice {
		entry.errorf(entry.spelledPos(), "the same key stands in line %d already", line)
		return nil, false
	}
	return entry, true
}

// seenKeys finds a key that stands twice in a mapping. Most mappings are so
// small that a map would cost more than it saves.
type seenKeys struct {
	content []*yaml.Node
	many    map[string]int
}

func newSeen(mapping *yaml.Node) *seenKeys {
	const few = 16
	s := &seenKeys{content: mapping.Content}
	if n := len(mapping.Content) / 2; n > few {
		s.many = make(map[string]int, n)
	}
	return s
}

// add notes a key and returns the line in which it stood before.
func (s *seenKeys) add(key *yaml.Node) (line int, twice bool) {
	if s.many != nil {
		if line, twice = s.many[key.Value]; !twice {
			s.many[key.Value] = key.Line
		}
		return line, twice
	}
	for i := 0; s.content[i] != key; i += 2 {
		if s.content[i].Value == key.Value {
			return s.content[i].Line, true
		}
	}
	return 0, false
}

// items yields the members of a list; an empty value is an empty list.
func (v *value) items() iter.Seq[*value] {
	return func(yield func(*value) bool) {
		if v.null() {
			return
		}
		if v.node.Kind != yaml.SequenceNode {
			v.fail("must be a list, and is %s", v.kindName())
			return
		}
		for i, n := range v.node.Content {
			item := &value{reader: v.reader, node: n, up: v, index: i + 1}
			if item.plain() && !yield(item) {
				return
			}
		}
	}
}

// text returns the value of a scalar as it stands in the file: numbers and
// booleans are not interpreted.
func (v *value) text() (string, bool) {
	switch {
	case v.null():
		v.fail("is empty; give a value or leave the key out")
	case v.node.Kind != yaml.ScalarNode:
		v.fail("must be a single value, and is %s", v.kindName())
	default:
		return v.node.Value, true
	}
	return "", false
}
