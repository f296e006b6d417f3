package ipsec_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// TestCheck holds every refusal by its words.
func TestCheck(t *testing.T) {
	const missing = "apt install strongswan-swanctl charon-systemd libstrongswan-standard-plugins " +
		"libstrongswan-extra-plugins libcharon-extauth-plugins libcharon-extra-plugins"
	tests := []struct {
		name   string
		before func(r *rig)
		want   func(r *rig) *desired.State
		refuse string
	}{
		{"all is well", func(*rig) {}, func(r *rig) *desired.State { return state(net(r, "a")) }, ""},
		{"nothing wanted, strongSwan missing", func(r *rig) { r.charon.Kill(); r.charon.Condition.Installed = false },
			func(*rig) *desired.State { return state() }, ""},
		{"strongSwan missing", func(r *rig) { r.charon.Kill(); r.charon.Condition.Installed = false },
			func(r *rig) *desired.State { return state(net(r, "a")) },
			"daemon/charon-systemd: strongSwan's charon-systemd is missing; " + missing},
		{"the old starter", func(r *rig) { r.charon.Condition.Starter = "ipsec starter" },
			func(r *rig) *desired.State { return state(net(r, "a")) },
			"daemon/charon-systemd: the old starter (ipsec.conf) runs charon on this host; " +
				"systemctl disable --now strongswan-starter; " + missing},
		{"another namespace's", func(r *rig) { r.charon.Condition.Elsewhere = "process 7, in another network namespace" },
			func(r *rig) *desired.State { return state(net(r, "a")) },
			"daemon/charon-systemd: the charon that answers on this host's socket is not this host's " +
				"(process 7, in another network namespace); give that namespace a /run of its own"},
		{"no vici", func(r *rig) { r.charon.Kill(); r.charon.Condition.Mute = true },
			func(r *rig) *desired.State { return state(net(r, "a")) },
			"daemon/charon-systemd: charon runs and does not listen for vici on /run/charon.vici; " +
				"apt install strongswan-swanctl, see that the plugin vici is loaded, and restart charon"},
		{"a foreign connection of the name", func(r *rig) { r.charon.Load("a", "x", "y") },
			func(r *rig) *desired.State { return state(net(r, "a")) },
			"ipsec/a: a connection of that name is loaded and is not vpnctl's; rename it in the topology, or unload the other"},
		{"a foreign pool of the name", func(r *rig) { r.charon.Load("x", "rw-4", "y") },
			func(r *rig) *desired.State { return state(roadwarriors(r, "10.99.0.0/24")) },
			"ipsec/rw/pool/rw-4: a pool of that name is loaded and is not vpnctl's; rename the connection, or unload the other"},
		{"a foreign secret of the id", func(r *rig) { r.charon.Load("x", "y", "ike-a") },
			func(r *rig) *desired.State { return state(net(r, "a")) },
			"ipsec/a: a secret with the id ike-a is loaded and is not vpnctl's; rename it in the topology, or unload the other"},
		{"the name in another file", func(r *rig) {
			r.files.Put("/etc/swanctl/conf.d/theirs.conf", "connections { a { version = 2 } }", 0o644)
		}, func(r *rig) *desired.State { return state(net(r, "a")) },
			"ipsec/a: /etc/swanctl/conf.d/theirs.conf has connections.a, too; rename one of them"},
		{"a foreign file", func(r *rig) {
			r.files.Put("/etc/swanctl/conf.d/vpnctl.conf", "connections { }", 0o644)
		}, func(r *rig) *desired.State { return state(net(r, "a")) },
			"file/etc/swanctl/conf.d/vpnctl.conf: a file that is not vpnctl's stands there; move it away, or run apply --adopt"},
		{"a foreign link", func(r *rig) { r.network.AddLink(rtnl.Link{Name: "xfrm0", Kind: "xfrm"}) },
			func(r *rig) *desired.State { return state(net(r, "a"), link("xfrm0", 1)) },
			"link/xfrm0: an interface of that name exists and is not vpnctl's; choose another interface in the topology, or remove it"},
		{"a kernel without XFRM links", func(r *rig) { r.kernel.NoLinks = true },
			func(r *rig) *desired.State { return state(net(r, "a"), link("xfrm0", 1)) },
			"link/xfrm0: this host's kernel has no XFRM interfaces; leave `interface` out, or use a kernel with " +
				"CONFIG_XFRM_INTERFACE (modprobe xfrm_interface)"},
		{"a kernel without ESP", func(r *rig) { r.kernel.NoESP = true },
			func(r *rig) *desired.State { return state(net(r, "a")) }, ""},
		{"a kernel without ESP, and what charon cannot do", func(r *rig) { r.kernel.NoESP, r.kernel.NoTun = true, true },
			func(r *rig) *desired.State {
				return state(net(r, "a", withChild("b"), func(c *desired.Connection) {
					c.IfID = 7
					c.Children[0].Protocol, c.Children[0].Proposals, c.Children[1].Mode = "ah", []string{"sha256"}, "transport"
				}))
			},
			"daemon/charon-systemd: this host's kernel has no ESP, and charon's own (kernel-libipsec) needs /dev/net/tun; " +
				"give the container /dev/net/tun\n" +
				"ipsec/a: this host's kernel has no ESP, and charon's own (kernel-libipsec) has no XFRM interfaces; " +
				"leave `interface` out, or use a kernel with ESP\n" +
				"ipsec/a/child/a: this host's kernel has no ESP, and charon's own (kernel-libipsec) has no AH; " +
				"use protocol: esp, or a kernel with AH\n" +
				"ipsec/a/child/b: this host's kernel has no ESP, and charon's own (kernel-libipsec) does tunnel mode only; " +
				"use mode: tunnel, or a kernel with ESP"},
		{"a kernel without ESP, the plugin missing", func(r *rig) { r.kernel.NoESP, r.plugins = true, nil },
			func(r *rig) *desired.State { return state(net(r, "a")) },
			"daemon/charon-systemd: charon has no plugin kernel-libipsec, and this host's kernel has no ESP; apt install libcharon-extra-plugins"},
		{"kernel-libipsec beside a kernel with ESP", func(r *rig) {
			r.files.Put("/etc/strongswan.d/vpnctl.conf", "charon { plugins { kernel-libipsec { load = yes } } }", 0o644)
			r.charon.Restart()
			_ = r.files.Remove("/etc/strongswan.d/vpnctl.conf")
		}, func(r *rig) *desired.State { return state(net(r, "a")) },
			"daemon/charon-systemd: charon has loaded kernel-libipsec on a host whose kernel has ESP itself; " +
				"set load = no in /etc/strongswan.d/charon/kernel-libipsec.conf and restart charon"},
		{"a restart, and a foreign connection that no file has", func(r *rig) { r.charon.Condition.Systemd = true; r.charon.Load("theirs", "x", "y") },
			func(r *rig) *desired.State { return state(dialIn(r, false)) },
			"ipsec/theirs: charon has to be restarted for its plugins, and would lose that connection, which is not vpnctl's; " +
				"unload it, or restart charon with /etc/strongswan.d/vpnctl.conf in place"},
		{"a restart, and a foreign connection that a file has", func(r *rig) {
			r.charon.Condition.Systemd = true
			r.charon.Load("theirs", "x", "y")
			r.files.Put("/etc/swanctl/conf.d/theirs.conf", "connections { theirs { version = 2 } }", 0o644)
		}, func(r *rig) *desired.State { return state(dialIn(r, false)) }, ""},
		{"algorithms", func(*rig) {}, func(r *rig) *desired.State {
			return state(net(r, "a", proposals("aes128-sha256-x25519", "aes128-sha256-modp2048"), esp("chacha20poly1305")))
		}, "ipsec/a: proposals: the running charon has no plugin for x25519 (CURVE_25519); " +
			"apt install libstrongswan-standard-plugins, or propose another\n" +
			"ipsec/a/child/a: esp_proposals: the running charon has no plugin for chacha20poly1305 (CHACHA20_POLY1305); " +
			"apt install libstrongswan-extra-plugins, or propose another"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			tt.before(r)
			before := r.state()
			err := r.backend().Check(t.Context(), r.input(tt.want(r)))
			got := ""
			if err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tt.refuse, got); diff != "" {
				t.Errorf("refusal (-want +got):\n%s", diff)
			}
			if err != nil && !backend.IsRefusal(err) {
				t.Errorf("%v is no refusal", err)
			}
			if diff := cmp.Diff(before, r.state()); diff != "" {
				t.Errorf("checking changed something:\n%s", diff)
			}
		})
	}
}

