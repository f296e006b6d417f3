package swanctl_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/swanctl"
)

type (
	values   = map[string]string
	sections = map[string]*swanctl.Section
)

// The texts go by the rules of strongSwan's lexer; TestCharonReads has it read them.
func TestParse(t *testing.T) {
	of := func(v values) *swanctl.Section { return &swanctl.Section{Values: v} }
	tests := []struct {
		name, text string
		want       *swanctl.Section
	}{
		{"nothing", "", of(nil)},
		{"comments only", "# a\n\t # b\n   #\r\n#", of(nil)},
		{"value", "a = b", of(values{"a": "b"})},
		{"no space", "a=b", of(values{"a": "b"})},
		{"value on the next line", "a\n=\nb = c", of(values{"b": "c"})},
		{"key without value", "a = 1\na =\nb = 2", of(values{"b": "2"})},
		{"empty string", `a = ""`, of(values{"a": ""})},
		{"words", "a =  b \t c  ", of(values{"a": "b c"})},
		{"word with braces, equals and backslash", `a = {b=c\n:d,e.f`, of(values{"a": `{b=c\n:d,e.f`})},
		{"comment after value", "a = b # c\nd = e#f", of(values{"a": "b", "d": "e"})},
		{"quoted", `a = "b  # } c"`, of(values{"a": "b  # } c"})},
		{"escapes", `a = "\"\\\n\r\t\x\#"`, of(values{"a": "\"\\\n\r\tx#"})},
		{"joined lines", "a = \"b\\\nc\\\r\nd\"", of(values{"a": "bcd"})},
		{"string over lines", "a = \"b\r\nc\"", of(values{"a": "b\nc"})},
		{"words and strings", `a = b"c"d "e"`, of(values{"a": "b c d e"})},
		{"later value wins", "a = 1\na = 2", of(values{"a": "2"})},
		{"carriage returns", "a = b\r\nc = d\r\n", of(values{"a": "b", "c": "d"})},
		{"bytes outside ASCII", "ä = \xff", of(values{"ä": "\xff"})},
		{"include is a key", "include = 1\nincludes = 2", of(values{"include": "1", "includes": "2"})},
		{"section", "a { b = c }", &swanctl.Section{Sections: sections{"a": of(values{"b": "c"})}}},
		{"section on lines", "a\n{\n}\n", &swanctl.Section{Sections: sections{"a": of(nil)}}},
		{
			"sections of one name", "a { b = 1\n c = 2 }\na { c = 3 }",
			&swanctl.Section{Sections: sections{"a": of(values{"b": "1", "c": "3"})}},
		},
		{
			"nested", "a { b { c = d } e = f }",
			&swanctl.Section{Sections: sections{"a": {Values: values{"e": "f"}, Sections: sections{"b": of(values{"c": "d"})}}}},
		},
		{"include", "include conf.d/*.conf\n", &swanctl.Section{Includes: []string{"conf.d/*.conf"}}},
		{
			"includes", "include \"a b\"\na { include c\\ d\\# # comment\n include e}",
			&swanctl.Section{Includes: []string{"a b"}, Sections: sections{"a": {Includes: []string{"c d#", "e"}}}},
		},
		{"include of nothing", "include \na = b", of(values{"a": "b"})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := swanctl.Parse([]byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Parse(%q) (-want +got):\n%s", tt.text, diff)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"open section", "a {\nb = c\n", "line 3: section is not closed"},
		{"closing nothing", "a {\n}\n}", "line 3: unexpected }"},
		{"open string", "a = \"b\nc", "line 2: string is not closed"},
		{"backslash at the end", `a = "b\`, "line 1: string is not closed"},
		{"string for a name", "\n\"a\" = b", `line 2: unexpected '"'`},
		{"dotted name", "a.b = c", "line 1: a is followed by neither = nor {"},
		{"lone name", "a", "line 1: a is followed by neither = nor {"},
		{"two spaces make it an include", "include  = a", "line 1: unexpected '='"},
		{"reference", "a {\n}\nb : a {\n}", "line 3: b refers to another section, which is not supported"},
		{"NUL in a value", "a = \"b\x00\"", "line 1: NUL byte"},
		{"NUL in a name", "a\x00 = b", "line 1: NUL byte"},
		{"NUL in an include", "include a\x00", "line 1: NUL byte"},
		{"comment that ends twice", "# a\rb = c\n", "line 1: carriage return within a comment"},
		{"depth", strings.Repeat("a {", 100), "line 1: sections are nested too deep"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := swanctl.Parse([]byte(tt.text))
			if err == nil || err.Error() != tt.want {
				t.Errorf("Parse(%q) = %v, %v, want error %q", tt.text, got, err, tt.want)
			}
		})
	}
}

// FuzzParse reads anything without a panic, and reads what it wrote itself as the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "a = b", "a { b = \"c\\\"\" }", "include x\n", "include  = x", "a:b{}", "a = \"\\\r\n\"", "#\r", "a=\"\x00\"",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := swanctl.Parse(text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "line ") {
				t.Errorf("error %q has no line", err)
			}
			return
		}
		again, err := swanctl.Parse(s.Format())
		if err != nil {
			t.Fatalf("reading back %q: %v", s.Format(), err)
		}
		if diff := cmp.Diff(s, again, equateEmpty); diff != "" {
			t.Errorf("reading back %q (-want +got):\n%s", s.Format(), diff)
		}
	})
}
