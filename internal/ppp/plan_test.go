package ppp_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/plan"
	"github.com/vpnctl/vpnctl/internal/ppp"
	"github.com/vpnctl/vpnctl/internal/ppp/ppptest"
	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// users makes users of a server: name, password and, behind "at", an address.
func (r *rig) users(all map[string]string) func(s *desired.PPPServer) {
	return func(s *desired.PPPServer) {
		for _, name := range []string{`odd "one"`, "user1", "user2", "user3"} {
			password, address, own := strings.Cut(all[name], " at ")
			if all[name] == "" {
				continue
			}
			u := desired.PPPUser{Name: name, Password: r.secrets.put(password)}
			if own {
				u.Address = addr(address)
			}
			s.Users = append(s.Users, u)
		}
	}
}

// link is a link of L2TP.
func (r *rig) link(name string, change ...func(l *desired.PPPLink)) desired.PPPLink {
	l := desired.PPPLink{
		PPPTunnel: desired.PPPTunnel{Protocol: desired.L2TP, Name: name, IPsec: true, Auth: []string{"mschapv2"}},
		Server:    "10.13.0.101", LocalIP: addr("192.168.130.1"), User: "branch", Password: r.secrets.put("of branch"),
		Routes: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/24")},
	}
	for _, c := range change {
		c(&l)
	}
	return l
}

func begin(f *ppptest.Fake, user, address string) ppp.Session {
	return f.Begin(ppp.Session{Protocol: desired.L2TP, Name: "office", User: user, Local: addr("192.168.130.1"), Remote: addr(address)})
}

func (r *rig) secretsFile(t *testing.T) string {
	t.Helper()
	f, err := r.files.Read("/etc/ppp/chap-secrets")
	if err != nil {
		t.Fatal(err)
	}
	return string(f.Data)
}

// TestUsers edits users beside live sessions: what a plan says, whose session ends, and
// what becomes of the file.
func TestUsers(t *testing.T) {
	r := newRig(t)
	want := func(users map[string]string) *desired.State { return state(server("office", r.users(users))) }
	first := r.apply(want(map[string]string{"user1": "one", "user2": "two at 192.168.130.50", `odd "one"`: `p a#s"q\ä`}))
	for _, line := range []string{
		"+ l2tp/office/user/odd \"one\"\n    password: (secret)\n", "+ l2tp/office/user/user2\n    address: 192.168.130.50\n    password: (secret)\n",
		"+ file/etc/ppp/options.vpnctl-l2tp-office\n", "+ file/etc/ppp/ip-up.d/vpnctl\n",
	} {
		if !strings.Contains(first, line) {
			t.Errorf("no %q in\n%s", line, first)
		}
	}
	if got, want := r.secretsFile(t), `# BEGIN vpnctl
# What is changed between here and END is overwritten.
"odd \"one\"" vpnctl-l2tp-office "p a#s\"q\\\303\244" *
"user1" vpnctl-l2tp-office "one" *
"user2" vpnctl-l2tp-office "two" 192.168.130.50
# END vpnctl
`+foreignSecrets; got != want {
		t.Errorf("file is\n%s", got)
	}
	begin(r.sessions, "user1", "192.168.130.100")
	begin(r.sessions, "user2", "192.168.130.50")
	begin(r.sessions, `odd "one"`, "192.168.130.101")
	tests := []struct {
		name  string
		users map[string]string
		plan  string
		live  string // users with a session afterwards
	}{
		{"nothing", map[string]string{"user1": "one", "user2": "two at 192.168.130.50", `odd "one"`: `p a#s"q\ä`}, plan.NoChanges,
			`user1 user2 odd "one"`},
		{"another password", map[string]string{"user1": "other", "user2": "two at 192.168.130.50", `odd "one"`: `p a#s"q\ä`}, `~ l2tp/office/user/user1 (counts at the next login)
    password: (secret) -> (secret)
plan: 0 to create, 1 to update, 0 to delete; 0 disruptive
`, `user1 user2 odd "one"`},
		{"one goes, one comes", map[string]string{"user1": "other", "user2": "two at 192.168.130.50", "user3": "three"}, `- l2tp/office/user/odd "one"
    ! ends 1 session (odd "one" 192.168.130.101)
+ l2tp/office/user/user3
    password: (secret)
plan: 1 to create, 0 to update, 1 to delete; 1 disruptive
`, "user1 user2"},
		{"another address", map[string]string{"user1": "other at 192.168.130.51", "user2": "two at 192.168.130.50", "user3": "three"}, `~ l2tp/office/user/user1
    address: (none) -> 192.168.130.51
    ! ends 1 session (user1 192.168.130.100)
plan: 0 to create, 1 to update, 0 to delete; 1 disruptive
`, "user2"},
		{"no address of his own", map[string]string{"user1": "other at 192.168.130.51", "user2": "two", "user3": "three"}, `~ l2tp/office/user/user2
    address: 192.168.130.50 -> (none)
    ! ends 1 session (user2 192.168.130.50)
plan: 0 to create, 1 to update, 0 to delete; 1 disruptive
`, ""},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.plan, r.apply(want(tt.users))); diff != "" {
			t.Errorf("%s: plan (-want +got):\n%s", tt.name, diff)
		}
		live, err := r.sessions.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, s := range live {
			names = append(names, s.User)
		}
		if got := strings.Join(names, " "); got != tt.live {
			t.Errorf("%s: there are left %q, want %q", tt.name, got, tt.live)
		}
	}
	r.apply(state())
	if got := r.secretsFile(t); got != foreignSecrets {
		t.Errorf("in the end the file is\n%s", got)
	}
}

