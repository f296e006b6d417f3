package plan_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/plan"
)

// whole has every kind of line that a plan can hold.
var whole = []backend.Change{
	{Action: backend.Create, Object: "wireguard/wg0/peer/linux2", Fields: []backend.Field{
		{Name: "allowed_ips", Want: backend.Text("10.0.0.2/32, 10.13.0.0/16")},
		{Name: "preshared_key", Want: backend.Secret()},
	}},
	{Action: backend.Create, Object: "nat/linux2/rule/10.0.0.0/16->ens224"},
	{Action: backend.Update, Object: "ipsec/hq-branch", Note: "takes effect once the other end applies too", Fields: []backend.Field{
		{Name: "dpd_delay", Have: backend.Text("30s")},
		{Name: "psk", Have: backend.Secret(), Want: backend.Secret()},
	}, Impact: backend.Impact{Level: backend.Reload, What: "reloads charon"}},
	{Action: backend.Update, Object: "l2tp/office", Fields: []backend.Field{text("local_ip", "192.168.130.1", "192.168.130.2")},
		Impact: backend.Impact{
			Level: backend.Disrupt, What: "restarts xl2tpd: drops 2 sessions", Sessions: []backend.Session{user1, user2},
		}},
	{Action: backend.Delete, Object: "wireguard/wg0/peer/east", Impact: backend.Impact{
		Level: backend.Disrupt, What: "removes the peer: ends 1 session", Sessions: []backend.Session{east},
	}},
	{Action: backend.Delete, Object: "file/etc/xl2tpd/xl2tpd.conf"},
}

const wholeText = `+ wireguard/wg0/peer/linux2
    allowed_ips: 10.0.0.2/32, 10.13.0.0/16
    preshared_key: (secret)
+ nat/linux2/rule/10.0.0.0/16->ens224
~ ipsec/hq-branch (takes effect once the other end applies too)
    dpd_delay: 30s -> (none)
    psk: (secret) -> (secret)
    reloads charon
~ l2tp/office
    local_ip: 192.168.130.1 -> 192.168.130.2
    ! restarts xl2tpd: drops 2 sessions (user1 192.168.130.100, user2 192.168.130.50)
- wireguard/wg0/peer/east
    ! removes the peer: ends 1 session (east)
- file/etc/xl2tpd/xl2tpd.conf
plan: 2 to create, 2 to update, 2 to delete; 2 disruptive
`

func TestText(t *testing.T) {
	if diff := cmp.Diff(wholeText, one(whole...).Text(plan.Palette{})); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
}

func TestTextOfOne(t *testing.T) {
	update := func(i backend.Impact) backend.Change {
		return backend.Change{Action: backend.Update, Object: "pptp/legacy", Impact: i}
	}
	tests := []struct {
		name    string
		changes []backend.Change
		want    string
	}{
		{"nothing", nil, "no changes\n"},
		{"no impact", []backend.Change{update(backend.Impact{})},
			"~ pptp/legacy\nplan: 0 to create, 1 to update, 0 to delete; 0 disruptive\n"},
		{"what costs nothing is not told", []backend.Change{update(backend.Impact{What: "nothing"})},
			"~ pptp/legacy\nplan: 0 to create, 1 to update, 0 to delete; 0 disruptive\n"},
		{"a reload without a word", []backend.Change{update(backend.Impact{Level: backend.Reload})},
			"~ pptp/legacy\nplan: 0 to create, 1 to update, 0 to delete; 0 disruptive\n"},
		{"disruption of no session", []backend.Change{update(backend.Impact{Level: backend.Disrupt, What: "closes the tunnel"})},
			"~ pptp/legacy\n    ! closes the tunnel\nplan: 0 to create, 1 to update, 0 to delete; 1 disruptive\n"},
		{"disruption without a word", []backend.Change{update(backend.Impact{Level: backend.Disrupt, Sessions: []backend.Session{user1}})},
			"~ pptp/legacy\n    ! interrupts what is live (user1 192.168.130.100)\nplan: 0 to create, 1 to update, 0 to delete; 1 disruptive\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, one(tt.changes...).Text(plan.Palette{})); diff != "" {
				t.Errorf("text (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTextOfLongLists(t *testing.T) {
	rule := strings.Repeat("x", 50)
	field := func(have, want backend.Value) []backend.Field {
		return []backend.Field{{Name: "nat/POSTROUTING", Have: have, Want: want}}
	}
	two := backend.Text(rule + "; " + rule)
	tests := []struct {
		name   string
		change backend.Change
		want   string
	}{
		{"fits", backend.Change{Action: backend.Create, Object: "o", Fields: field(backend.Value{}, backend.Text("a; b"))},
			"+ o\n    nat/POSTROUTING: a; b\n"},
		{"created", backend.Change{Action: backend.Create, Object: "o", Fields: field(backend.Value{}, two)},
			"+ o\n    nat/POSTROUTING:\n      " + rule + "\n      " + rule + "\n"},
		{"updated", backend.Change{Action: backend.Update, Object: "o", Fields: field(two, backend.Text("a"))},
			"~ o\n    nat/POSTROUTING:\n      " + rule + "\n      " + rule + "\n      -> a\n"},
		{"no list", backend.Change{Action: backend.Create, Object: "o", Fields: field(backend.Value{}, backend.Text(rule+rule))},
			"+ o\n    nat/POSTROUTING: " + rule + rule + "\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _, _ := strings.Cut(one(tt.change).Text(plan.Palette{}), "plan:")
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("text (-want +got):\n%s", diff)
			}
		})
	}
}

// Colour is beside the text: without it, the same is said.
func TestTextInColour(t *testing.T) {
	marks := plan.Palette{Create: "<c>", Update: "<u>", Delete: "<d>", Cost: "<!>", Reset: "</>"}
	got := one(whole...).Text(marks)
	for _, line := range []string{
		"<c>+ wireguard/wg0/peer/linux2</>\n",
		"<u>~ ipsec/hq-branch</> (takes effect once the other end applies too)\n",
		"    <!>! removes the peer: ends 1 session (east)</>\n",
		"<d>- file/etc/xl2tpd/xl2tpd.conf</>\n",
	} {
		if !strings.Contains(got, line) {
			t.Errorf("no line %q in\n%s", line, got)
		}
	}
	plain := strings.NewReplacer("<c>", "", "<u>", "", "<d>", "", "<!>", "", "</>", "").Replace(got)
	if diff := cmp.Diff(wholeText, plain); diff != "" {
		t.Errorf("without colour (-want +got):\n%s", diff)
	}
}
