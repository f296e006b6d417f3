package l2tp_test

import (
	"strings"
	"testing"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/l2tp"
	"github.com/vpnctl/vpnctl/internal/plan"
)

const theirs = "[global]\nport = 1701\n[lns mine]\nip range = 10.0.0.2-10.0.0.9\n"

func TestPlan(t *testing.T) {
	office := ppp(server("office"))
	wide := ppp(server("office", pools(addrs("192.168.130.100", "192.168.130.200"), addrs("192.168.131.2", "192.168.131.9"))))
	branch := ppp(link("office", "10.13.0.101"))
	tests := []struct {
		name   string
		before func(r *rig)
		want   desired.PPP
		plan   string
		starts int // of xl2tpd
	}{
		{"nothing", func(*rig) {}, desired.PPP{}, plan.NoChanges, 0},
		{"a server", func(*rig) {}, office, `
+ file/etc/xl2tpd/xl2tpd.conf
    content: sha256 CONTENT
    mode: 0644
+ daemon/xl2tpd
    started_by: vpnctl
+ l2tp/office
    local_ip: 192.168.130.1
    pools: 192.168.130.100-192.168.130.200
plan: 3 to create, 0 to update, 0 to delete; 0 disruptive
`, 1},
		{"a link, where systemd runs", func(r *rig) { r.host.State.Systemd = true }, branch, `
+ file/etc/xl2tpd/xl2tpd.conf
    content: sha256 CONTENT
    mode: 0644
+ file/etc/systemd/system/multi-user.target.d/vpnctl-xl2tpd.conf
    content: sha256 CONTENT
    mode: 0644
+ file/etc/systemd/system/xl2tpd.service.d/vpnctl.conf
    content: sha256 CONTENT
    mode: 0644
+ daemon/xl2tpd
    started_by: xl2tpd.service
+ l2tp/office
    server: 10.13.0.101
plan: 5 to create, 0 to update, 0 to delete; 0 disruptive
`, 1},
		{"at boot, where systemd runs", func(r *rig) {
			r.host.State.Systemd = true
			r.converge(office)
			r.host.Kill()
			r.options.Boot = true
		}, office, plan.NoChanges, 0},
		{"another pool, with a session", func(r *rig) {
			r.converge(office)
			r.host.Login("user1", "192.168.130.100")
		}, wide, `
~ file/etc/xl2tpd/xl2tpd.conf
    content: sha256 CONTENT -> sha256 CONTENT
~ l2tp/office
    pools: 192.168.130.100-192.168.130.200 -> 192.168.130.100-192.168.130.200, 192.168.131.2-192.168.131.9
plan: 0 to create, 2 to update, 0 to delete; 0 disruptive
`, 0},
		{"xl2tpd has died", func(r *rig) {
			r.converge(office)
			r.host.Login("user1", "192.168.130.100")
			r.host.Kill()
		}, office, `
+ daemon/xl2tpd
    started_by: vpnctl
plan: 1 to create, 0 to update, 0 to delete; 0 disruptive
`, 1},
		{"somebody has edited the file", func(r *rig) {
			r.converge(office)
			f, _ := r.host.Files.Read(l2tp.ConfPath)
			r.host.Files.Put(l2tp.ConfPath, strings.Replace(string(f.Data), ".200", ".120", 1), 0o644)
			if err := r.host.Run(); err != nil {
				panic(err)
			}
		}, office, `
~ file/etc/xl2tpd/xl2tpd.conf
    content: sha256 CONTENT -> sha256 CONTENT
~ l2tp/office
    pools: 192.168.130.100-192.168.130.120 -> 192.168.130.100-192.168.130.200
plan: 0 to create, 2 to update, 0 to delete; 0 disruptive
`, 0},
		{"somebody has removed the section", func(r *rig) {
			r.converge(ppp(server("office"), link("far", "10.13.0.9")))
			remove(r, "lns")
		}, ppp(server("office"), link("far", "10.13.0.9")), `
~ l2tp/office
    loaded: no -> yes
plan: 0 to create, 1 to update, 0 to delete; 0 disruptive
`, 0},
		{"an xl2tpd that nobody is on, with a file that is not ours", func(r *rig) {
			r.host.Files.Put(l2tp.ConfPath, theirs, 0o644)
			r.run()
		}, office, `
~ file/etc/xl2tpd/xl2tpd.conf (takes over a file that is not vpnctl's)
    content: sha256 CONTENT -> sha256 CONTENT
~ daemon/xl2tpd
    file: another -> /etc/xl2tpd/xl2tpd.conf
    restarts xl2tpd
+ l2tp/office
    local_ip: 192.168.130.1
    pools: 192.168.130.100-192.168.130.200
plan: 1 to create, 2 to update, 0 to delete; 0 disruptive
`, 1},
		{"an xl2tpd with a session, and a file that is not ours", func(r *rig) {
			r.host.Files.Put(l2tp.ConfPath, theirs, 0o644)
			r.run()
			r.host.Login("", "10.0.0.2")
		}, office, `
~ file/etc/xl2tpd/xl2tpd.conf (takes over a file that is not vpnctl's)
    content: sha256 CONTENT -> sha256 CONTENT
~ daemon/xl2tpd
    file: another -> /etc/xl2tpd/xl2tpd.conf
    ! restarts xl2tpd: drops 1 session (198.51.100.7:1701 10.0.0.2)
+ l2tp/office
    local_ip: 192.168.130.1
    pools: 192.168.130.100-192.168.130.200
plan: 1 to create, 2 to update, 0 to delete; 1 disruptive
`, 1},
		{"a link that dials elsewhere, beside a server", func(r *rig) {
			r.converge(ppp(server("office"), link("far", "10.13.0.9")))
			r.host.Login("user1", "192.168.130.100")
		}, ppp(server("office"), link("far", "10.13.0.10")), `
~ file/etc/xl2tpd/xl2tpd.conf
    content: sha256 CONTENT -> sha256 CONTENT
~ l2tp/far
    server: 10.13.0.9 -> 10.13.0.10
    ! dials again: drops 1 session (us 192.168.77.7)
plan: 0 to create, 2 to update, 0 to delete; 1 disruptive
`, 0},
		{"no server any more, beside a link", func(r *rig) {
			r.converge(ppp(server("office"), link("far", "10.13.0.9")))
			r.host.Login("user1", "192.168.130.100")
		}, ppp(link("far", "10.13.0.9")), `
~ file/etc/xl2tpd/xl2tpd.conf
    content: sha256 CONTENT -> sha256 CONTENT
- l2tp/office
    ! ends the server: drops 1 session (user1 192.168.130.100)
plan: 0 to create, 1 to update, 1 to delete; 1 disruptive
`, 0},
		{"nothing any more", func(r *rig) {
			r.converge(office)
			r.host.Login("user1", "192.168.130.100")
			r.host.Login("user2", "192.168.130.50")
		}, desired.PPP{}, `
- l2tp/office
- daemon/xl2tpd
    ! stops xl2tpd: drops 2 sessions (user1 192.168.130.100, user2 192.168.130.50)
- file/etc/xl2tpd/xl2tpd.conf
plan: 0 to create, 0 to update, 3 to delete; 1 disruptive
`, 0},
		{"nothing any more, where an xl2tpd ran before", func(r *rig) {
			r.host.Files.Put(l2tp.ConfPath, theirs, 0o644)
			r.run()
			r.converge(office)
		}, desired.PPP{}, `
- l2tp/office
~ daemon/xl2tpd
    file: /etc/xl2tpd/xl2tpd.conf -> the one from before
- file/etc/xl2tpd/xl2tpd.conf (puts back the file from before)
plan: 0 to create, 1 to update, 2 to delete; 0 disruptive
`, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			tt.before(r)
			starts := r.host.Starts
			got := digest.ReplaceAllString(r.plan(tt.want).Text(plan.Palette{}), "sha256 CONTENT")
			shows(t, tt.plan, got)
			r.converge(tt.want)
			if n := r.host.Starts - starts; n != tt.starts {
				t.Errorf("xl2tpd was started %d times, want %d", n, tt.starts)
			}
		})
	}
}

