package pptp_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/plan"
	"github.com/vpnctl/vpnctl/internal/pptp"
)

const (
	conf    = "/etc/pptpd.conf"
	dropIn  = "/etc/systemd/system/pptpd.service.d/vpnctl.conf"
	linkFor = "/etc/systemd/system/vpnctl-pptp-home.service"
)

func created(paths ...string) string {
	var b strings.Builder
	for _, p := range paths {
		fmt.Fprintf(&b, "+ file%s\n    content: sha256 SUM\n    mode: 0644\n", p)
	}
	return b.String()
}

func TestPlans(t *testing.T) {
	moreRoutes := linked(func(l *desired.PPPLink) { l.Routes = append(l.Routes, netip.MustParsePrefix("10.21.0.0/24")) })
	for _, tt := range []struct {
		name    string
		systemd bool
		before  func(r *rig)
		want    *desired.State
		text    string
	}{
		{
			"server", false, nil, small,
			created(conf) + "+ daemon/pptpd\n    started_by: vpnctl\nplan: 2 to create, 0 to update, 0 to delete; 0 disruptive\n",
		},
		{
			"server by systemd", true, nil, small, created(conf, dropIn) +
				"+ daemon/pptpd\n    started_by: pptpd.service\nplan: 3 to create, 0 to update, 0 to delete; 0 disruptive\n",
		},
		{
			"the package's server runs", true, func(r *rig) { r.w.Install() }, small, created(conf, dropIn) +
				"~ daemon/pptpd\n    config: (none) -> sha256 SUM\n    restarts pptpd's parent: sessions go on\n" +
				"plan: 2 to create, 1 to update, 0 to delete; 0 disruptive\n",
		},
		{
			"another pool", false, func(r *rig) { r.apply(small); r.w.Login("pptp/legacy", "user1", "192.168.131.100") }, large,
			"~ file" + conf + "\n    content: sha256 SUM -> sha256 SUM\n" +
				"~ daemon/pptpd\n    config: sha256 SUM -> sha256 SUM\n    restarts pptpd's parent: sessions go on\n" +
				"plan: 0 to create, 2 to update, 0 to delete; 0 disruptive\n",
		},
		{
			"killed", false, func(r *rig) { r.apply(small); r.w.KillServer() }, small,
			"+ daemon/pptpd\n    started_by: vpnctl\nplan: 1 to create, 0 to update, 0 to delete; 0 disruptive\n",
		},
		{
			"not started at boot", true, func(r *rig) {
				r.apply(small)
				u, _ := r.w.Units(t.Context())
				_ = u.Disable(t.Context(), "pptpd.service")
			}, small,
			"~ daemon/pptpd\n    at_boot: no -> yes\nplan: 0 to create, 1 to update, 0 to delete; 0 disruptive\n",
		},
		{
			"no server any more", true, func(r *rig) { r.apply(small) }, none,
			"- daemon/pptpd\n- file" + conf + "\n- file" + dropIn + "\nplan: 0 to create, 0 to update, 3 to delete; 0 disruptive\n",
		},
		{
			"back to the package's", true, func(r *rig) { r.w.Install(); r.apply(small) }, none,
			"~ daemon/pptpd\n    started_by: vpnctl -> its owner\n- file" + conf + "\n- file" + dropIn + "\n" +
				"plan: 0 to create, 1 to update, 2 to delete; 0 disruptive\n",
		},
		{
			"sessions of a server that goes", false, func(r *rig) {
				r.apply(small)
				r.w.Login("pptp/legacy", "user1", "192.168.131.100")
				r.w.Login("", "theirs", "10.0.0.7")
				r.w.Negotiate("pptp/legacy", "192.168.131.101")
			}, none,
			"- daemon/pptpd\n- file" + conf + "\n- pptp/legacy\n    ! ends 1 session (user1 192.168.131.100)\n" +
				"plan: 0 to create, 0 to update, 3 to delete; 1 disruptive\n",
		},
		{
			"sessions of another name", false, func(r *rig) {
				r.apply(small)
				r.w.Login("pptp/older", "user1", "192.168.131.100")
			}, small,
			"- pptp/older\n    ! ends 1 session (user1 192.168.131.100)\nplan: 0 to create, 0 to update, 1 to delete; 1 disruptive\n",
		},
		{
			"link", false, nil, linked(nil),
			"+ daemon/vpnctl-pptp-home\n    started_by: vpnctl\nplan: 1 to create, 0 to update, 0 to delete; 0 disruptive\n",
		},
		{
			"link by systemd", true, nil, linked(nil), created(linkFor) +
				"+ daemon/vpnctl-pptp-home\n    started_by: vpnctl-pptp-home.service\n" +
				"plan: 2 to create, 0 to update, 0 to delete; 0 disruptive\n",
		},
		{"routes of a link", false, func(r *rig) { r.apply(linked(nil)) }, moreRoutes, "no changes\n"},
		{
			"another server of a link", false, func(r *rig) { r.apply(linked(nil)) }, linked(func(l *desired.PPPLink) { l.Server = "gw.example.net" }),
			"~ daemon/vpnctl-pptp-home\n    options: of an earlier time -> of now\n" +
				"    ! dials again: interrupts 1 session (user1 192.168.131.100)\nplan: 0 to create, 1 to update, 0 to delete; 1 disruptive\n",
		},
		{
			"link without its process", false, func(r *rig) { r.apply(linked(nil)); r.w.KillLink("home") }, linked(nil),
			"~ daemon/vpnctl-pptp-home\n    running: no -> yes\nplan: 0 to create, 1 to update, 0 to delete; 0 disruptive\n",
		},
		{
			"no link any more", true, func(r *rig) { r.apply(linked(nil)) }, none,
			"- daemon/vpnctl-pptp-home\n    ! ends 1 session (user1 192.168.131.100)\n- file" + linkFor +
				"\nplan: 0 to create, 0 to update, 2 to delete; 1 disruptive\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, tt.systemd)
			if tt.before != nil {
				tt.before(r)
			}
			if diff := cmp.Diff(tt.text, r.apply(tt.want)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			if tt.want == none && strings.Contains(r.w.String(), "options.vpnctl") {
				t.Errorf("left:\n%s", r.w)
			}
		})
	}
}

