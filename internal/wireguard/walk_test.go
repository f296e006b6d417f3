package wireguard_test

import (
	"math/rand/v2"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/wireguard/wireguardtest"
)

// resolvable lets the names of the states resolve.
func (r *rig) resolvable() *rig {
	r.host.Names["vpn.example.net"] = []netip.Addr{netip.MustParseAddr("192.0.2.99")}
	return r
}

var listenPort = regexp.MustCompile(`ListenPort = \d+`)

// comparableState is the host without the ports that nobody asked for.
func comparableState(r *rig, s *desired.State) string {
	for _, i := range s.Interfaces {
		if i.ListenPort == 0 {
			return listenPort.ReplaceAllString(r.state(), "ListenPort = any")
		}
	}
	return r.state()
}

// TestWalk goes from state to state at random: wherever it comes from, it arrives at the
// same host as from nothing.
func TestWalk(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	r := newRig(t).resolvable()
	states := r.states()
	if len(states) < 30 {
		t.Fatalf("only %d states", len(states))
	}
	empty := r.state()
	from := "empty"
	for range 400 {
		s := states[random.IntN(len(states))]
		r.options.Userspace = random.IntN(4) == 0
		r.apply(s.State)
		fresh := r.again()
		fresh.apply(s.State)
		if diff := cmp.Diff(comparableState(fresh, s.State), comparableState(r, s.State)); diff != "" {
			t.Fatalf("from %q to %q (-fresh +walked):\n%s", from, s.name, diff)
		}
		from = s.name
	}
	r.apply(state())
	if diff := cmp.Diff(empty, r.state()); diff != "" {
		t.Errorf("after removing everything (-before +after):\n%s", diff)
	}
}

// TestFaults fails every write of every transition between neighbours, undoes, and finds
// the host as it was.
func TestFaults(t *testing.T) {
	for _, killed := range []bool{false, true} {
		name := map[bool]string{false: "error", true: "killed"}[killed]
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			states := r.states()
			for n := range states {
				to := states[(n+1)%len(states)]
				r.faults(states[n], to, killed)
				r.faults(to, states[n], killed)
				if !killed {
					r.faults(states[0], to, killed)
					r.faults(to, states[0], killed)
				}
			}
		})
	}
}

// stride is 1, but for states with hundreds of writes that are alike.
func stride(from, to named) int {
	if strings.HasPrefix(from.name, "many") || strings.HasPrefix(to.name, "many") {
		return 37
	}
	return 1
}

// again is a rig with another host.
func (r *rig) again() *rig {
	fresh := newRig(r.t).resolvable()
	fresh.secrets = r.secrets
	return fresh
}

func (r *rig) faults(from, to named, killed bool) {
	t := r.t
	t.Helper()
	for k := 1; ; k += stride(from, to) {
		r := r.again()
		r.apply(from.State)
		before := r.state()
		p := r.plan(to.State)
		hit := r.failAt(k, killed)
		err := r.do(p)
		r.host.Fault = nil
		if !hit() {
			if err != nil {
				t.Fatalf("%s -> %s: %v", from.name, to.name, err)
			}
			finish(t, r, from, to, before)
			return
		}
		if err == nil && !killed {
			t.Fatalf("%s -> %s: a failed write %d went unnoticed", from.name, to.name, k)
		}
		if k%2 == 0 { // half of them begin the undo from a redone journal
			if err := r.redo(); err != nil {
				t.Fatalf("%s -> %s, write %d: %v", from.name, to.name, k, err)
			}
		}
		if err := r.undo(); err != nil {
			t.Fatalf("%s -> %s, write %d: %v\n%s", from.name, to.name, k, err, r.host)
		}
		if diff := cmp.Diff(before, r.state()); diff != "" {
			t.Fatalf("%s -> %s, undone after write %d (-before +after):\n%s", from.name, to.name, k, diff)
		}
	}
}

// finish undoes a whole apply, and does it again.
func finish(t testing.TB, r *rig, from, to named, before string) {
	t.Helper()
	after := r.state()
	if err := r.undo(); err != nil {
		t.Fatalf("%s -> %s: %v", from.name, to.name, err)
	}
	if diff := cmp.Diff(before, r.state()); diff != "" {
		t.Fatalf("%s -> %s, undone (-before +after):\n%s", from.name, to.name, diff)
	}
	if err := r.redo(); err != nil {
		t.Fatalf("%s -> %s: %v", from.name, to.name, err)
	}
	if diff := cmp.Diff(after, r.state()); diff != "" && !strings.Contains(diff, "ListenPort") {
		t.Fatalf("%s -> %s, redone (-first +second):\n%s", from.name, to.name, diff)
	}
}

// TestCutOff leaves an apply in the middle, without undo: the next one converges.
func TestCutOff(t *testing.T) {
	base := newRig(t)
	states := base.states()
	for n := range states {
		from, to := states[n], states[(n+1)%len(states)]
		for k := 1; ; k += stride(from, to) {
			r := base.again()
			r.apply(from.State)
			hit := r.failAt(k, true)
			_ = r.do(r.plan(to.State))
			r.host.Fault = nil
			if !hit() {
				break
			}
			r.apply(to.State)
			fresh := base.again()
			fresh.apply(to.State)
			if diff := cmp.Diff(comparableState(fresh, to.State), comparableState(r, to.State)); diff != "" {
				t.Fatalf("%s -> %s, cut off at write %d (-fresh +converged):\n%s", from.name, to.name, k, diff)
			}
		}
	}
}

// TestCutOffAtBirth ends the process between a link and its mark, on every way on which
// links come into being.
func TestCutOffAtBirth(t *testing.T) {
	base := newRig(t)
	for _, to := range []*desired.State{state(base.wg0()), state(base.wg0(netns("blue")))} {
		for _, next := range []*desired.State{to, state(), state(base.wg0(netns("green")))} {
			for _, userspace := range []bool{false, true} {
				r := base.again()
				before := r.state()
				r.options.Userspace = userspace
				r.host.Fault = func(write string) error {
					if write == "setting link wg0" {
						return wireguardtest.ErrKilled
					}
					return nil
				}
				if err := r.do(r.plan(to)); err == nil {
					t.Fatal("the process was not killed")
				}
				r.host.Fault = nil
				r.apply(next)
				fresh := base.again()
				fresh.apply(next)
				if diff := cmp.Diff(fresh.state(), r.state()); diff != "" {
					t.Fatalf("converged (-fresh +have):\n%s", diff)
				}
				r.apply(state())
				if diff := cmp.Diff(before, r.state()); diff != "" {
					t.Fatalf("removed (-before +after):\n%s", diff)
				}
			}
		}
	}
}

// TestForeignNamespace uses a namespace that somebody else made, and leaves it there,
// unless it went in between and had to be made.
func TestForeignNamespace(t *testing.T) {
	r := newRig(t)
	if err := r.host.Add("blue"); err != nil {
		t.Fatal(err)
	}
	before := r.state()
	want := state(r.wg0(netns("blue")))
	r.apply(want)
	r.apply(state())
	if diff := cmp.Diff(before, r.state()); diff != "" {
		t.Errorf("foreign namespace (-before +after):\n%s", diff)
	}
	r.apply(want)
	if err := r.host.Del("blue"); err != nil {
		t.Fatal(err)
	}
	r.apply(want)
	r.apply(state())
	if r.host.Has("blue") {
		t.Error("the namespace that vpnctl made is left")
	}
}