// TestBlock: what somebody wrote around our lines, and into them.
func TestBlock(t *testing.T) {
	r := newRig(t)
	want := state(server("office", r.users(map[string]string{"user1": "one", "user2": "two"})))
	r.apply(want)
	ours := strings.TrimSuffix(r.secretsFile(t), foreignSecrets)
	edit := func(text string) { r.files.Put("/etc/ppp/chap-secrets", text, 0o600) }
	edit("above * x *\n" + strings.Replace(ours, `"user1"`, `"user9"`, 1) + foreignSecrets)
	text := r.apply(want)
	for _, line := range []string{"+ l2tp/office/user/user1\n", "- l2tp/office/user/user9\n"} {
		if !strings.Contains(text, line) {
			t.Errorf("no %q in\n%s", line, text)
		}
	}
	if got := r.secretsFile(t); got != "above * x *\n"+ours+foreignSecrets {
		t.Errorf("mended, the file is\n%s", got)
	}
	edit("above * x *\n" + strings.Replace(ours, "# What", "# Nothing", 1) + foreignSecrets)
	if text := r.apply(want); !strings.Contains(text, "~ file/etc/ppp/chap-secrets\n    content: (secret) -> (secret)\n") {
		t.Errorf("plan is\n%s", text)
	}
	// Removed and undone, it is where it was.
	before := r.host()
	if err := r.do(r.plan(state())); err != nil {
		t.Fatal(err)
	}
	if got := r.secretsFile(t); got != "above * x *\n"+foreignSecrets {
		t.Errorf("without users the file is\n%s", got)
	}
	if err := r.undo(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, r.host()); diff != "" {
		t.Errorf("undone (-before +after):\n%s", diff)
	}
	for name, text := range map[string]string{
		"no end": "# BEGIN vpnctl\nx * y *\n", "no beginning": "# END vpnctl\n", "two": ours + ours, "nested": "# BEGIN vpnctl\n" + ours,
	} {
		edit(text)
		err := r.backend().Check(t.Context(), r.input(want))
		if !backend.IsRefusal(err) || !strings.Contains(err.Error(), "file/etc/ppp/chap-secrets: its lines between") {
			t.Errorf("%s: check says %v", name, err)
		}
	}
}

