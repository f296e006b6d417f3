package cli_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestArmedFaults: whichever write of an armed apply fails, nothing is armed afterwards and
// the host is as before; and where vpnctl is killed there instead, its guardian goes back,
// or where it had none yet, rollback does.
func TestArmedFaults(t *testing.T) {
	all := transitions(t)
	for _, name := range []string{"nat linux2 first", "nat linux2 change", "nat linux2 destroy", "tunnel gw-a change", "AH server-b destroy"} {
		tr := all[name]
		t.Run(name, func(t *testing.T) {
			for k := 1; ; k++ {
				if !tr.armedFault(t, k, false) || !tr.armedFault(t, k, true) {
					t.Logf("%d writes", k-1)
					return
				}
			}
		})
	}
}

// armedFault fails an armed apply at its k-th write, or kills it there, and reports false
// where it has fewer.
func (tr transition) armedFault(t *testing.T, k int, kill bool) bool {
	t.Helper()
	m := tr.machine(t)
	tr.mustApply(t, m, tr.from)
	m.charon.BringUp()
	before, remembered := m.String(), m.remembered(t)
	m.failAt(k)
	if kill {
		m.killAt(k)
	}
	args := []string{"apply", "--confirm", "1m", "--node", tr.node, tr.to}
	if tr.to == "" {
		args = []string{"destroy", "--yes", "--confirm", "1m"}
	}
	r := m.vpnctl(t.TempDir(), "", args...)
	if m.repair() < k {
		if r.code != 0 || !m.guards {
			t.Fatalf("without a fault: exit code %d, guardian %t", r.code, m.guards)
		}
		return false
	}
	want := 4
	if kill {
		want = exitKilled
		// Its last step was made at the time of the disk.
		m.wg.Time = time.Now().Add(2 * time.Minute)
		undo := "rollback"
		if m.guards {
			undo = "revert"
		}
		if r := m.vpnctl(t.TempDir(), "", undo); r.code != 0 {
			t.Fatalf("killed at write %d: %s: exit code %d, %s", k, undo, r.code, r.stderr)
		}
		m.guards = false
	}
	if r.code != want {
		t.Fatalf("write %d: exit code %d, not %d: %s", k, r.code, want, r.stderr)
	}
	m.charon.BringUp()
	if diff := cmp.Diff(before, m.String()); diff != "" {
		t.Fatalf("write %d, kill %t, host (-before +after):\n%s", k, kill, diff)
	}
	if diff := cmp.Diff(remembered, m.remembered(t)); diff != "" {
		t.Fatalf("write %d, kill %t, state (-before +after):\n%s", k, kill, diff)
	}
	if r := m.vpnctl(t.TempDir(), "", "confirm"); r.code != 3 {
		t.Fatalf("write %d, kill %t: something is armed still: %d %s", k, kill, r.code, r.stdout)
	}
	return true
}
