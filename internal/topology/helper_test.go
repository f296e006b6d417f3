package topology

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/topology/source"
)

// head begins a topology of four nodes, of which two can be dialled; what a
// test adds starts in line 4.
const head = `version: 1
site: s
nodes: {a: {addresses: [192.0.2.1]}, b: {addresses: [192.0.2.2]}, c: {}, d: {}}
`

// words stand for what would make the tables unreadable: public keys K1 to K9
// and LONG, 256 bytes of text.
var words = func() *strings.Replacer {
	pairs := []string{"LONG", strings.Repeat("x", 256)}
	for i := range 9 {
		pairs = append(pairs, fmt.Sprintf("K%d", i+1), testKey(byte(i+1)))
	}
	return strings.NewReplacer(pairs...)
}()

// testKey returns 32 equal bytes as wg(8) writes a key.
func testKey(b byte) string {
	return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(string(rune(b)), 32)))
}

// parseText reads a topology of the name f and returns its errors and warnings
// as they are printed.
func parseText(t *testing.T, src string) (top *Topology, errs, warns []string) {
	t.Helper()
	top, warnings, err := Parse("f", []byte(src))
	var list source.Errors
	if err != nil && !errors.As(err, &list) {
		t.Fatalf("the error is no list: %v", err)
	}
	for _, e := range list {
		errs = append(errs, e.Error())
	}
	for _, w := range warnings {
		warns = append(warns, w.String())
	}
	return top, errs, warns
}

// refusal is a topology and all errors that it has; whole ones bring their own
// head.
type refusal struct {
	name  string
	whole bool
	yaml  string
	want  []string
}

func (r refusal) src() string {
	if r.whole {
		return words.Replace(r.yaml)
	}
	return head + words.Replace(r.yaml)
}

func testRefusals(t *testing.T, tests []refusal) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, got, _ := parseText(t, tt.src())
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
			for _, message := range got {
				if strings.Contains(message, "hunter2") {
					t.Errorf("shows a secret: %s", message)
				}
			}
		})
	}
}

// testWarnings does the same for topologies that are right and have warnings.
func testWarnings(t *testing.T, tests []refusal) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, errs, got := parseText(t, tt.src())
			if len(errs) > 0 {
				t.Errorf("has errors: %q", errs)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}