// run starts an xl2tpd that is not vpnctl's.
func (r *rig) run() {
	r.t.Helper()
	if err := r.host.Run(); err != nil {
		r.t.Fatal(err)
	}
}

// remove removes the first loaded section of a kind, as an operator does over the pipe.
func remove(r *rig, kind string) {
	c := r.host.Config().Control
	loaded, err := c.List(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	name := append(loaded.LNS, loaded.LAC...)[0]
	if err := c.Remove(r.t.Context(), kind, name); err != nil {
		r.t.Fatal(err)
	}
}

// Who is on a server stays, whatever becomes of its pools, and whoever comes gets the new
// one; also where the old one comes again while somebody is on both.
func TestPoolsSpareSessions(t *testing.T) {
	r := newRig(t)
	a := ppp(server("office"))
	b := ppp(server("office", pools(addrs("192.168.131.2", "192.168.131.9"))))
	r.converge(a)
	r.host.Login("user1", "192.168.130.100")
	for range 2 {
		for _, want := range []desired.PPP{b, a} {
			text := r.converge(want)
			if strings.Contains(text, "!") {
				t.Errorf("plan is disruptive:\n%s", text)
			}
			pool := "ip range = " + want.Servers[0].Pools[0].String()
			if !strings.Contains(strings.Join(r.host.Serving(), "\n"), pool) {
				t.Errorf("xl2tpd serves %q, want %s", r.host.Serving(), pool)
			}
			// Also who begins another session in his old tunnel.
			if got := r.host.Offers(); len(got) != 1 || got[0] != want.Servers[0].Pools[0].String() {
				t.Errorf("old and new sections offer %v, want %s", got, want.Servers[0].Pools[0])
			}
			r.host.Login("another", "192.168.131.2")
		}
	}
	if got := strings.Count(r.host.Sessions.String(), "ppp"); got < 5 || !strings.Contains(r.host.Sessions.String(), "user1") {
		t.Errorf("sessions are\n%s", r.host.Sessions)
	}
	if r.host.Starts != 1 {
		t.Errorf("xl2tpd was started %d times", r.host.Starts)
	}
}

func TestCheck(t *testing.T) {
	office := ppp(server("office"))
	tests := []struct {
		name   string
		before func(r *rig)
		want   desired.PPP
		says   string // "" for no refusal
	}{
		{"all there", func(*rig) {}, office, ""},
		{"nothing there, nothing wanted", func(r *rig) { r.host.State = l2tp.DaemonState{} }, desired.PPP{}, ""},
		{"no xl2tpd", func(r *rig) { r.host.State.Installed = false }, office,
			"daemon/xl2tpd: xl2tpd is missing; apt install xl2tpd"},
		{"no module", func(r *rig) { r.host.NoKernel = true }, office,
			"daemon/xl2tpd: this host's kernel has no L2TP for PPP; modprobe l2tp_ppp, which Debian's linux-image-amd64 has and its cloud kernels have not"},
		{"another file", func(r *rig) { r.host.State.Config = "/etc/l2tp.conf" }, office,
			"daemon/xl2tpd: an xl2tpd that reads /etc/l2tp.conf runs on this host; stop it, or let it read /etc/xl2tpd/xl2tpd.conf"},
		{"port taken", func(r *rig) { r.host.Taken = "socat (process 7)" }, office,
			"daemon/xl2tpd: UDP port 1701 is taken by socat (process 7); stop it"},
		{"foreign file", func(r *rig) { r.host.Files.Put(l2tp.ConfPath, theirs, 0o644) }, office,
			"file/etc/xl2tpd/xl2tpd.conf: a file that is not vpnctl's stands there; move it away, or run apply --adopt"},
		{"foreign file, adopted", func(r *rig) {
			r.host.Files.Put(l2tp.ConfPath, theirs, 0o644)
			r.options.Adopt = true
		}, office, ""},
		{"foreign drop-in", func(r *rig) {
			r.host.State.Systemd = true
			r.host.Files.Put("/etc/systemd/system/xl2tpd.service.d/vpnctl.conf", "[Unit]\n", 0o644)
		}, office, "file/etc/systemd/system/xl2tpd.service.d/vpnctl.conf: a file that is not vpnctl's stands there; move it away, or run apply --adopt"},
		{"a server of IPv6", func(*rig) {}, ppp(link("office", "2001:db8::1")),
			"l2tp/office: xl2tpd cannot dial 2001:db8::1: it knows IPv4 only; give the server an IPv4 address"},
		{"a long name", func(*rig) {}, ppp(link("office", strings.Repeat("long.", 20)+"net")),
			"l2tp/office: xl2tpd cannot dial a name of more than 99 characters; give the server a shorter name, or an address"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			tt.before(r)
			err := r.backend().Check(t.Context(), r.input(tt.want))
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != tt.says {
				t.Errorf("refusal %q, want %q", got, tt.says)
			}
			if err != nil && !backend.IsRefusal(err) {
				t.Errorf("%v is no refusal", err)
			}
		})
	}
}
