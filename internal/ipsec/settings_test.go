package ipsec_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/plan"
)

// TestPlugins: charon is restarted where it has loaded what it shall not have, and nowhere
// else; the plan says whom that costs what, and undoing it brings the plugins back.
func TestPlugins(t *testing.T) {
	const restarted = `
~ daemon/charon-systemd
    plugin %s
    ! restarts charon: interrupts 1 tunnel (a 192.168.20.20)
`
	tests := []struct {
		name    string
		want    func(r *rig) *desired.State
		before  func(r *rig)
		plan    string // of the daemon
		plugins string // afterwards
	}{
		{"no client", func(r *rig) *desired.State { return state(net(r, "a"), net(r, "b")) }, nil, "", "kernel-netlink resolve vici"},
		{"a client", func(r *rig) *desired.State { return state(net(r, "a"), dialIn(r, false)) }, nil,
			strings.Replace(restarted, "%s", "resolve: yes -> no", 1), "kernel-netlink vici"},
		{"a client, nobody online", func(r *rig) *desired.State { return state(net(r, "a"), dialIn(r, false)) },
			func(r *rig) { r.charon.Disconnect("") },
			"\n~ daemon/charon-systemd\n    plugin resolve: yes -> no\n    restarts charon\n", "kernel-netlink vici"},
		{"a client that uses them", func(r *rig) *desired.State { return state(net(r, "a"), dialIn(r, true)) }, nil, "",
			"kernel-netlink resolve vici"},
		{"a kernel without ESP", func(r *rig) *desired.State { return state(net(r, "a")) },
			func(r *rig) { r.kernel.NoESP = true },
			strings.Replace(restarted, "%s", "kernel-libipsec: no -> yes", 1), "kernel-libipsec kernel-netlink resolve vici"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.apply(state(net(r, "a")))
			if tt.before != nil {
				tt.before(r)
			}
			want := tt.want(r)
			p := r.plan(want)
			text := "\n" + p.Text(plan.Palette{})
			if tt.plan == "" && strings.Contains(text, "daemon/") || !strings.Contains(text, tt.plan) {
				t.Errorf("plan is%s\nwithout%s", text, tt.plan)
			}
			before := r.state() + strings.Join(r.charon.Plugins(), " ")
			if err := r.do(p); err != nil {
				t.Fatal(err)
			}
			if err := r.undo(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, r.state()+strings.Join(r.charon.Plugins(), " ")); diff != "" {
				t.Errorf("undone (-before +after):\n%s", diff)
			}
			r.apply(want)
			if diff := cmp.Diff(tt.plugins, strings.Join(r.charon.Plugins(), " ")); diff != "" {
				t.Errorf("plugins (-want +got):\n%s", diff)
			}
		})
	}
}
