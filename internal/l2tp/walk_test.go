package l2tp_test

import (
	"errors"
	"math/rand/v2"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/l2tp"
)

var digest = regexp.MustCompile(`sha256 [0-9a-f]{12}`)

// states are some between which everything changes.
func states() []desired.PPP {
	return []desired.PPP{
		{},
		ppp(server("office")),
		ppp(server("office", pools(addrs("192.168.131.2", "192.168.131.9")))),
		ppp(server("office", func(s *desired.PPPServer) { s.MaxSessions = 3 }), link("far", "10.13.0.9")),
		ppp(server("lab", pools()), link("far", "10.13.0.9"), link("near", "gw.example.net")),
		ppp(link("far", "10.13.0.10")),
	}
}

// TestRandomWalk goes from state to state in any order: each is as if it were the first.
func TestRandomWalk(t *testing.T) {
	for _, systemd := range []bool{false, true} {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		want := map[int]string{}
		fresh := func(i int) string {
			if _, ok := want[i]; !ok {
				r := newRig(t)
				r.host.State.Systemd = systemd
				r.converge(states()[i])
				want[i] = r.String()
			}
			return want[i]
		}
		r := newRig(t)
		r.host.State.Systemd = systemd
		for range 300 {
			i := random.IntN(len(states()))
			r.converge(states()[i])
			if diff := cmp.Diff(fresh(i), r.String()); diff != "" {
				t.Fatalf("state %d, not as on a fresh host (-want +got):\n%s", i, diff)
			}
			if len(states()[i].Servers) > 0 && random.IntN(2) == 0 {
				r.host.Login("user", "192.168.130.100")
			}
			if random.IntN(10) == 0 {
				r.host.Kill()
			}
		}
	}
}

// TestFaults lets each write of each change fail: undone, the host is as before; cut off,
// the next apply does the rest.
func TestFaults(t *testing.T) {
	all := append(states(), desired.PPP{})
	for _, foreign := range []bool{false, true} {
		for a := range all {
			for b := range all {
				more := true
				for k := 0; more; k++ {
					more = fault(t, foreign, all[a], all[b], k)
				}
			}
		}
	}
}

// fault lets the k-th write fail; it reports false where there is none.
func fault(t *testing.T, foreign bool, a, b desired.PPP, k int) bool {
	start := func() *rig {
		r := newRig(t)
		if foreign {
			r.host.Files.Put(l2tp.ConfPath, theirs, 0o644)
			r.run()
		}
		r.options.Adopt = true
		r.converge(a)
		if len(a.Servers) > 0 {
			r.host.Login("user", "192.168.130.100")
		}
		return r
	}
	fails := func(r *rig) bool {
		n := 0
		r.host.Fault = func(string) error {
			if n++; n == k+1 {
				return errors.New("injected")
			}
			return nil
		}
		err := r.apply(r.plan(b))
		r.host.Fault = nil
		return err != nil
	}
	r := start()
	before := r.String()
	if !fails(r) {
		return false
	}
	r.undo()
	if diff := cmp.Diff(before, r.String()); diff != "" {
		t.Fatalf("write %d undone (-before +after):\n%s", k, diff)
	}
	if rest := r.plan(a); len(rest.Steps) > 0 {
		t.Errorf("write %d undone, there is to do:\n%v", k, rest.Steps)
	}
	// The same in a process that is killed there.
	r = start()
	fails(r)
	r.converge(b)
	return true
}
