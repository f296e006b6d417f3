package swanctl

import (
	"maps"
	"slices"
	"strings"
)

// Section is a section of strongSwan's settings. The order of its parts means nothing:
// they are always listed sorted.
type Section struct {
	Values   map[string]string   `json:"values,omitempty"`
	Sections map[string]*Section `json:"sections,omitempty"`
	// Includes are patterns of other files whose content belongs here. Nobody follows
	// them: what has one cannot be loaded; see FromFile.
	Includes []string `json:"includes,omitempty"`
}

// Sub returns the section below this one, an empty one where there is none.
func (s *Section) Sub(name string) *Section {
	if s == nil || s.Sections[name] == nil {
		return &Section{}
	}
	return s.Sections[name]
}

// Names lists the sections below this one, sorted.
func (s *Section) Names() []string {
	if s == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(s.Sections))
}

// Keys lists the keys that have a value, sorted.
func (s *Section) Keys() []string {
	if s == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(s.Values))
}

// Items splits a value as swanctl splits those that are lists: at commas, without the
// spaces around; an item may stand in quotes of either kind.
func (s *Section) Items(key string) []string {
	if s == nil {
		return nil
	}
	var items []string
	for rest := strings.TrimLeft(s.Values[key], ", "); rest != ""; rest = strings.TrimLeft(rest, ", ") {
		var item string
		item, rest = cutItem(rest)
		items = append(items, item)
	}
	return items
}

// cutItem cuts the first item off a list.
func cutItem(list string) (item, rest string) {
	if quote := list[:1]; quote == `"` || quote == "'" {
		if item, rest, ok := strings.Cut(list[1:], quote); ok {
			return item, rest
		}
	}
	item, rest, _ = strings.Cut(list, ",")
	return strings.TrimRight(item, " "), rest
}

// Flatten maps the path of every value to it: "local.id". Sections named in without, right
// below this one, are left out.
func (s *Section) Flatten(without ...string) map[string]string {
	flat := map[string]string{}
	s.flattenInto(flat, "", without)
	return flat
}

func (s *Section) flattenInto(flat map[string]string, prefix string, without []string) {
	if s == nil {
		return
	}
	for key, value := range s.Values {
		flat[prefix+key] = value
	}
	for name, sub := range s.Sections {
		if !slices.Contains(without, name) {
			sub.flattenInto(flat, prefix+name+".", nil)
		}
	}
}

// Clone returns a copy that shares nothing with the original.
func (s *Section) Clone() *Section {
	if s == nil {
		return nil
	}
	c := &Section{Values: maps.Clone(s.Values), Includes: slices.Clone(s.Includes)}
	for name, sub := range s.Sections {
		c.add(name, sub.Clone())
	}
	return c
}

// add puts a section below this one.
func (s *Section) add(name string, sub *Section) {
	if s.Sections == nil {
		s.Sections = map[string]*Section{}
	}
	s.Sections[name] = sub
}

// set gives a key its value.
func (s *Section) set(key, value string) {
	if s.Values == nil {
		s.Values = map[string]string{}
	}
	s.Values[key] = value
}
