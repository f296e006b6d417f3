package nattest

import (
	"slices"
	"strings"
)

// spell is a rule as iptables-save 1.8.9 prints it, whatever the order and the spelling
// in which it was given. Measured with both kinds, which agree in that version.
func spell(spec string) string {
	general := make(map[string]string)
	var matches, target []string
	module, declared, proto := "", "", ""
	options := cut(words(spec))
	if i := slices.IndexFunc(options, func(o []string) bool { return o[len(o)-2] == "-p" }); i >= 0 {
		proto = options[i][len(options[i])-1]
	}
	for _, o := range options {
		opt := strings.TrimPrefix(strings.Join(o, " "), "! ")
		name, _, _ := strings.Cut(opt, " ")
		switch {
		case slices.Contains(generalOptions, name):
			general[name] = address(strings.Join(o, " "))
		case name == "-m":
			module = o[1]
		case name == "-j" || name == "-g":
			target = append(target, o...)
		case len(target) > 0:
			target = append(target, o...)
		default:
			if module == "" {
				module = proto // "-p udp --dport"
			}
			if declared != module {
				matches, declared = append(matches, "-m", module), module
			}
			matches = append(matches, value(o)...)
			continue
		}
		// A match without options prints its name alone.
		if name == "-m" && module != proto {
			matches, declared = append(matches, "-m", module), module
		}
	}
	var out []string
	for _, name := range generalOptions {
		if v, ok := general[name]; ok {
			out = append(out, v)
		}
	}
	out = slices.Concat(out, matches, target)
	if len(target) > 2 && target[1] == "CONNMARK" && len(target) == 3 {
		out = append(out, "--nfmask", "0xffffffff", "--ctmask", "0xffffffff")
	}
	return strings.Join(out, " ")
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
	for i, o := range out {
		if len(o) == 1 {
			out[i] = append(o, "") // an option without value
		}
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
	out := slices.DeleteFunc(slices.Clone(o), func(w string) bool { return w == "" })
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
