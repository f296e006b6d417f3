package topology

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// word reads a scalar that must be one of the given ones.
func word[T ~string](v *value, into *T, allowed ...T) {
	s, ok := v.text()
	if !ok {
		return
	}
	if i := slices.Index(allowed, T(s)); i >= 0 {
		*into = allowed[i]
		return
	}
	names := make([]string, len(allowed))
	for i, a := range allowed {
		names[i] = string(a)
	}
	v.fail("%q is not allowed: use %s%s", shorten(s), oneOf(names), v.didYouMean(s, names))
}

// oneOf writes a list of words as "a, b or c".
func oneOf(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

func (v *value) boolean(into *bool) {
	s, ok := v.text()
	if !ok {
		return
	}
	switch s {
	case "true":
		*into = true
	case "false":
		*into = false
	default:
		v.fail("%q is not allowed: use true or false", shorten(s))
	}
}

// number reads an integer, decimal or with 0x in hexadecimal.
func (v *value) number(low, high uint64) (uint64, bool) {
	s, ok := v.text()
	if !ok {
		return 0, false
	}
	n, err := parseNumber(s)
	if err != nil || n < low || n > high {
		v.fail("%q is not allowed: use a number from %d to %d", shorten(s), low, high)
		return 0, false
	}
	return n, true
}

// parseNumber reads decimal and hexadecimal numbers. A leading zero, which
// some readers take for octal, does not change the base.
func parseNumber(s string) (uint64, error) {
	if hex, ok := strings.CutPrefix(s, "0x"); ok {
		return strconv.ParseUint(hex, 16, 64)
	}
	return strconv.ParseUint(s, 10, 64)
}

func (v *value) port(into *uint16) {
	if n, ok := v.number(1, math.MaxUint16); ok {
		*into = uint16(n)
	}
}

// maxDuration is what 32 bits of seconds hold, as the daemons do.
const maxDuration = math.MaxUint32 * time.Second

// duration reads whole seconds, written as 25s, 90m, 8h or 7d.
func (v *value) duration(into *time.Duration) bool {
	s, ok := v.text()
	if !ok {
		return false
	}
	d, err := parseDuration(s)
	switch {
	case err != nil:
		v.fail("%q is not allowed: use a duration such as 25s, 30m or 8h", shorten(s))
	case d < 0 || d%time.Second != 0 || d > maxDuration:
		v.fail("%q is not allowed: use whole seconds, none below zero", shorten(s))
	default:
		*into = d
		return true
	}
	return false
}

func (v *value) optionalDuration(into **time.Duration) {
	var d time.Duration
	if v.duration(&d) {
		*into = &d
	}
}

func parseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(s)
}

// line reads a scalar that some file will carry on one line.
func (v *value) line(into *string) bool {
	s, ok := v.text()
	switch {
	case !ok:
	case s == "":
		v.fail("is empty; give a value or leave the key out")
	case hasControl(s):
		v.fail("has a line break or another control character in it")
	default:
		*into = s
		return true
	}
	return false
}

// lines reads a list of scalars of one line each.
func (v *value) lines() []string {
	return list(v, func(item *value) (string, bool) {
		var s string
		ok := item.line(&s)
		return s, ok
	})
}

// nameOf reads a scalar that names something.
func (v *value) nameOf(into *string, kind nameKind) {
	s, ok := v.text()
	switch {
	case !ok:
	case kind.legal(s):
		*into = s
	default:
		v.fail("%s", kind.refuse(s))
	}
}