// TestLink: what leads nowhere, the routes of a session, and another user.
func TestLink(t *testing.T) {
	r := newRig(t)
	dial := func(change ...func(l *desired.PPPLink)) *desired.State {
		return &desired.State{Site: "hq", PPP: desired.PPP{Links: []desired.PPPLink{r.link("office", change...)}}}
	}
	text := r.apply(dial())
	for _, line := range []string{"+ route/10.20.0.0/24\n    dev: unreachable\n", "+ l2tp/office\n    password: (secret)\n", "+ file/etc/ppp/peers/vpnctl-l2tp-office\n"} {
		if !strings.Contains(text, line) {
			t.Errorf("no %q in\n%s", line, text)
		}
	}
	if got := r.network.String(); got != "route unreachable 10.20.0.0/24 metric 2147483648 dev  proto 118\n" {
		t.Errorf("routes are\n%s", got)
	}
	s := r.sessions.Begin(ppp.Session{Protocol: desired.L2TP, Name: "office", Link: true, User: "branch", Interface: "ppp0",
		Local: addr("192.168.130.100"), Remote: addr("192.168.130.1"), Outer: "10.13.0.101:1701", Since: r.now})
	r.network.AddLink("ppp0")
	r.apply(dial()) // the hook is at work
	r.now = r.now.Add(time.Minute)
	if text := r.apply(dial()); !strings.Contains(text, "+ route/10.20.0.0/24\n    dev: ppp0\n") {
		t.Errorf("without its route the plan is\n%s", text)
	}
	text = r.apply(dial(func(l *desired.PPPLink) { l.Routes = []netip.Prefix{netip.MustParsePrefix("10.21.0.0/24")} }))
	if got := r.network.String(); strings.Count(got, "10.21.0.0/24") != 2 || strings.Contains(got, "10.20.0.0/24") || strings.Contains(text, "!") {
		t.Errorf("routes are\n%splan was\n%s", got, text)
	}
	text = r.apply(dial(func(l *desired.PPPLink) { l.User = "other" }))
	if !strings.Contains(text, "    ! ends 1 session (branch 192.168.130.1)\n") || strings.Contains(r.sessions.String(), s.Interface) {
		t.Errorf("as another user: plan\n%s", text)
	}
	r.network.DelLink("ppp0")
	r.apply(state())
	if got := r.network.String(); got != "" || len(r.memory) > 0 {
		t.Errorf("left: routes %q, memory %s", got, r.encode(r.memory))
	}
}

