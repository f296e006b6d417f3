package ppp

import (
	"errors"
	"fmt"
	"strings"
)

// quote writes a word as pppd reads it, in option files and secrets alike. Bytes outside of
// printable ASCII are octal, so that the file is text in any encoding.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\%03o`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// errUnfinished is the error of a line that ends within a quoted word.
var errUnfinished = errors.New("quote runs beyond the line")

// words splits a line as pppd does; see getword in its options.c. Comments are left out.
func words(line string) ([]string, error) {
	var out []string
	s := scanner{line: line}
	for s.skip() {
		w, err := s.word()
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	return out, nil
}

type scanner struct {
	line string
	at   int
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// skip goes to the next word, and reports whether there is one.
func (s *scanner) skip() bool {
	for s.at < len(s.line) && isSpace(s.line[s.at]) {
		s.at++
	}
	return s.at < len(s.line) && s.line[s.at] != '#'
}

func (s *scanner) word() (string, error) {
	var b strings.Builder
	var quoted byte
	for s.at < len(s.line) {
		c := s.line[s.at]
		switch {
		case c == '\\':
			s.at++
			if s.at == len(s.line) {
				return "", errUnfinished // the next line belongs to it
			}
			b.WriteByte(s.escape())
			continue
		case quoted != 0 && c == quoted:
			quoted = 0
		case quoted == 0 && (c == '"' || c == '\''):
			quoted = c
		case quoted == 0 && (isSpace(c) || c == '#'):
			return b.String(), nil
		default:
			b.WriteByte(c)
		}
		s.at++
	}
	if quoted != 0 {
		return "", errUnfinished
	}
	return b.String(), nil
}

// escapes are those of one letter.
var escapes = map[byte]byte{'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 's': ' ', 't': '\t'}

// escape reads what stands behind a backslash.
func (s *scanner) escape() byte {
	c := s.line[s.at]
	if c >= '0' && c < '8' {
		return s.number(3, 8)
	}
	s.at++
	if c == 'x' {
		return s.number(2, 16)
	}
	if e, ok := escapes[c]; ok {
		return e
	}
	return c
}

// number reads at most n digits of a base.
func (s *scanner) number(n int, base byte) (v byte) {
	for ; n > 0 && s.at < len(s.line); n-- {
		d := digit(s.line[s.at])
		if d >= base {
			break
		}
		v = v*base + d
		s.at++
	}
	return v
}

func digit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}
