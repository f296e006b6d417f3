package swanctl

import (
	"fmt"
	"strings"
)

// maxDepth bounds the nesting of sections; swanctl.conf(5) has four levels.
const maxDepth = 100

// Parse reads the text of a settings file. As in strongSwan, sections and values that come
// twice are merged, the later one winning. Includes are listed and not followed;
// references to other sections are refused. Errors begin with the line.
func Parse(text []byte) (*Section, error) {
	root := &Section{}
	p := &parser{text: string(text), line: 1, open: []*Section{root}}
	for {
		more, err := p.statement()
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", p.line, err)
		}
		if !more {
			return root, nil
		}
	}
}

// The characters that end a word: a name's, a value's, an include pattern's.
const (
	endOfName    = "#{}:.,=\"\r\n\t "
	endOfValue   = "#}\"\r\n\t "
	endOfPattern = "\"\\#}\r\n\t "
)

// parser reads one file.
type parser struct {
	text string // what is left
	line int
	open []*Section // the section being read, last, and those around it
}

// next is the character ahead, 0 at the end of the file. NUL itself is in no file that
// strongSwan reads to its end, so it is refused wherever it stands.
func (p *parser) next() byte {
	if p.text == "" {
		return 0
	}
	return p.text[0]
}

// take cuts n bytes off what is left.
func (p *parser) take(n int) string {
	taken := p.text[:n]
	p.text = p.text[n:]
	p.line += strings.Count(taken, "\n")
	return taken
}

// takeUntil cuts off what comes before any of the characters.
func (p *parser) takeUntil(chars string) string {
	end := strings.IndexAny(p.text, chars)
	if end < 0 {
		end = len(p.text)
	}
	return p.take(end)
}

// takeAll cuts off a run of the characters.
func (p *parser) takeAll(chars string) {
	p.take(len(p.text) - len(strings.TrimLeft(p.text, chars)))
}

// current is the section being read.
func (p *parser) current() *Section { return p.open[len(p.open)-1] }

// skip passes white space, empty lines and comments.
func (p *parser) skip() error {
	for {
		p.takeAll(" \t\r\n")
		if p.next() != '#' {
			return nil
		}
		comment := p.takeUntil("\n")
		// Where such a comment ends depends on what stands before it.
		if strings.Contains(strings.TrimRight(comment, "\r"), "\r") {
			return fmt.Errorf("carriage return within a comment")
		}
	}
}

// statement reads a setting, an include, or one end of a section; more is false at the end
// of the file.
func (p *parser) statement() (more bool, err error) {
	if err := p.skip(); err != nil {
		return false, err
	}
	switch {
	case p.text == "":
		if len(p.open) > 1 {
			return false, fmt.Errorf("section is not closed")
		}
		return false, nil
	case p.next() == '}':
		if len(p.open) == 1 {
			return false, fmt.Errorf("unexpected }")
		}
		p.take(1)
		p.open = p.open[:len(p.open)-1]
		return true, nil
	}
	if ok, err := p.include(); ok || err != nil {
		return true, err
	}
	return true, p.named()
}

// named reads a setting, or the beginning of a section.
func (p *parser) named() error {
	name := p.takeUntil(endOfName)
	if name == "" {
		return fmt.Errorf("unexpected %q", p.next())
	}
	if strings.Contains(name, "\x00") {
		return errNUL
	}
	if err := p.skip(); err != nil {
		return err
	}
	switch p.next() {
	case '=':
		p.take(1)
		return p.setting(name)
	case '{':
		p.take(1)
		return p.enter(name)
	case ':':
		return fmt.Errorf("%s refers to another section, which is not supported", name)
	}
	return fmt.Errorf("%s is followed by neither = nor {", name)
}

// enter opens a section, again where it was open before.
func (p *parser) enter(name string) error {
	if len(p.open) >= maxDepth {
		return fmt.Errorf("sections are nested too deep")
	}
	sub := p.current().Sections[name]
	if sub == nil {
		sub = &Section{}
		p.current().add(name, sub)
	}
	p.open = append(p.open, sub)
	return nil
}

// setting reads a value: words and quoted strings up to the end of the line, joined by
// single spaces. A key without any has none.
func (p *parser) setting(key string) error {
	var parts []string
	for {
		p.takeAll(" \t\r")
		switch p.next() {
		case '"':
			part, err := p.quoted()
			if err != nil {
				return err
			}
			parts = append(parts, part)
			continue
		case '\n', '#', '}':
		default:
			if word := p.takeUntil(endOfValue); word != "" {
				parts = append(parts, word)
				continue
			}
		}
		return p.assign(key, parts)
	}
}

func (p *parser) assign(key string, parts []string) error {
	if parts == nil {
		delete(p.current().Values, key)
		return nil
	}
	value := strings.Join(parts, " ")
	if strings.Contains(value, "\x00") {
		return errNUL
	}
	p.current().set(key, value)
	return nil
}

// quoted reads a string in quotes, which may go over several lines.
func (p *parser) quoted() (string, error) {
	var b strings.Builder
	for p.take(1); ; {
		b.WriteString(p.takeUntil("\"\\\r"))
		switch p.next() {
		case '"':
			p.take(1)
			return b.String(), nil
		case '\r':
			p.take(1)
		case '\\':
			if len(p.text) < 2 {
				return "", errOpenString
			}
			b.WriteString(p.escape())
		default:
			return "", errOpenString
		}
	}
}

// escape reads an escape sequence; one of a line end stands for nothing.
func (p *parser) escape() string {
	if strings.HasPrefix(p.text, "\\\r\n") {
		p.take(3)
		return ""
	}
	switch c := p.take(2)[1:]; c {
	case "n":
		return "\n"
	case "r":
		return "\r"
	case "t":
		return "\t"
	case "\n":
		return ""
	default:
		return c
	}
}

// include reads an include where one stands ahead.
func (p *parser) include() (bool, error) {
	rest, ok := strings.CutPrefix(p.text, "include")
	if !ok {
		return false, nil
	}
	// The word counts where white space follows it, and then anything but =.
	space := len(rest) - len(strings.TrimLeft(rest, "\t "))
	if space == len(rest) || rest[space] == '=' {
		space-- // which is then the character that is no =
	}
	if space < 1 {
		return false, nil
	}
	p.take(len("include") + space)
	pattern, err := p.pattern()
	if err != nil {
		return true, err
	}
	if strings.Contains(pattern, "\x00") {
		return true, errNUL
	}
	if pattern != "" { // strongSwan ignores an empty one
		p.current().Includes = append(p.current().Includes, pattern)
	}
	return true, nil
}

// pattern reads that of an include. A quoted part ends it.
func (p *parser) pattern() (string, error) {
	var b strings.Builder
	for {
		b.WriteString(p.takeUntil(endOfPattern))
		switch p.next() {
		case '"':
			last, err := p.quoted()
			return b.String() + last, err
		case '\r':
			p.take(1)
		case '\\':
			p.take(1)
			if c := p.next(); c != 0 && strings.IndexByte("\"#} ", c) >= 0 {
				b.WriteString(p.take(1))
			} else {
				b.WriteByte('\\')
			}
		default:
			return b.String(), nil
		}
	}
}

var (
	errOpenString = fmt.Errorf("string is not closed")
	errNUL        = fmt.Errorf("NUL byte")
)
