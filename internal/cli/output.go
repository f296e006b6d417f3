package cli

import (
	"bytes"
	"encoding/json"
	"fmt"

	"gopkg.in/yaml.v3"

	"github.com/vpnctl/vpnctl/internal/plan"
)

// The output formats.
const (
	formatText = "text"
	formatJSON = "json"
	formatYAML = "yaml"
)

var formats = []string{formatText, formatJSON, formatYAML}

// print writes to standard output. That it is closed stops no apply.
func (g *globals) print(format string, args ...any) {
	_, _ = fmt.Fprintf(g.Stdout, format, args...)
}

func (g *globals) palette() plan.Palette {
	if g.colours() {
		return plan.ANSI
	}
	return plan.Palette{}
}

// printDocument prints a value as JSON or, field for field the same, as YAML.
func (g *globals) printDocument(v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // "have -> want" is for people, too
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encoding output: %w", err)
	}
	if g.output == formatYAML {
		// Every JSON text is a YAML text: only its style changes, so that both have
		// the same fields in the same order.
		var doc yaml.Node
		if err := yaml.Unmarshal(b.Bytes(), &doc); err != nil {
			return fmt.Errorf("encoding output: %w", err)
		}
		plainStyle(&doc)
		out, err := yaml.Marshal(&doc)
		if err != nil {
			return fmt.Errorf("encoding output: %w", err)
		}
		b.Reset()
		b.Write(out)
	}
	g.print("%s", b.String())
	return nil
}

// plainStyle takes the braces of JSON away. Empty lists and mappings keep theirs, and a
// text that looks like a number its quotes.
func plainStyle(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Tag != "!!str" || len(n.Content) > 0 {
		n.Style = 0
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		n.Style &^= yaml.DoubleQuotedStyle // the encoder quotes where it must
	}
	for _, c := range n.Content {
		plainStyle(c)
	}
}
