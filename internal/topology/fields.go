package topology

import (
	"maps"
	"slices"
	"strings"
)

// fields says which keys a mapping of the file has, and how each is read into
// a T. It is both the parser and the list of what is allowed.
type fields[T any] map[string]func(*T, *value)

// decode reads a mapping and refuses unknown keys.
func decode[T any](v *value, known fields[T], into *T) {
	for name, entry := range v.entries() {
		if read, ok := known[name]; ok {
			read(into, entry)
			continue
		}
		entry.unknownKey(slices.Sorted(maps.Keys(known)), nil)
	}
}

// unknownKey refuses a key that none of the allowed ones is, nor of those that
// are many and documented elsewhere.
func (v *value) unknownKey(allowed, elsewhere []string) {
	hint := v.didYouMean(v.name, append(slices.Clone(allowed), elsewhere...))
	more := ""
	if len(elsewhere) > 0 {
		more = ", and what swanctl.conf(5) has besides"
	}
	v.errorf(v.spelledPos(), "unknown key%s; allowed are %s%s", hint, strings.Join(allowed, ", "), more)
}

// has says whether a mapping has a key, whatever its value.
func (v *value) has(name string) bool {
	if v.node.Tag != "!!map" {
		return false
	}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		if v.node.Content[i].Value == name {
			return true
		}
	}
	return false
}

// require refuses a mapping that lacks a key, saying what belongs there.
func (v *value) require(name, what string) {
	if v.bad || v.has(name) {
		return
	}
	pos := v.keyPos()
	if v.up == nil {
		pos.Path = name
	} else {
		pos.Path += "." + name
	}
	v.errorf(pos, "is missing: %s", what)
}

// named reads a mapping of names into a slice, in the order of the file.
func named[T any](v *value, kind nameKind, read func(*value) T) []T {
	list := slices.Grow([]T(nil), len(v.node.Content)/2)
	for name, entry := range v.entries() {
		// What is below a bad name is read all the same, for its errors.
		one := read(entry)
		if kind.legal(name) {
			list = append(list, one)
		} else {
			entry.errorf(entry.keyPos(), "%s", kind.refuse(name))
		}
	}
	return list
}

// list reads the items of a list, leaving out what read refuses.
func list[T any](v *value, read func(*value) (T, bool)) []T {
	var all []T
	for item := range v.items() {
		if one, ok := read(item); ok {
			all = append(all, one)
		}
	}
	return all
}

// keyReader is a fields bound to what it reads into.
type keyReader struct {
	read  func(name string, v *value) bool
	known []string
}

func decoder[T any](known fields[T], into *T) keyReader {
	return keyReader{known: slices.Sorted(maps.Keys(known)), read: func(name string, v *value) bool {
		read, ok := known[name]
		if ok {
			read(into, v)
		}
		return ok
	}}
}

// decodeWithSettings reads a mapping that besides its own keys takes over some
// of swanctl.conf(5), which setting reads where the key is one of them.
func (v *value) decodeWithSettings(own keyReader, setting func(*value) bool, settings []string) {
	for name, entry := range v.entries() {
		if !own.read(name, entry) && !setting(entry) {
			entry.unknownKey(own.known, settings)
		}
	}
}
