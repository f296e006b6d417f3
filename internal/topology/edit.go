package topology

import (
	"bytes"
	"slices"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// text is a file that is edited in place: what an edit does not touch stays
// byte for byte, comments included, which no encoder of YAML can promise.
type text struct {
	src []byte
	// starts are the offsets of the lines as the YAML library counts them.
	starts []int
	edits  []edit
}

// edit replaces the bytes from one offset up to another.
type edit struct {
	from, to int
	with     string
}

func newText(src []byte) *text {
	t := &text{src: src, starts: []int{0}}
	if bytes.HasPrefix(src, byteOrderMark) {
		t.starts[0] = len(byteOrderMark)
	}
	for i := 0; i < len(src); {
		if n := breakAt(src[i:]); n > 0 {
			i += n
			t.starts = append(t.starts, i)
			continue
		}
		i++
	}
	return t
}

// breakAt returns the length of the line break that b begins with, 0 where it
// begins with none. YAML 1.1 knows five.
func breakAt(b []byte) int {
	for _, br := range []string{"\r\n", "\n", "\r", "\u0085", "\u2028", "\u2029"} {
		if len(b) > 0 && b[0] == br[0] && bytes.HasPrefix(b, []byte(br)) {
			return len(br)
		}
	}
	return 0
}

// offset returns where a node begins, -1 where the file has no such place.
func (t *text) offset(n *yaml.Node) int {
	if n.Line < 1 || n.Line > len(t.starts) {
		return -1
	}
	i := t.starts[n.Line-1]
	for column := 1; column < n.Column; column++ {
		if i >= len(t.src) {
			return -1
		}
		_, size := utf8.DecodeRune(t.src[i:])
		i += size
	}
	return i
}

// lineEnd returns the offset of the line break after i, and the break itself;
// the last line may have none, and takes that of the first.
func (t *text) lineEnd(i int) (int, string) {
	for ; i < len(t.src); i++ {
		if n := breakAt(t.src[i:]); n > 0 {
			return i, string(t.src[i : i+n])
		}
	}
	if len(t.starts) > 1 {
		n := t.starts[1]
		for k := t.starts[0]; k < n; k++ {
			if size := breakAt(t.src[k:]); size > 0 {
				return i, string(t.src[k : k+size])
			}
		}
	}
	return i, "\n"
}

func (t *text) replace(from, to int, with string) {
	t.edits = append(t.edits, edit{from, to, with})
}

// result returns the file with all edits done.
func (t *text) result() []byte {
	slices.SortFunc(t.edits, func(a, b edit) int { return a.from - b.from })
	var out bytes.Buffer
	done := 0
	for _, e := range t.edits {
		out.Write(t.src[done:e.from])
		out.WriteString(e.with)
		done = e.to
	}
	out.Write(t.src[done:])
	return out.Bytes()
}

// scalarEnd returns where the scalar that begins at i ends, -1 where that
// cannot be seen. indent is the column of its key, counted from 0.
func (t *text) scalarEnd(n *yaml.Node, i, indent int) int {
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0:
		return quotedEnd(t.src, i, '"')
	case n.Style&yaml.SingleQuotedStyle != 0:
		return quotedEnd(t.src, i, '\'')
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return t.blockEnd(n.Line, indent)
	}
	return plainEnd(t.src, i, n.Value)
}

func quotedEnd(src []byte, i int, quote byte) int {
	if i >= len(src) || src[i] != quote {
		return -1
	}
	for i++; i < len(src); i++ {
		switch {
		case src[i] == '\\' && quote == '"':
			i++
		case src[i] == quote && quote == '\'' && i+1 < len(src) && src[i+1] == quote:
			i++
		case src[i] == quote:
			return i + 1
		}
	}
	return -1
}

// plainEnd follows a plain scalar, whose line breaks the library has folded.
func plainEnd(src []byte, i int, value string) int {
	for _, r := range value {
		if blank(r) {
			continue
		}
		got, size := utf8.DecodeRune(src[min(i, len(src)):])
		for blank(got) {
			i += size
			got, size = utf8.DecodeRune(src[i:])
		}
		if got != r {
			return -1
		}
		i += size
	}
	return i
}

func blank(r rune) bool {
	return r == ' ' || r == '\t' || r == '\n' || r == '\r' || r == 0x85 || r == 0x2028 || r == 0x2029
}

// blockEnd returns the end of the block scalar whose header stands in a line:
// that of the last line that is indented further than its key.
func (t *text) blockEnd(line, indent int) int {
	end, _ := t.lineEnd(t.starts[line-1])
	for _, start := range t.starts[line:] {
		stop, _ := t.lineEnd(start)
		content := bytes.TrimLeft(t.src[start:stop], " ")
		if len(content) == 0 {
			continue
		}
		if stop-start-len(content) <= indent {
			break
		}
		end = stop
	}
	return end
}
