package swanctl_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/swanctl"
)

func TestItems(t *testing.T) {
	tests := []struct {
		value string
		want  []string
	}{
		{"", nil},
		{" , ,, ", nil},
		{"a", []string{"a"}},
		{"a, b ,c", []string{"a", "b", "c"}},
		{",a,,b,", []string{"a", "b"}},
		{"a b, c", []string{"a b", "c"}},
		{`"a, b" , 'c '`, []string{"a, b", "c "}},
		{`"a"b`, []string{"a", "b"}},
		{`"a, b`, []string{`"a`, "b"}},
	}
	for _, tt := range tests {
		s := &swanctl.Section{Values: values{"key": tt.value}}
		if diff := cmp.Diff(tt.want, s.Items("key")); diff != "" {
			t.Errorf("Items of %q (-want +got):\n%s", tt.value, diff)
		}
	}
}

func TestSection(t *testing.T) {
	s, err := swanctl.Parse([]byte("b = 1\na = 2\ny { c = 3\n z { d = 4\n include e } }\nx { f = 5 }"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b"}, s.Keys()); diff != "" {
		t.Errorf("Keys (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"x", "y"}, s.Names()); diff != "" {
		t.Errorf("Names (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(values{"a": "2", "b": "1", "y.c": "3", "y.z.d": "4"}, s.Flatten("x", "z")); diff != "" {
		t.Errorf("Flatten (-want +got):\n%s", diff)
	}
	if got := s.Sub("y").Sub("z").Values["d"]; got != "4" {
		t.Errorf("y.z.d is %q", got)
	}

	clone := s.Clone()
	if diff := cmp.Diff(s, clone); diff != "" {
		t.Errorf("Clone (-want +got):\n%s", diff)
	}
	clone.Sub("y").Sub("z").Values["d"] = "other"
	clone.Sub("y").Sub("z").Includes[0] = "other"
	if z := s.Sub("y").Sub("z"); z.Values["d"] != "4" || z.Includes[0] != "e" {
		t.Errorf("a change of the clone changed the original: %v", z)
	}
}

func TestNoSection(t *testing.T) {
	var s *swanctl.Section
	for _, s := range []*swanctl.Section{s, s.Sub("a"), (&swanctl.Section{}).Sub("a").Sub("b")} {
		if s.Sub("a") == nil || s.Names() != nil || s.Keys() != nil || s.Items("a") != nil || len(s.Flatten()) > 0 {
			t.Errorf("%v is not empty", s)
		}
	}
	if s.Clone() != nil {
		t.Error("the clone of none is some")
	}
}
