package spelling

import (
	"testing"
	"testing/quick"
)

func TestNearest(t *testing.T) {
	known := []string{"addresses", "listen_port", "mtu", "public_key", "psk", "hub"}
	tests := []struct{ word, want string }{
		{"adresses", "addresses"},
		{"listenport", "listen_port"},
		{"Listen_Port", "listen_port"},
		{"pubilc_key", "public_key"},
		{"mtv", "mtu"},
		{"umt", ""},
		{"networks", ""},
		{"", ""},
		{"hb", ""},
		{"pks", "psk"},
	}
	for _, tt := range tests {
		if got := Nearest(tt.word, known); got != tt.want {
			t.Errorf("Nearest(%q) = %q, want %q", tt.word, got, tt.want)
		}
	}
}

func TestNearestTakesTheFirstOfEquals(t *testing.T) {
	if got := Nearest("gw-c", []string{"gw-a", "gw-b"}); got != "gw-a" {
		t.Errorf("Nearest = %q, want gw-a", got)
	}
}

func TestDistance(t *testing.T) {
	tests := []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"kitten", "sitting", 3},
		{"ab", "ba", 1},
		{"abcd", "acbd", 1},
		{"same", "same", 0},
	}
	for _, tt := range tests {
		if got := Distance(tt.a, tt.b); got != tt.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestDistanceIsSymmetric(t *testing.T) {
	symmetric := func(a, b string) bool { return Distance(a, b) == Distance(b, a) }
	if err := quick.Check(symmetric, nil); err != nil {
		t.Error(err)
	}
}
