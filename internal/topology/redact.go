package topology

import (
	"errors"
	"fmt"

	"gopkg.in/yaml.v3"

	"github.com/vpnctl/vpnctl/internal/topology/source"
)

// inlineSecret is where the value of a secret stands in the file.
type inlineSecret struct{ key, value *yaml.Node }

// ParseRedacted is Parse, and returns the text that may be kept of the file, as Redact
// does. It is for who needs both: reading a large file is slow.
func ParseRedacted(name string, src []byte) (*Topology, []byte, []Warning, error) {
	r := &reader{file: name}
	t, warnings, err := r.parse(src)
	if err != nil {
		return nil, nil, warnings, err
	}
	text, problem := redact(name, src, r.secrets)
	if problem != nil {
		return nil, nil, warnings, source.Errors{problem}
	}
	return t, text, warnings, nil
}

// Redact returns a valid topology with "(secret)" in place of each secret's
// value, everything else as it stands: it is what may be kept of a file. What
// is redacted reads like the original, less the values.
func Redact(name string, src []byte) ([]byte, error) {
	_, text, _, err := ParseRedacted(name, src)
	return text, err
}

// redact replaces the secrets that were found.
func redact(name string, src []byte, found []inlineSecret) ([]byte, *source.Error) {
	if len(found) == 0 {
		return src, nil
	}
	t := newText(src)
	for _, s := range found {
		from := t.offset(s.value)
		to := -1
		if from >= 0 {
			to = t.scalarEnd(s.value, from, s.key.Column-1)
		}
		if to < 0 {
			return nil, at(name, s.value.Line, s.value.Column, errUnclear)
		}
		t.replace(from, to, `"`+placeholder+`"`)
	}
	out := t.result()
	// Whatever was misread must not reach the disk.
	left, err := parseSecrets(name, out)
	if err != nil {
		return nil, whole(name, fmt.Errorf("reading the redacted topology: %w", err))
	}
	for _, s := range left {
		if s.value.Value != placeholder {
			return nil, at(name, s.value.Line, s.value.Column, errUnclear)
		}
	}
	if len(left) != len(found) {
		return nil, at(name, 1, 1, errUnclear)
	}
	return out, nil
}

var errUnclear = errors.New("it is not clear where the secret ends; write it in double quotes on one line")

func parseSecrets(name string, src []byte) ([]inlineSecret, error) {
	r := &reader{file: name}
	_, _, err := r.parse(src)
	return r.secrets, err
}
