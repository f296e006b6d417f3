package ipsec_test

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/ipsec"
	"github.com/vpnctl/vpnctl/internal/plan"
)

// again is a rig with another host.
func (r *rig) again() *rig {
	fresh := newRig(r.t)
	fresh.secrets = r.secrets
	return fresh
}

// TestWalk goes from state to state at random: wherever it comes from, it arrives at the
// same host as from nothing, with every SA on the settings that are loaded.
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
		switch random.IntN(8) {
		case 0:
			r.charon.Kill()
		case 1:
			r.charon.Restart()
		}
		r.apply(s.State)
		fresh := r.again()
		if r.memory.Get("ipsec/daemon", new(ipsec.DaemonSetup)) {
			fresh.charon.Kill() // so that it is vpnctl's there, too
		}
		fresh.apply(s.State)
		if s.IPsec.IsZero() {
			// It runs where somebody else started it.
			r.charon.Restart()
			fresh.charon.Restart()
		}
		r.charon.BringUp()
		fresh.charon.BringUp()
		if diff := cmp.Diff(fresh.host(), r.host()); diff != "" {
			t.Fatalf("from %q to %q (-fresh +walked):\n%s", from, s.name, diff)
		}
		from = s.name
	}
	r.apply(state())
	if len(r.memory) > 0 {
		t.Errorf("after removing everything this is remembered: %s", r.encode(r.memory))
	}
	r.charon.Restart() // which it did not run before the first apply, or did
	if diff := cmp.Diff(empty, r.host()); diff != "" {
		t.Errorf("after removing everything (-before +after):\n%s", diff)
	}
}

// TestFaults fails every write of every transition between neighbours, by an error or by
// the death of the process, undoes, and finds the host as it was, with its tunnels up.
func TestFaults(t *testing.T) {
	r := newRig(t)
	states := r.states()
	for n := range states {
		to := states[(n+1)%len(states)]
		r.faults(states[n], to)
		r.faults(to, states[n])
		if n%4 == 0 {
			r.faults(states[0], to)
			r.faults(to, states[0])
		}
	}
}

func (r *rig) faults(from, to named) {
	t := r.t
	t.Helper()
	for k := 1; ; k++ {
		r := r.again()
		if k%3 == 0 {
			r.charon.Kill() // so that it is started, and stopped in the end
		}
		r.apply(from.State)
		r.charon.BringUp()
		before := r.state()
		p := r.plan(to.State)
		hit := r.failAt(k, k%2 == 0)
		err := r.do(p)
		r.heal()
		if !hit() {
			if err != nil {
				t.Fatalf("%s -> %s: %v", from.name, to.name, err)
			}
			after := r.state()
			if err := r.undo(); err != nil {
				t.Fatalf("%s -> %s: %v", from.name, to.name, err)
			}
			if diff := cmp.Diff(before, r.state()); diff != "" {
				t.Fatalf("%s -> %s, undone (-before +after):\n%s\n%s\nafter:\n%s", from.name, to.name, diff, p.Text(plan.Palette{}), after)
			}
			return
		}
		if err == nil {
			t.Fatalf("%s -> %s: a failed write %d went unnoticed", from.name, to.name, k)
		}
		if err := r.undo(); err != nil {
			t.Fatalf("%s -> %s, write %d: %v\n%s", from.name, to.name, k, err, r.state())
		}
		if diff := cmp.Diff(before, r.state()); diff != "" {
			t.Fatalf("%s -> %s, undone after write %d (-before +after):\n%s", from.name, to.name, k, diff)
		}
		if stale := r.charon.Stale(); len(stale) > 0 {
			t.Fatalf("%s -> %s, undone after write %d: %q have other settings", from.name, to.name, k, stale)
		}
	}
}

// TestCutOff leaves an apply in the middle, without undo: the next one converges.
func TestCutOff(t *testing.T) {
	base := newRig(t)
	states := base.states()
	for n := range states {
		from, to := states[n], states[(n+1)%len(states)]
		for k := 1 + n%2; ; k += 2 {
			r := base.again()
			r.apply(from.State)
			r.charon.BringUp()
			hit := r.failAt(k, true)
			_ = r.do(r.plan(to.State))
			r.heal()
			if !hit() {
				break
			}
			if k%3 == 0 {
				r.charon.Restart()
			}
			r.apply(to.State)
			fresh := base.again()
			if r.memory.Get("ipsec/daemon", new(ipsec.DaemonSetup)) {
				fresh.charon.Kill()
			}
			fresh.apply(to.State)
			r.charon.BringUp()
			fresh.charon.BringUp()
			if diff := cmp.Diff(fresh.host(), r.host()); diff != "" {
				t.Fatalf("%s -> %s, cut off at write %d (-fresh +converged):\n%s", from.name, to.name, k, diff)
			}
		}
	}
}
