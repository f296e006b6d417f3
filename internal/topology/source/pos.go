// Package source says where in a topology file something was written.
package source

import "strconv"

// Pos is a place in a topology file: what every message about it begins with.
type Pos struct {
	File   string
	Line   int
	Column int
	// Path is the path of the key, such as wireguard.wg0.members.a.addresses[1].
	Path string
}

// String returns file:line:column, without the path of the key.
func (p Pos) String() string {
	return p.File + ":" + strconv.Itoa(p.Line) + ":" + strconv.Itoa(p.Column)
}

// Prefix returns what a message about this place begins with:
// file:line:column and the path of the key, where there is one.
func (p Pos) Prefix() string {
	if p.Path == "" {
		return p.String()
	}
	return p.String() + ": " + p.Path
}

// Before says whether p stands in front of q in the same file.
func (p Pos) Before(q Pos) bool {
	if p.Line != q.Line {
		return p.Line < q.Line
	}
	return p.Column < q.Column
}
