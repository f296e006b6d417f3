package nattest

import (
	"slices"
	"strings"
)

// spell is a rule as iptables-save 1.8.9 prints it, whatever the order and the spelling
// in which it was given. Measured with both kinds, which agree in that version.
func spell(spec string) string {
	s := speller{general: make(map[string]string)}
	for _, option := range cut(words(spec)) {
		s.option(option)
	}
	s.close()
	var out []string
	for _, name := range generalOptions {
		if v, ok := s.general[name]; ok {
			out = append(out, v)
		}
	}
	if len(s.target) == 3 && s.target[1] == "CONNMARK" {
		s.target = append(s.target, "--nfmask", "0xffffffff", "--ctmask", "0xffffffff")
	}
	return strings.Join(slices.Concat(out, s.matches, s.target), " ")
}

// speller collects the parts of a rule.
type speller struct {
	general         map[string]string // by option
	matches, target []string
	proto           string
	module          string // the match that options belong to
	named           bool   // it was printed
}

func (s *speller) option(o []string) {
	name := strings.TrimPrefix(o[0], "!")
	if name == "" {
		name = o[1]
	}
	switch {
	case slices.Contains(generalOptions, name):
		if name == "-p" {
			s.proto, s.module = o[len(o)-1], o[len(o)-1]
			o[len(o)-1] = protocol(s.proto)
		}
		s.general[name] = address(strings.Join(o, " "))
	case name == "-m":
		s.close()
		s.module, s.named = o[1], false
	case name == "-j" || name == "-g" || len(s.target) > 0:
		s.target = append(s.target, o...)
	default:
		s.name()
		at := len(s.matches)
		if name == "--sport" && at > 1 && s.matches[at-2] == "--dport" {
			at -= 2 // the source is printed first
		}
		s.matches = slices.Insert(s.matches, at, value(o)...)
	}
}

// protocol is the name that /etc/protocols has for a number.
func protocol(number string) string {
	names := map[string]string{"89": "ospf", "33": "dccp", "103": "pim"}
	if name, ok := names[number]; ok {
		return name
	}
	return number
}

// name prints the name of the match, once.
func (s *speller) name() {
	if !s.named {
		s.matches, s.named = append(s.matches, "-m", s.module), true
	}
}

// close ends a match. One without options prints its name alone, unless it is that of
// the protocol.
func (s *speller) close() {
	if s.module != "" && s.module != s.proto {
		s.name()
	}
}

// generalOptions are those of every rule, in the order in which they are printed.
var generalOptions = []string{"-s", "-d", "-i", "-o", "-p"}

// words cuts at white space outside of quotes.
func words(s string) []string {
	var out []string
	quoted, begun := false, false
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == ' ' && !quoted {
			begun = false
			continue
		}
		if !begun {
			out, begun = append(out, ""), true
		}
		last := &out[len(out)-1]
		if c == '"' {
			quoted = !quoted
		}
		if c == '\\' && quoted && i+1 < len(s) {
			*last += string(c)
			i++
			c = s[i]
		}
		*last += string(c)
	}
	return out
}

// cut groups the words of a rule into options with their values, a "!" ahead of them.
func cut(words []string) [][]string {
	var out [][]string
	for i, w := range words {
		starts := w == "!" || w[0] == '-' && len(w) > 1 && (i == 0 || words[i-1] != "!")
		if starts || len(out) == 0 {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], w)
	}
	return out
}

// address completes a lone address to a prefix.
func address(option string) string {
	name, v, _ := strings.Cut(strings.TrimPrefix(option, "! "), " ")
	if (name == "-s" || name == "-d") && !strings.Contains(v, "/") {
		if strings.Contains(v, ":") {
			return option + "/128"
		}
		return option + "/32"
	}
	return option
}

// orders are the sets that are printed in an order of their own.
var orders = map[string][]string{
	"--ctstate":   {"INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED"},
	"--tcp-flags": {"FIN", "SYN", "RST", "PSH", "ACK", "URG"},
}

// value prints the option of a match.
func value(o []string) []string {
	out := slices.Clone(o)
	opt := slices.IndexFunc(out, func(w string) bool { return w != "!" })
	for i := opt + 1; i < len(out); i++ {
		if order := orders[out[opt]]; order != nil {
			set := strings.Split(out[i], ",")
			slices.SortFunc(set, func(a, b string) int { return slices.Index(order, a) - slices.Index(order, b) })
			out[i] = strings.Join(set, ",")
		}
		if out[opt] == "--comment" {
			out[i] = comment(out[i])
		}
	}
	return out
}

// comment quotes as iptables does: anything that is not a plain word, and quotation
// marks of both sorts.
func comment(s string) string {
	s = strings.ReplaceAll(strings.Trim(s, `"`), `\`, "")
	plain := func(c rune) bool { return !strings.ContainsRune("/ '\"\\>:@<[]()*$&;|=", c) }
	if strings.IndexFunc(s, func(c rune) bool { return !plain(c) }) < 0 {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `'`, `\'`).Replace(s) + `"`
}

// targetOf is what a printed rule leads to.
func targetOf(spec string) string {
	w := words(spec)
	for i := range w[:max(len(w)-1, 0)] {
		if w[i] == "-j" || w[i] == "-g" {
			return w[i+1]
		}
	}
	return ""
}
