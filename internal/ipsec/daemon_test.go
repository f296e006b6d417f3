package ipsec_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/plan"
)

// TestDaemon holds when charon is started and stopped, and by whom.
func TestDaemon(t *testing.T) {
	tests := []struct {
		name                      string
		running, systemd, enabled bool
		foreign                   bool
		start, stop               string // lines of the daemon
		runs                      bool   // after destroy
	}{
		{name: "without systemd", start: "+ daemon/charon-systemd\n    started_by: vpnctl\n", stop: "- daemon/charon-systemd\n"},
		{name: "without systemd, runs", running: true, runs: true},
		{name: "systemd", systemd: true, enabled: true,
			start: "+ daemon/charon-systemd\n    started_by: strongswan.service\n", stop: "- daemon/charon-systemd\n"},
		{name: "systemd, runs", running: true, systemd: true, enabled: true, runs: true},
		{name: "systemd, not at boot", systemd: true,
			start: "+ daemon/charon-systemd\n    started_by: strongswan.service\n", stop: "- daemon/charon-systemd\n"},
		{name: "systemd, runs, not at boot", running: true, systemd: true, runs: true,
			start: "~ daemon/charon-systemd\n    at_boot: no -> yes\n", stop: "~ daemon/charon-systemd\n    at_boot: yes -> no\n"},
		{name: "somebody else needs it by then", foreign: true, runs: true,
			start: "+ daemon/charon-systemd\n    started_by: vpnctl\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			if !tt.running {
				r.charon.Kill()
			}
			r.charon.Condition.Systemd, r.charon.Condition.Enabled = tt.systemd, tt.enabled
			want := state(net(r, "a"))
			if diff := cmp.Diff(tt.start, daemonLines(r.text(want))); diff != "" {
				t.Errorf("start (-want +got):\n%s", diff)
			}
			r.apply(want)
			if tt.systemd && !r.charon.Condition.Enabled {
				t.Error("it would not start at boot")
			}
			if tt.foreign {
				r.charon.Load("theirs", "x", "y")
			}
			if diff := cmp.Diff(tt.stop, daemonLines(r.text(state()))); diff != "" {
				t.Errorf("stop (-want +got):\n%s", diff)
			}
			r.apply(state())
			if runs := !strings.HasPrefix(r.charon.String(), "charon is not running"); runs != tt.runs {
				t.Errorf("runs: %t", runs)
			}
			if r.charon.Condition.Enabled != tt.enabled {
				t.Errorf("starts at boot: %t", r.charon.Condition.Enabled)
			}
			if len(r.memory) > 0 || r.text(state()) != plan.NoChanges {
				t.Errorf("left: %v", r.memory)
			}
		})
	}
}

// daemonLines are those of a plan that are about charon's process.
func daemonLines(text string) string {
	var out strings.Builder
	in := false
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, " ") {
			in = strings.Contains(line, " daemon/")
		}
		if in {
			out.WriteString(line)
		}
	}
	return out.String()
}
