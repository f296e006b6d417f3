package ipsec_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/plan"
)

// up applies a state and lets its tunnels come up.
func (r *rig) up(s *desired.State) *rig {
	r.t.Helper()
	r.apply(s)
	r.charon.BringUp()
	r.charon.Calls()
	return r
}

// TestPlan holds the words of plans, and what charon is told by them.
func TestPlan(t *testing.T) {
	const conf = "~ file/etc/swanctl/conf.d/vpnctl.conf\n    content: (secret) -> (secret)\n"
	tests := []struct {
		name  string
		from  func(r *rig) *desired.State
		live  func(r *rig) // what happens in between
		to    func(r *rig) *desired.State
		plan  string
		calls string
	}{
		{"nothing",
			func(*rig) *desired.State { return state() }, nil,
			func(*rig) *desired.State { return state() }, plan.NoChanges, ""},
		{"the same",
			func(r *rig) *desired.State { return state(net(r, "a"), roadwarriors(r, "10.99.0.0/24", "alice")) }, nil,
			func(r *rig) *desired.State { return state(net(r, "a"), roadwarriors(r, "10.99.0.0/24", "alice")) }, plan.NoChanges, ""},
		{"a new connection",
			func(*rig) *desired.State { return state() }, nil,
			func(r *rig) *desired.State { return state(net(r, "a")) }, `
+ file/etc/swanctl/conf.d/vpnctl.conf
    content: (secret)
    mode: 0600
+ ipsec/a
    dpd_delay: 30s
    local.auth: psk
    local.id: 192.168.10.10
    local_addrs: 192.168.10.10
    proposals: aes128-sha256-modp2048
    psk: (secret)
    psk_id-1: 192.168.10.10
    psk_id-2: 192.168.20.20
    remote.auth: psk
    remote.id: 192.168.20.20
    remote_addrs: 192.168.20.20
    version: 2
+ ipsec/a/child/a
    dpd_action: restart
    esp_proposals: aes128-sha256
    local_ts: 10.10.0.0/24
    mode: tunnel
    remote_ts: 10.14.0.0/24
    start_action: trap
plan: 3 to create, 0 to update, 0 to delete; 0 disruptive
`, "load-shared ike-a, load-conn a, initiate a/a"},
		{"one beside another",
			func(r *rig) *desired.State { return state(net(r, "a"), net(r, "b")) }, nil,
			func(r *rig) *desired.State { return state(net(r, "a")) }, conf + `
- ipsec/b
    ! closes IKE_SA b: ends 1 tunnel (b 192.168.20.20)
plan: 0 to create, 1 to update, 1 to delete; 1 disruptive
`, "unload-conn b, unload-shared ike-b, terminate b"},
		{"another IKE proposal",
			func(r *rig) *desired.State { return state(net(r, "a")) }, nil,
			func(r *rig) *desired.State { return state(net(r, "a", proposals("aes256-sha384-ecp256"))) }, conf + `
~ ipsec/a (takes effect once the other end applies too)
    proposals: aes128-sha256-modp2048 -> aes256-sha384-ecp256
    ! replaces IKE_SA a: interrupts 1 tunnel (a 192.168.20.20)
plan: 0 to create, 2 to update, 0 to delete; 1 disruptive
`, "load-conn a, terminate a, initiate a/a"},
		{"the same, while it is down",
			func(r *rig) *desired.State { return state(net(r, "a", initiate(desired.InitiateSecond))) },
			func(r *rig) { r.charon.Disconnect("") },
			func(r *rig) *desired.State {
				return state(net(r, "a", initiate(desired.InitiateSecond), proposals("aes256-sha384-ecp256")))
			}, conf + `
~ ipsec/a (takes effect once the other end applies too)
    proposals: aes128-sha256-modp2048 -> aes256-sha384-ecp256
plan: 0 to create, 2 to update, 0 to delete; 0 disruptive
`, "load-conn a"},
		{"another child",
			func(r *rig) *desired.State { return state(net(r, "a", withChild("a2"))) }, nil,
			func(r *rig) *desired.State { return state(net(r, "a", withChild("a2"), esp("aes256gcm16"))) }, conf + `
~ ipsec/a/child/a (takes effect once the other end applies too)
    esp_proposals: aes128-sha256 -> aes256gcm16
    ! replaces CHILD_SA a: interrupts 1 tunnel (a 192.168.20.20)
plan: 0 to create, 2 to update, 0 to delete; 1 disruptive
`, "load-conn a, terminate a/a, initiate a/a"},
		{"a child more",
			func(r *rig) *desired.State { return state(net(r, "a")) }, nil,
			func(r *rig) *desired.State { return state(net(r, "a", withChild("a2"))) }, conf + `
+ ipsec/a/child/a2
    dpd_action: restart
    esp_proposals: aes128-sha256
    local_ts: 10.11.0.0/24
    mode: tunnel
    remote_ts: 10.14.0.0/24
    start_action: trap
plan: 1 to create, 1 to update, 0 to delete; 0 disruptive
`, "load-conn a, initiate a/a2"},
		{"a child less",
			func(r *rig) *desired.State { return state(net(r, "a", withChild("a2"))) }, nil,
			func(r *rig) *desired.State { return state(net(r, "a")) }, conf + `
- ipsec/a/child/a2
    ! closes CHILD_SA a2: ends 1 tunnel (a 192.168.20.20)
plan: 0 to create, 1 to update, 1 to delete; 1 disruptive
`, "load-conn a, terminate a/a2"},
		{"another PSK",
			func(r *rig) *desired.State { return state(net(r, "a")) }, nil,
			func(r *rig) *desired.State { return state(net(r, "a"), psk(r, "a", "other")) }, conf + `
~ ipsec/a (takes effect once the other end applies too)
    psk: (secret) -> (secret)
plan: 0 to create, 2 to update, 0 to delete; 0 disruptive
`, "load-shared ike-a"},
		{"a user less, logged in",
			func(r *rig) *desired.State { return state(roadwarriors(r, "10.99.0.0/24", "alice", "bob")) },
			func(r *rig) {
				r.charon.Connect("rw", "rw", "alice", "rw-4", "203.0.113.1")
				r.charon.Connect("rw", "rw", "bob", "rw-4", "203.0.113.2")
			},
			func(r *rig) *desired.State { return state(roadwarriors(r, "10.99.0.0/24", "bob")) }, conf + `
- ipsec/rw/user/alice
    ! removes user alice: ends 1 session (alice 10.99.0.1)
plan: 0 to create, 1 to update, 1 to delete; 1 disruptive
`, "unload-shared eap-rw-alice, terminate rw alice"},
		{"a user less, logged in under his own name",
			func(r *rig) *desired.State { return state(roadwarriors(r, "10.99.0.0/24", "alice", "bob")) },
			func(r *rig) {
				r.charon.ConnectAs("rw", "rw", "alice", "rw-4", "203.0.113.1")
				r.charon.ConnectAs("rw", "rw", "bob", "rw-4", "203.0.113.2")
			},
			func(r *rig) *desired.State { return state(roadwarriors(r, "10.99.0.0/24", "bob")) }, conf + `
- ipsec/rw/user/alice
    ! removes user alice: ends 1 session (alice 10.99.0.1)
plan: 0 to create, 1 to update, 1 to delete; 1 disruptive
`, "unload-shared eap-rw-alice, terminate rw"},
		{"a client less, one of them logged in",
			func(r *rig) *desired.State { return state(dialled(r, "branch", "depot", "kiosk")) },
			func(r *rig) {
				r.charon.ConnectAs("rw", "rw", "branch.example.net", "rw-4", "203.0.113.1")
				r.charon.ConnectAs("rw", "rw", "kiosk.example.net", "rw-4", "203.0.113.2")
			},
			func(r *rig) *desired.State { return state(dialled(r, "kiosk")) }, `
- ipsec/rw/client/branch
    ! removes client branch: ends 1 tunnel (branch.example.net 10.99.0.1)
plan: 0 to create, 0 to update, 1 to delete; 1 disruptive
`, "terminate rw"},
		{"another pool, somebody in it",
			func(r *rig) *desired.State { return state(roadwarriors(r, "10.99.0.0/24", "alice")) },
			func(r *rig) { r.charon.Connect("rw", "rw", "alice", "rw-4", "203.0.113.1") },
			func(r *rig) *desired.State { return state(roadwarriors(r, "10.98.0.0/24", "alice")) }, conf + `
+ ipsec/rw/pool/rw-4-2
    addrs: 10.98.0.0/24
    dns: 10.10.0.53
~ ipsec/rw
    pools: rw-4 -> rw-4-2
plan: 1 to create, 2 to update, 0 to delete; 0 disruptive
`, "load-pool rw-4-2, load-conn rw"},
		{"another pool, nobody in it",
			func(r *rig) *desired.State { return state(roadwarriors(r, "10.99.0.0/24", "alice")) }, nil,
			func(r *rig) *desired.State { return state(roadwarriors(r, "10.98.0.0/24", "alice")) }, conf + `
~ ipsec/rw/pool/rw-4
    addrs: 10.99.0.0/24 -> 10.98.0.0/24
plan: 0 to create, 2 to update, 0 to delete; 0 disruptive
`, "load-pool rw-4"},
		{"drift: a connection unloaded by hand",
			func(r *rig) *desired.State { return state(net(r, "a")) },
			func(r *rig) { r.charon.Forget("a") },
			func(r *rig) *desired.State { return state(net(r, "a")) }, `
~ ipsec/a
    loaded: no -> yes
plan: 0 to create, 1 to update, 0 to delete; 0 disruptive
`, "load-conn a"},
		{"drift: the file edited",
			func(r *rig) *desired.State { return state(net(r, "a")) },
			func(r *rig) {
				r.files.Put("/etc/swanctl/conf.d/vpnctl.conf", "connections { a { version = 1 } }", 0o600)
			},
			func(r *rig) *desired.State { return state(net(r, "a")) }, conf + `
plan: 0 to create, 1 to update, 0 to delete; 0 disruptive
`, ""},
		{"drift: charon killed",
			func(r *rig) *desired.State { return state(net(r, "a")) },
			func(r *rig) { r.charon.Kill() },
			func(r *rig) *desired.State { return state(net(r, "a")) }, `
+ file/etc/strongswan.d/vpnctl.conf
    content: sha256 29165b53d58b
    mode: 0644
+ daemon/charon-systemd
    started_by: vpnctl
~ ipsec/a
    loaded: no -> yes
plan: 2 to create, 1 to update, 0 to delete; 0 disruptive
`, "load-shared ike-a, load-conn a, initiate a/a"},
		{"charon restarted by its unit",
			func(r *rig) *desired.State { return state(net(r, "a"), roadwarriors(r, "10.99.0.0/24", "alice")) },
			func(r *rig) { r.charon.Restart() },
			func(r *rig) *desired.State { return state(net(r, "a"), roadwarriors(r, "10.99.0.0/24", "alice")) },
			plan.NoChanges, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.up(tt.from(r))
			if tt.live != nil {
				tt.live(r)
			}
			want := tt.to(r)
			text := strings.ReplaceAll(strings.TrimPrefix(tt.plan, "\n"), "\n\n", "\n")
			if diff := cmp.Diff(text, r.text(want)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			r.apply(want)
			if diff := cmp.Diff(tt.calls, strings.Join(r.charon.Calls(), ", ")); diff != "" {
				t.Errorf("charon is told (-want +got):\n%s", diff)
			}
		})
	}
}