// loaded is the pool that the running parent has.
func (r *rig) loaded() string {
	r.t.Helper()
	f, err := r.w.Files.Read(pptp.LoadedPath)
	if err != nil {
		r.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(f.Data), "\nremoteip ")
	line, _, _ := strings.Cut(rest, "\n")
	return line
}

// TestHeld: a parent that is started beside sessions leaves their addresses out, and that
// is no difference, also when they have ended.
func TestHeld(t *testing.T) {
	for _, systemd := range []bool{false, true} {
		r := newRig(t, systemd)
		r.apply(small)
		if got := r.loaded(); got != "192.168.131.100-103" {
			t.Errorf("the pool is %s", got)
		}
		r.w.Login("pptp/legacy", "user1", "192.168.131.101")
		r.w.Login("pptp/legacy", "fixed", "192.168.150.100")
		r.apply(large)
		if got := r.loaded(); got != "192.168.131.100,192.168.131.102-200,192.168.140.100-200" {
			t.Errorf("beside a session the pool is %s", got)
		}
		for _, address := range []string{"192.168.131.101", "192.168.150.100"} {
			if !strings.Contains(r.w.String(), "at "+address) {
				t.Errorf("the restart has cost the session at %s:\n%s", address, r.w)
			}
		}
		r.w.Logout("192.168.131.101")
		if text := r.apply(large); text != "no changes\n" {
			t.Errorf("a logout has made a difference:\n%s", text)
		}
		r.w.KillServer()
		r.apply(large)
		if got := r.loaded(); got != "192.168.131.100-200,192.168.140.100-200" {
			t.Errorf("started anew, the pool is %s", got)
		}
	}
}

// TestFull: where old sessions have the whole pool, nobody can log in, and nothing is to be
// done about it but to try again.
func TestFull(t *testing.T) {
	for _, systemd := range []bool{false, true} {
		r := newRig(t, systemd)
		r.apply(small)
		for n := range 4 {
			r.w.Login("pptp/legacy", "user1", fmt.Sprintf("192.168.131.%d", 100+n))
		}
		r.w.KillServer()
		if text := r.apply(small); text != "no changes\n" {
			t.Errorf("with all addresses held:\n%s", text)
		}
	}
}

