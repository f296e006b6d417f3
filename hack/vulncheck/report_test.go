package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCalled(t *testing.T) {
	const config = `{"config": {"protocol_version": "v1.0.0"}}`
	osv := func(id, goos string) string {
		return `{"osv": {"id": "` + id + `", "summary": "Bad", "affected": [{"ecosystem_specific": {"imports": [{"path": "p", "goos": [` + goos + `]}]}}]}}`
	}
	finding := func(id, pkg, function string) string {
		return `{"finding": {"osv": "` + id + `", "fixed_version": "v2", "trace": [{"module": "m", "version": "v1", "package": "` + pkg + `", "function": "` + function + `"}]}}`
	}
	line := "GO-1: Bad (m@v1, fixed in v2)"
	for _, tt := range []struct {
		name string
		in   []string
		want []string
	}{
		{"nothing", nil, nil},
		{"called", []string{osv("GO-1", ""), finding("GO-1", "p", "F"), finding("GO-1", "p", "G")}, []string{line}},
		{"only imported", []string{osv("GO-1", ""), finding("GO-1", "p", "")}, nil},
		{"on Windows", []string{osv("GO-1", `"windows"`), finding("GO-1", "p", "F")}, nil},
		{"on Linux, too", []string{osv("GO-1", `"windows", "linux"`), finding("GO-1", "p", "F")}, []string{line}},
		{"whole module", []string{osv("GO-1", `"windows"`), finding("GO-1", "q", "F")}, []string{line}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := called(strings.NewReader(config + strings.Join(tt.in, "\n")))
			if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
				t.Errorf("error %v, lines (-want +got):\n%s", err, diff)
			}
		})
	}
	for _, in := range []string{"", "{", "no json"} {
		if _, err := called(strings.NewReader(in)); err == nil {
			t.Errorf("no error for %q", in)
		}
	}
}
