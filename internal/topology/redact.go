package topology

import (
	"errors"
	"fmt"

	"gopkg.in/yaml.v3"
)

// inlineSecret is where the value of a secret stands in the file.
type inlineSecret struct{ key, value *yaml.Node }

// Redact returns a valid topology with "(secret)" in place of each secret's
// value, everything else as it stands: it is what may be kept of a file. What
// is redacted reads like the original, less the values.
func Redact(name string, src []byte) ([]byte, error) {
	found, err := parseSecrets(name, src)
	if err != nil {
		return nil, err
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
		return nil, fmt.Errorf("reading the redacted topology: %w", err)
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
