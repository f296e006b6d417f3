package nat

import "strings"

// split cuts a line of iptables-save into words. A quoted word keeps its quotes, so that
// it can be told from an option and written back as it was.
func split(line string) ([]string, error) {
	var words []string
	for i := 0; i < len(line); {
		if line[i] == ' ' || line[i] == '\t' {
			i++
			continue
		}
		end, err := wordEnd(line, i)
		if err != nil {
			return nil, err
		}
		words = append(words, line[i:end])
		i = end
	}
	return words, nil
}

// wordEnd finds the end of the word that begins at i: white space outside of quotes.
func wordEnd(line string, i int) (int, error) {
	quoted := false
	for ; i < len(line); i++ {
		switch c := line[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ' ' || c == '\t'):
			return i, nil
		}
	}
	if quoted || i > len(line) {
		return 0, errUnterminated
	}
	return len(line), nil
}

// isOption reports whether a word begins an option. Quoted words never do.
func isOption(word string) bool {
	return word == "!" || len(word) > 1 && word[0] == '-'
}

// quote renders a string as one word. It quotes whatever might be taken for something
// else.
func quote(s string) string {
	if s != "" && strings.IndexFunc(s, special) < 0 && s[0] != '-' {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

func special(c rune) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return false
	}
	return !strings.ContainsRune("_-./:+@%,", c)
}

// unquote is the inverse of quote, for what other programs quote as well.
func unquote(word string) string {
	if !strings.Contains(word, `"`) {
		return word
	}
	var b strings.Builder
	quoted := false
	for i := 0; i < len(word); i++ {
		switch c := word[i]; {
		case quoted && c == '\\' && i+1 < len(word):
			i++
			b.WriteByte(word[i])
		case c == '"':
			quoted = !quoted
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