// TestNetworks routes what is behind a user into his newest session.
func TestNetworks(t *testing.T) {
	r := newRig(t)
	users := r.users(map[string]string{"user1": "one", "user2": "two"})
	behind := func(prefixes ...string) *desired.State {
		n := desired.PPPNetworks{User: "user1"}
		for _, p := range prefixes {
			n.Prefixes = append(n.Prefixes, netip.MustParsePrefix(p))
		}
		return state(server("office", users, func(s *desired.PPPServer) { s.IPv6, s.Networks = true, []desired.PPPNetworks{n} }))
	}
	text := r.apply(behind("10.5.0.0/24", "fd05::/64"))
	for _, line := range []string{"+ route/10.5.0.0/24\n    dev: unreachable\n", "+ route/fd05::/64\n    dev: unreachable\n", "+ file/etc/ppp/vpnctl-networks\n"} {
		if !strings.Contains(text, line) {
			t.Errorf("no %q in\n%s", line, text)
		}
	}
	files := r.files.String()
	for _, line := range []string{"l2tp/office\t10.5.0.0/24 fd05::/64\tuser1\n", "\t+ipv6\n"} {
		if !strings.Contains(files, line) {
			t.Errorf("no %q in\n%s", line, files)
		}
	}
	for n, user := range []string{"user1", "user2", "user1"} {
		s := r.sessions.Begin(ppp.Session{Protocol: desired.L2TP, Name: "office", User: user, Since: r.now,
			Local: addr("192.168.130.1"), Remote: addr(fmt.Sprintf("192.168.130.10%d", n))})
		r.network.AddLink(s.Interface)
		r.now = r.now.Add(time.Minute)
	}
	r.now = r.now.Add(time.Hour)
	newest := ""
	for line := range strings.Lines(r.sessions.String()) {
		if strings.Contains(line, "192.168.130.102") {
			newest, _, _ = strings.Cut(line, " ")
		}
	}
	if text := r.apply(behind("10.5.0.0/24", "fd05::/64")); newest == "" || strings.Count(text, "dev: "+newest+"\n") != 2 || strings.Count(text, "dev: ") != 2 {
		t.Errorf("of the sessions\n%sthe newest has not all:\n%s", r.sessions, text)
	}
	if text := r.apply(behind("10.6.0.0/24")); strings.Contains(text, "!") || strings.Count(r.network.String(), "10.6.0.0/24") != 2 || strings.Contains(r.network.String(), "05") {
		t.Errorf("routes are\n%splan was\n%s", r.network, text)
	}
	// Behind another user from now on, who is in as well.
	moved := behind("10.6.0.0/24")
	moved.PPP.Servers[0].Networks[0].User = "user2"
	r.apply(moved)
	if got := r.network.String(); !strings.Contains(got, "route 10.6.0.0/24 dev ppp1 proto 118\n") || strings.Count(got, "10.6.0.0/24") != 2 {
		t.Errorf("moved, routes are\n%s", got)
	}
	// Somebody else's, and the kernel's own of a connected prefix.
	r.network.AddLink("eth1", rtnl.Route{Dst: netip.MustParsePrefix("fd07::/64"), Metric: 1024}, rtnl.Route{Dst: netip.MustParsePrefix("fd08::/64"), Metric: 256})
	for _, prefix := range []string{"fd07::/64", "fd08::/64"} {
		err := r.backend().Check(t.Context(), r.input(behind(prefix)))
		if err == nil || !strings.Contains(err.Error(), "l2tp/office/user/user1: route "+prefix+" is there already and not vpnctl's") {
			t.Errorf("a route that is in the way: %v", err)
		}
	}
	for _, name := range []string{"ppp0", "ppp1", "ppp2"} {
		r.network.DelLink(name) // whoever stops the daemon ends its sessions
	}
	r.apply(state())
	if got := r.network.String(); strings.Contains(got, "proto 118") || len(r.memory) > 0 {
		t.Errorf("left: routes %q, memory %s", got, r.encode(r.memory))
	}
}

// TestCheck refuses what the host cannot do, with the cure.
func TestCheck(t *testing.T) {
	tests := []struct {
		name   string
		change func(r *rig, s *desired.State)
		want   string
	}{
		{"fine", func(*rig, *desired.State) {}, ""},
		{"no pppd", func(r *rig, _ *desired.State) { r.lacks = []string{"pppd"} }, "ppp: pppd is not installed; apt-get install ppp"},
		{"no device", func(r *rig, _ *desired.State) { r.lacks = []string{"/dev/ppp"} }, "ppp: /dev/ppp is missing; mknod"},
		{"no module", func(r *rig, s *desired.State) {
			s.Modules, r.modules.Absent = []string{"ppp_mppe"}, []string{"ppp_mppe"}
		}, "module/ppp_mppe: the running kernel has no module ppp_mppe; use a kernel"},
		{"open secrets", func(r *rig, _ *desired.State) { r.files.Put("/etc/ppp/chap-secrets", "", 0o644) },
			"file/etc/ppp/chap-secrets: mode 0644 lets others read the passwords; chmod 600 /etc/ppp/chap-secrets"},
		{"foreign options", func(r *rig, _ *desired.State) { r.files.Put("/etc/ppp/options.vpnctl-l2tp-office", "auth\n", 0o644) },
			"file/etc/ppp/options.vpnctl-l2tp-office: a file that is not vpnctl's stands there"},
		{"foreign route", func(r *rig, s *desired.State) {
			s.PPP.Links = []desired.PPPLink{r.link("other")}
			r.network.AddLink("eth0", rtnl.Route{Dst: netip.MustParsePrefix("10.20.0.0/24")})
		}, "l2tp/other: route 10.20.0.0/24 is there already and not vpnctl's; ip route del 10.20.0.0/24"},
		{"override", func(r *rig, s *desired.State) {
			s.PPP.Links = []desired.PPPLink{r.link("other")}
			r.files.Put("/etc/ppp/ip-up.local", "#!/bin/sh\n", 0o755)
		}, "l2tp/other: /etc/ppp/ip-up.local keeps pppd from calling what is in ip-up.d"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			s := state(server("office"))
			tt.change(r, s)
			err := r.backend().Check(context.Background(), r.input(s))
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.want != "" && (!backend.IsRefusal(err) || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("check says %v, want %s", err, tt.want)
			}
		})
	}
}