// TestAdopt: somebody else's server is refused, adopted where he says so, and runs again in
// the end.
func TestAdopt(t *testing.T) {
	r := newRig(t, false)
	r.w.Files.Put(conf, "localip 10.0.0.1\n", 0o644)
	r.w.Foreign("/usr/sbin/pptpd", "-d")
	r.w.Login("", "theirs", "10.0.0.7")
	before := r.w.String()
	if err := r.backend().Check(t.Context(), r.input(small)); !backend.IsRefusal(err) {
		t.Errorf("error is %v", err)
	}
	r.options.Adopt = true
	if err := r.backend().Check(t.Context(), r.input(small)); err != nil {
		t.Error(err)
	}
	r.apply(small)
	r.apply(none)
	if diff := cmp.Diff(before, r.w.String()); diff != "" {
		t.Errorf("in the end (-before +after):\n%s", diff)
	}
}

func TestRefusals(t *testing.T) {
	wide := served(pool("10.0.0.0", "10.0.255.255"))
	for _, tt := range []struct {
		name   string
		before func(r *rig)
		want   *desired.State
		words  string
	}{
		{"no pptpd", func(r *rig) { r.lacks = []string{"pptpd"} }, small, "pptp/legacy: the program pptpd is missing; apt install pptpd"},
		{"no pptp", func(r *rig) { r.lacks = []string{"pptp"} }, linked(nil), "pptp/home: the program pptp is missing; apt install pptp-linux"},
		{"port taken", func(r *rig) { r.w.Occupy("accel-pppd") }, small, "pptp/legacy: TCP port 1723 is taken by accel-pppd; stop it"},
		{
			"another file", func(r *rig) { r.w.Foreign("pptpd", "-c", "/srv/pptpd.conf") }, small,
			"daemon/pptpd: a pptpd that reads /srv/pptpd.conf and is not vpnctl's runs on this host; stop it, or run apply --adopt",
		},
		{
			"pools too many for a line", func(*rig) {}, wide,
			"pptp/legacy: pptpd.conf cannot carry the pools: they are too many for its one line of 509 bytes; " +
				"use fewer pools, or ranges that begin and end with a /24",
		},
	} {
		r := newRig(t, false)
		tt.before(r)
		err := r.backend().Check(t.Context(), r.input(tt.want))
		if !backend.IsRefusal(err) || err.Error() != tt.words {
			t.Errorf("%s: error is %v, want %s", tt.name, err, tt.words)
		}
		if err := r.backend().Check(t.Context(), r.input(none)); err != nil {
			t.Errorf("%s: with nothing wanted: %v", tt.name, err)
		}
	}
}

// states are those between which tests go.
var states = []*desired.State{
	none, small, large, linked(nil), linked(func(l *desired.PPPLink) { l.Server = "gw.example.net" }),
	{Site: "hq", PPP: desired.PPP{Servers: large.PPP.Servers, Links: linked(nil).PPP.Links}},
}

// TestUndo fails each write of each way between two states: undo leads back, without the
// end of a user's session.
func TestUndo(t *testing.T) {
	for _, systemd := range []bool{false, true} {
		for from := range states {
			for to := range states {
				for k, failed := 1, true; failed && from != to; k++ {
					failed = undoes(t, systemd, from, to, k)
				}
			}
		}
	}
}