// TestPoolReturns: once the last address is back, the pool from before goes, and nobody is
// told.
func TestPoolReturns(t *testing.T) {
	r := newRig(t)
	r.apply(state(roadwarriors(r, "10.99.0.0/24", "alice")))
	r.charon.Connect("rw", "rw", "alice", "rw-4", "203.0.113.1")
	next := state(roadwarriors(r, "10.98.0.0/24", "alice"))
	r.apply(next)
	if !strings.Contains(r.charon.String(), "pool rw-4 ") {
		t.Error("a pool with an address out is gone")
	}
	r.charon.Disconnect("alice")
	if text := r.text(next); text != plan.NoChanges {
		t.Errorf("plan is %s", text)
	}
	r.apply(next)
	if strings.Contains(r.charon.String(), "pool rw-4 ") {
		t.Error("a pool that nobody needs is there")
	}
}

// TestForeign: what others have loaded is there after everything, and keeps charon from
// being stopped.
func TestForeign(t *testing.T) {
	r := newRig(t)
	r.charon.Kill()
	r.apply(state(net(r, "a")))
	r.charon.Load("theirs", "their pool", "ike-theirs")
	r.apply(state(net(r, "a", esp("aes256gcm16"))))
	r.apply(state())
	for _, want := range []string{"conn theirs", "pool their pool", "secret IKE ike-theirs"} {
		if !strings.Contains(r.charon.String(), want) {
			t.Errorf("%s is gone:\n%s", want, r.charon)
		}
	}
}