// TestStatus looks at rows, servers and kick.
func TestStatus(t *testing.T) {
	r := newRig(t)
	s := state(server("office", r.users(map[string]string{"user1": "one", "user2": "two at 192.168.130.50"})))
	s.PPP.Links = []desired.PPPLink{r.link("far"), r.link("near")}
	r.apply(s)
	rx, tx, idle := uint64(92), uint64(148), 3*time.Second
	since := r.now.Add(-time.Minute)
	r.sessions.Begin(ppp.Session{Protocol: desired.L2TP, Name: "office", User: "user2", Local: addr("192.168.130.1"), Remote: addr("192.168.130.50"),
		Outer: "10.77.0.2:40001", OuterLocal: "10.13.0.101:1701", Since: since, RxBytes: rx, TxBytes: tx, Idle: idle})
	r.sessions.Begin(ppp.Session{Protocol: desired.L2TP, Name: "near", Link: true, User: "branch", Local: addr("192.168.140.9"),
		Remote: addr("192.168.140.1"), Outer: "10.13.0.101:1701", Since: since, RxBytes: rx, TxBytes: tx, Idle: idle})
	r.sessions.Begin(ppp.Session{Protocol: desired.PPTP, Remote: addr("10.1.1.1"), Since: since, RxBytes: rx, TxBytes: tx, Idle: idle})
	r.sessions.Begin(ppp.Session{Remote: addr("10.1.1.2")}) // somebody's modem
	rows, err := r.backend().Status(t.Context(), r.input(s))
	if err != nil {
		t.Fatal(err)
	}
	want := []backend.Tunnel{
		{Protocol: backend.L2TP, Name: "office", State: backend.Up, Interface: "ppp0", Local: "10.13.0.101:1701", Remote: "10.77.0.2:40001",
			Addresses: []string{"192.168.130.50"}, User: "user2", Since: since, RxBytes: &rx, TxBytes: &tx, Idle: &idle},
		{Protocol: backend.L2TP, Name: "near", State: backend.Up, Peer: "192.168.140.1", Interface: "ppp1", Remote: "10.13.0.101:1701", Endpoint: "10.13.0.101",
			Addresses: []string{"192.168.140.9"}, User: "branch", Since: since, RxBytes: &rx, TxBytes: &tx, Idle: &idle},
		{Protocol: backend.PPTP, Name: "ppp2", State: backend.Up, Interface: "ppp2", Addresses: []string{"10.1.1.1"}, Since: since,
			RxBytes: &rx, TxBytes: &tx, Idle: &idle, Foreign: true},
		{Protocol: backend.L2TP, Name: "far", State: backend.Connecting, Endpoint: "10.13.0.101", User: "branch"},
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	servers, err := r.backend().Servers(t.Context(), r.input(s))
	if diff := cmp.Diff([]backend.Server{{Protocol: backend.L2TP, Name: "office", Pool: []string{"192.168.130.100-192.168.130.200"}, Used: 1, Free: 100}}, servers); err != nil || diff != "" {
		t.Errorf("servers (-want +got): %v\n%s", err, diff)
	}
	for _, user := range []string{"branch", "nobody"} {
		if ended, err := r.backend().Kick(t.Context(), r.input(s), user); err != nil || len(ended) > 0 {
			t.Errorf("kick of %s ended %v, %v", user, ended, err)
		}
	}
	ended, err := r.backend().Kick(t.Context(), r.input(s), "user2")
	if diff := cmp.Diff([]backend.Session{{Protocol: backend.L2TP, Name: "office", User: "user2", Address: "192.168.130.50"}}, ended); err != nil || diff != "" {
		t.Errorf("kick (-want +got): %v\n%s", err, diff)
	}
}
