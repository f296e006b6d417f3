package backend_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/vpnctl/vpnctl/internal/backend"
)

func TestValue(t *testing.T) {
	tests := []struct {
		name   string
		value  backend.Value
		text   string
		shown  string
		ok     bool
		secret bool
	}{
		{"absent", backend.Value{}, "(none)", "", false, false},
		{"text", backend.Text("1400"), "1400", "1400", true, false},
		{"empty text", backend.Text(""), "", "", true, false},
		{"secret", backend.Secret(), "(secret)", "", false, true},
	}
	for _, tt := range tests {
		shown, ok := tt.value.Get()
		if tt.value.String() != tt.text || shown != tt.shown || ok != tt.ok || tt.value.IsSecret() != tt.secret {
			t.Errorf("%s: %q, %q, %v, secret %v", tt.name, tt.value, shown, ok, tt.value.IsSecret())
		}
	}
}

func TestLevel(t *testing.T) {
	for l, name := range map[backend.Level]string{backend.None: "none", backend.Reload: "reload", backend.Disrupt: "disrupt"} {
		if l.String() != name {
			t.Errorf("level %d is %q, want %q", l, l, name)
		}
		if got, ok := backend.ParseLevel(name); got != l || !ok {
			t.Errorf("ParseLevel(%s) = %v, %v", name, got, ok)
		}
	}
	if backend.None >= backend.Reload || backend.Reload >= backend.Disrupt {
		t.Error("levels are not in the order of what they cost")
	}
	for _, word := range []string{"", "Disrupt", "all"} {
		if _, ok := backend.ParseLevel(word); ok {
			t.Errorf("%q is a level", word)
		}
	}
}

func TestAction(t *testing.T) {
	for a, want := range map[backend.Action]string{
		backend.Create: "+ create", backend.Update: "~ update", backend.Delete: "- delete", 'x': "x unknown",
	} {
		if got := fmt.Sprintf("%c %s", a, a); got != want {
			t.Errorf("action %q, want %q", got, want)
		}
	}
}

func TestSortFields(t *testing.T) {
	fields := backend.SortFields([]backend.Field{{Name: "mtu"}, {Name: "addresses"}, {Name: "fwmark"}})
	if got := fmt.Sprint(fields[0].Name, fields[1].Name, fields[2].Name); got != "addressesfwmarkmtu" {
		t.Errorf("order is %s", got)
	}
}

func TestRefusal(t *testing.T) {
	tests := []struct {
		refusal *backend.Refusal
		want    string
	}{
		{backend.Refuse("wireguard/wg0", "rename it", "port %d is taken", 51820), "wireguard/wg0: port 51820 is taken; rename it"},
		{backend.Refuse("nat", "", "no iptables"), "nat: no iptables"},
	}
	for _, tt := range tests {
		if got := tt.refusal.Error(); got != tt.want {
			t.Errorf("refusal %q, want %q", got, tt.want)
		}
	}
	refusal := tests[0].refusal
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("other"), false},
		{refusal, true},
		{fmt.Errorf("checking: %w", refusal), true},
		{errors.Join(errors.New("other"), refusal), true},
	} {
		if got := backend.IsRefusal(tt.err); got != tt.want {
			t.Errorf("IsRefusal(%v) = %v", tt.err, got)
		}
	}
}