func undoes(t *testing.T, systemd bool, from, to, k int) bool {
	r := newRig(t, systemd)
	r.w.Install()
	r.apply(states[from])
	r.w.Login("pptp/legacy", "user1", "192.168.131.102")
	before := r.w.String()
	p := r.plan(states[to])
	failed := r.fail(k)
	err := r.do(p)
	if !failed() {
		if err != nil {
			t.Fatal(err)
		}
		return false
	}
	if err == nil {
		t.Fatalf("systemd %t, %d to %d: write %d fails in silence", systemd, from, to, k)
	}
	if err := r.undo(); err != nil {
		t.Fatal(err)
	}
	// A parent that was started anew passes by the session.
	before = strings.ReplaceAll(before, "remoteip 192.168.131.100-103\n\tconnections 4", "remoteip 192.168.131.100-101,192.168.131.103\n\tconnections 3")
	after := strings.ReplaceAll(r.w.String(), "remoteip 192.168.131.100-103\n\tconnections 4", "remoteip 192.168.131.100-101,192.168.131.103\n\tconnections 3")
	large := "remoteip 192.168.131.100-200,192.168.140.100-200\n\tconnections 202"
	narrow := "remoteip 192.168.131.100-101,192.168.131.103-200,192.168.140.100-200\n\tconnections 201"
	if diff := cmp.Diff(strings.ReplaceAll(before, large, narrow), strings.ReplaceAll(after, large, narrow)); diff != "" {
		t.Errorf("systemd %t, %d to %d, write %d (-before +undone):\n%s", systemd, from, to, k, diff)
	}
	return true
}

// TestCutOff ends apply at each write, as SIGKILL does: the next one converges.
func TestCutOff(t *testing.T) {
	for _, systemd := range []bool{false, true} {
		for from := range states {
			for to := range states {
				for k, failed := 1, true; failed && from != to; k++ {
					r := newRig(t, systemd)
					r.w.Install()
					r.apply(states[from])
					stop := r.fail(k)
					_ = r.do(r.plan(states[to]))
					if failed = stop(); !failed {
						continue
					}
					if r.apply(states[to]); to == 0 {
						r.wantBare()
					}
				}
			}
		}
	}
}

// wantBare fails the test where something of ours is left.
func (r *rig) wantBare() {
	r.t.Helper()
	if text := r.w.String(); strings.Contains(text, "vpnctl") || len(r.memory) > 0 {
		r.t.Errorf("left:\n%s%v", text, r.memory)
	}
}

// TestWalk goes from state to state past what may happen in between. No change ever ends a
// user's session, no parent ever has an address that one holds, and in the end nothing of
// ours is left.
func TestWalk(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	d := rand.New(rand.NewPCG(seed, 0))
	for range 60 {
		r := newRig(t, d.IntN(2) == 0)
		if d.IntN(2) == 0 {
			r.w.Install()
		}
		before := r.w.String()
		users := map[string]bool{}
		for range 25 {
			address := fmt.Sprintf("192.168.131.%d", 100+d.IntN(8))
			switch d.IntN(6) {
			case 0:
				r.w.KillServer()
			case 1:
				r.w.KillLink("home")
			case 2, 3:
				if !users[address] {
					r.w.Login("pptp/legacy", "user1", address)
					users[address] = true
				}
			case 4:
				r.w.Logout(address)
				delete(users, address)
			}
			served := strings.Contains(r.w.String(), "file /etc/ppp/options.vpnctl") && r.memory["pptp/server"] != nil
			to := states[d.IntN(len(states))]
			if r.apply(to); served && len(to.PPP.Servers) == 0 {
				// Those of a server that is no more, and nobody else.
				clear(users)
				if strings.Contains(r.w.String(), "options.vpnctl-pptp-legacy") {
					t.Fatalf("seed %d: sessions of no server:\n%s", seed, r.w)
				}
			}
			for address := range users {
				if !strings.Contains(r.w.String(), "session of user1 at "+address+"\n") {
					t.Fatalf("seed %d: the session at %s has ended:\n%s", seed, address, r.w)
				}
			}
		}
		for address := range users {
			r.w.Logout(address)
		}
		r.apply(none)
		r.wantBare()
		if diff := cmp.Diff(before, r.w.String()); diff != "" {
			t.Fatalf("seed %d (-before +after):\n%s", seed, diff)
		}
	}
}

// TestBoot: what systemd starts, it starts after the apply of a boot.
func TestBoot(t *testing.T) {
	both := states[5]
	r := newRig(t, true)
	r.apply(both)
	r.w.Reboot()
	r.options.Boot = true
	if p := r.plan(both); !p.Empty() {
		t.Errorf("plan of a boot:\n%s", p.Text(plan.Palette{}))
	}
}
