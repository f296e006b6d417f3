package ppp_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/plan"
	"github.com/vpnctl/vpnctl/internal/ppp"
)

type named struct {
	name string
	*desired.State
}

// states are what the walk goes between.
func (r *rig) states() []named {
	few := r.users(map[string]string{"user1": "one-one", "user2": "two-two at 192.168.130.50"})
	other := r.users(map[string]string{"user2": "changed at 192.168.130.51", "user3": "three-three", `odd "one"`: `p a#s"q\ä`})
	radius := func(s *desired.PPPServer) {
		s.Radius = []desired.RadiusServer{{Host: "10.13.0.9", AuthPort: 1812, AcctPort: 1813, Secret: r.secrets.put("of radius")}}
	}
	pptp := func(s *desired.PPPServer) {
		s.Protocol, s.Auth, s.MPPE, s.LocalIP = desired.PPTP, []string{"mschapv2"}, true, addr("192.168.0.1")
	}
	links := state()
	links.PPP.Links = []desired.PPPLink{r.link("far", func(l *desired.PPPLink) { l.DefaultRoute, l.UseDNS = true, true }), r.link("near")}
	links.Modules = []string{"l2tp_ppp", "ppp_generic"}
	both := state(server("office", few), server("legacy", pptp, other))
	both.PPP.Links = []desired.PPPLink{r.link("near", func(l *desired.PPPLink) { l.Routes = []netip.Prefix{netip.MustParsePrefix("10.30.0.0/16")} })}
	return []named{
		{"empty", state()},
		{"a server", state(server("office", few))},
		{"others on it", state(server("office", other))},
		{"with PAP", state(server("office", few, func(s *desired.PPPServer) { s.Auth = []string{"mschapv2", "pap"} }))},
		{"PAP alone, another name", state(server("branch", few, func(s *desired.PPPServer) { s.Auth = []string{"pap"} }))},
		{"RADIUS", state(server("office", radius, func(s *desired.PPPServer) { s.Idle = time.Minute }))},
		{"links", links},
		{"all", both},
	}
}

// TestWalk goes from state to state at random: wherever it comes from, it arrives at the
// same host as from nothing.
func TestWalk(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	r := newRig(t)
	states := r.states()
	empty := r.host()
	from := "empty"
	for range 200 {
		s := states[random.IntN(len(states))]
		r.apply(s.State)
		fresh := newRig(t)
		fresh.secrets = r.secrets
		fresh.apply(s.State)
		if diff := cmp.Diff(fresh.host(), r.host()); diff != "" {
			t.Fatalf("from %q to %q (-fresh +walked):\n%s", from, s.name, diff)
		}
		from = s.name
	}
	r.apply(state())
	if len(r.memory) > 0 {
		t.Errorf("after removing everything this is remembered: %s", r.encode(r.memory))
	}
	if diff := cmp.Diff(empty, r.host()); diff != "" {
		t.Errorf("after removing everything (-before +after):\n%s", diff)
	}
}

// dialIn lets users and links be up.
func (r *rig) dialIn() {
	begin(r.sessions, "user1", "192.168.130.100")
	begin(r.sessions, "user2", "192.168.130.50")
	r.sessions.Begin(ppp.Session{Protocol: desired.L2TP, Name: "near", Link: true, User: "branch", Interface: "ppp9",
		Local: addr("192.168.140.9"), Remote: addr("192.168.140.1")})
	r.network.AddLink("ppp9")
}

// TestFaults fails every write between any two states, by an error or by the death of the
// process, undoes, and finds the host as it was. Sessions that have ended have ended:
// nothing comes after them.
func TestFaults(t *testing.T) {
	states := newRig(t).states()
	for i := range states {
		for j := range states {
			if i != j {
				faults(t, i, j)
			}
		}
	}
}

func faults(t *testing.T, i, j int) {
	t.Helper()
	for k := 1; ; k++ {
		r := newRig(t)
		states := r.states()
		from, to := states[i], states[j]
		r.apply(from.State)
		r.dialIn()
		before := r.quiet()
		p := r.plan(to.State)
		hit := r.failAt(k, k%2 == 0)
		err := r.do(p)
		r.heal()
		if !hit() {
			if err != nil {
				t.Fatalf("%s -> %s: %v", from.name, to.name, err)
			}
			return
		}
		if err == nil {
			t.Fatalf("%s -> %s: a failed write %d went unnoticed", from.name, to.name, k)
		}
		sessions := r.sessions.String()
		if err := r.undo(); err != nil {
			t.Fatalf("%s -> %s, write %d: %v\n%s", from.name, to.name, k, err, r.state())
		}
		if sessions != r.sessions.String() {
			t.Fatalf("%s -> %s: undo ended sessions", from.name, to.name)
		}
		if diff := cmp.Diff(before, r.quiet()); diff != "" {
			t.Fatalf("%s -> %s, undone after write %d (-before +after):\n%s\n%s", from.name, to.name, k, diff, p.Text(plan.Palette{}))
		}
	}
}

// TestCutOff leaves an apply in the middle, without undo: the next one converges.
func TestCutOff(t *testing.T) {
	states := newRig(t).states()
	for i := range states {
		for k := 1; ; k++ {
			r := newRig(t)
			states := r.states()
			to := states[(i+1)%len(states)]
			r.apply(states[i].State)
			hit := r.failAt(k, true)
			_ = r.do(r.plan(to.State))
			r.heal()
			if !hit() {
				break
			}
			r.apply(to.State)
			fresh := newRig(t)
			fresh.secrets = r.secrets
			fresh.apply(to.State)
			if diff := cmp.Diff(fresh.host(), r.host()); diff != "" {
				t.Fatalf("%s -> %s, cut off at write %d (-fresh +converged):\n%s", states[i].name, to.name, k, diff)
			}
		}
	}
}
