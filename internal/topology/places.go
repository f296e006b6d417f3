package topology

import (
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// places finds nodes of the file again by where they stand: the typed values
// keep one position each, and a message is about one key of theirs. It is only
// built for the first message that asks.
type places struct {
	keys  map[spot]*yaml.Node
	items map[spot]*yaml.Node
}

type spot struct{ line, column int }

func newPlaces(root *yaml.Node) *places {
	p := &places{keys: map[spot]*yaml.Node{}, items: map[spot]*yaml.Node{}}
	p.walk(root)
	return p
}

func (p *places) walk(n *yaml.Node) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			p.keys[spot{key.Line, key.Column}] = n.Content[i+1]
			p.walk(n.Content[i+1])
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			p.items[spot{item.Line, item.Column}] = item
			p.walk(item)
		}
	}
}

// node returns what stands at a position, nil where nothing does. The first
// key of a mapping in a list stands where the mapping does: the path tells
// which is meant.
func (p *places) node(pos Pos) *yaml.Node {
	at := spot{pos.Line, pos.Column}
	if strings.HasSuffix(pos.Path, "]") {
		return p.items[at]
	}
	return p.keys[at]
}

// under returns where a key of an object stands, and where an item of a list
// below it: steps are names and indexes. What the file does not have, because
// it is a default, stands where the nearest thing around it does.
func (c *checker) under(pos Pos, steps ...any) Pos {
	n := c.find(pos)
	for _, step := range steps {
		switch step := step.(type) {
		case string:
			pos.Path += "." + quoteKey(step)
			n = lookUp(n, step)
		case int:
			pos.Path += "[" + strconv.Itoa(step) + "]"
			if n != nil && n.Kind == yaml.SequenceNode && step < len(n.Content) {
				n = n.Content[step]
			}
		}
		if n != nil {
			pos.Line, pos.Column = n.Line, n.Column
		}
	}
	return pos
}

// writes says whether the file has a key in the mapping at pos, whatever
// became of its value: what was refused once is not called missing as well.
func (c *checker) writes(pos Pos, key string) bool { return lookUp(c.find(pos), key) != nil }

func (c *checker) find(pos Pos) *yaml.Node {
	if c.places == nil {
		c.places = newPlaces(c.root)
	}
	return c.places.node(pos)
}

func lookUp(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}