// TestIdle: a host without IPsec is asked nothing, whatever charon is like there.
func TestIdle(t *testing.T) {
	b := newRig(t)
	b.charon = nil // who is asked nothing needs none
	c := b.backendWithout()
	in := b.input(state())
	if err := c.Check(t.Context(), in); err != nil {
		t.Error(err)
	}
	if steps, err := c.Plan(t.Context(), in); err != nil || len(steps) > 0 {
		t.Errorf("plans %v, %v", steps, err)
	}
	if rows, err := c.Status(t.Context(), in); err != nil || len(rows) > 0 {
		t.Errorf("status is %v, %v", rows, err)
	}
}

// TestBoot: the unit starts charon after vpnctl, which reads the file.
func TestBoot(t *testing.T) {
	r := newRig(t)
	r.charon.Condition.Systemd = true
	r.apply(state(net(r, "a")))
	r.charon.Kill()
	r.files.Put("/etc/swanctl/conf.d/vpnctl.conf", "", 0o600)
	r.options.Boot = true
	r.apply(state(net(r, "a")))
	if text := r.charon.String(); text != "charon is not running\n" {
		t.Errorf("charon is\n%s", text)
	}
	r.options.Boot = false
	r.charon.Restart()
	if text := r.text(state(net(r, "a"))); !strings.HasPrefix(text, "no changes") {
		t.Errorf("after boot there is to do:\n%s", text)
	}
}
