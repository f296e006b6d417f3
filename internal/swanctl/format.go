package swanctl

import (
	"bytes"
	"strings"
)

// Header is the first line of a file that is ours.
const Header = "# Written by vpnctl; changes are overwritten.\n"

// indent is that of one level.
const indent = "    "

// Format writes the section's content as the text of a settings file. What Parse reads of
// it is equal to s, as long as no value has a NUL byte: nothing in the format stands for
// that one, and Settings refuses it.
func (s *Section) Format() []byte {
	var b bytes.Buffer
	s.format(&b, "")
	return b.Bytes()
}

func (s *Section) format(b *bytes.Buffer, margin string) {
	for _, pattern := range s.Includes {
		b.WriteString(margin + "include " + quote(pattern) + "\n")
	}
	for _, key := range s.Keys() {
		b.WriteString(margin + key + " = " + formatValue(s.Values[key]) + "\n")
	}
	for _, name := range s.Names() {
		b.WriteString(margin + name + " {\n")
		s.Sections[name].format(b, margin+indent)
		b.WriteString(margin + "}\n")
	}
}

// formatValue writes a value, in quotes where it needs them.
func formatValue(value string) string {
	if isPlain(value) {
		return value
	}
	return quote(value)
}

// isPlain reports whether the parser reads a value as it stands. Words are joined by
// single spaces; everything but what ends a word is one, backslash and braces included.
func isPlain(value string) bool {
	return value != "" && !strings.ContainsAny(value, "#}\"\r\n\t") && !strings.Contains(value, "  ") &&
		value[0] != ' ' && value[len(value)-1] != ' '
}

// escapes are the characters that a quoted string cannot hold as they are, or that would
// break the line in an editor.
var escapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`)

func quote(value string) string { return `"` + escapes.Replace(value) + `"` }
