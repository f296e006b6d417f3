package plan_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/plan"
)

// step is a step with changes that does nothing.
func step(phase backend.Phase, changes ...backend.Change) backend.Step {
	return backend.Step{Phase: phase, Changes: changes}
}

// one is a plan of these changes.
func one(changes ...backend.Change) *plan.Plan {
	return plan.New("hq", "gw1", []backend.Step{step(backend.PhasePeer, changes...)})
}

func text(name, have, want string) backend.Field {
	return backend.Field{Name: name, Have: backend.Text(have), Want: backend.Text(want)}
}

var (
	user1 = backend.Session{Protocol: backend.L2TP, Name: "office", User: "user1", Address: "192.168.130.100"}
	user2 = backend.Session{Protocol: backend.L2TP, Name: "office", User: "user2", Address: "192.168.130.50"}
	east  = backend.Session{Protocol: backend.WireGuard, Name: "wg0", Peer: "east"}
)

func TestOrder(t *testing.T) {
	create := func(object string) backend.Change { return backend.Change{Action: backend.Create, Object: object} }
	steps := []backend.Step{
		step(backend.PhaseNAT, create("nat/gw1/rule/10.0.0.0/8->auto")),
		step(backend.PhaseGuard, create("guard")),
		step(backend.PhaseRoute, create("route/10.2.0.0/16")),
		step(backend.PhaseRemoveLink, backend.Change{Action: backend.Delete, Object: "wireguard/wg1"}),
		step(backend.PhaseRoute, create("route/10.1.0.0/16")),
		step(backend.PhaseLink, create("wireguard/wg0")),
	}
	p := plan.New("hq", "gw1", steps)
	var got []string
	for _, c := range p.Changes() {
		got = append(got, c.Object)
	}
	want := []string{
		"guard", "wireguard/wg0", "route/10.2.0.0/16", "route/10.1.0.0/16", "nat/gw1/rule/10.0.0.0/8->auto", "wireguard/wg1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if steps[0].Phase != backend.PhaseNAT {
		t.Error("the caller's steps have been sorted")
	}
}

func TestEmpty(t *testing.T) {
	silent := backend.Remember(backend.PhaseMemory, "sysctl/net/ipv4/ip_forward", nil, "0")
	for name, tt := range map[string]struct {
		steps []backend.Step
		want  bool
	}{
		"no steps":        {nil, true},
		"silent ones":     {[]backend.Step{silent, step(backend.PhaseLink)}, true},
		"one with a line": {[]backend.Step{silent, step(backend.PhaseLink, backend.Change{Object: "wireguard/wg0"})}, false},
	} {
		if got := plan.New("hq", "gw1", tt.steps).Empty(); got != tt.want {
			t.Errorf("%s: empty %v, want %v", name, got, tt.want)
		}
	}
}

func TestMerge(t *testing.T) {
	const object = "l2tp/office"
	update := func(i backend.Impact, fields ...backend.Field) backend.Change {
		return backend.Change{Action: backend.Update, Object: object, Impact: i, Fields: fields}
	}
	restart := backend.Impact{Level: backend.Disrupt, What: "restarts xl2tpd", Sessions: []backend.Session{user1}}
	tests := []struct {
		name string
		a, b backend.Change
		want backend.Change
	}{
		{"fields", update(backend.Impact{}, text("mtu", "1400", "1300")), update(backend.Impact{}, text("idle", "1h", "30m")),
			update(backend.Impact{}, text("idle", "1h", "30m"), text("mtu", "1400", "1300"))},
		{"a field twice", update(backend.Impact{}, text("mtu", "1400", "1300")), update(backend.Impact{}, text("mtu", "1300", "1200")),
			update(backend.Impact{}, text("mtu", "1400", "1200"))},
		{"the greater impact speaks",
			update(backend.Impact{Level: backend.Reload, What: "reloads charon"}), update(restart), update(restart)},
		{"whichever comes first",
			update(restart), update(backend.Impact{Level: backend.Reload, What: "reloads charon"}), update(restart)},
		{"equal impacts both speak", update(restart),
			update(backend.Impact{Level: backend.Disrupt, What: "closes the tunnel", Sessions: []backend.Session{user1, user2}}),
			update(backend.Impact{
				Level: backend.Disrupt, What: "restarts xl2tpd; closes the tunnel", Sessions: []backend.Session{user1, user2},
			})},
		{"the same impact speaks once", update(restart), update(restart), update(restart)},
		{"notes",
			backend.Change{Action: backend.Update, Object: object, Note: "x"},
			backend.Change{Action: backend.Update, Object: object, Note: "y"},
			backend.Change{Action: backend.Update, Object: object, Note: "x; y"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			steps := []backend.Step{step(backend.PhaseFile, tt.a), step(backend.PhaseDaemon, tt.b)}
			fields := slices.Clone(tt.a.Fields)
			got := plan.New("hq", "gw1", steps).Changes()
			if diff := cmp.Diff([]backend.Change{tt.want}, got, cmp.AllowUnexported(backend.Value{}), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("merged (-want +got):\n%s", diff)
			}
			if !slices.Equal(fields, tt.a.Fields) {
				t.Errorf("the step's own fields have become %v", tt.a.Fields)
			}
		})
	}
}

// Another action on the same object is another line.
func TestMergeKeepsActionsApart(t *testing.T) {
	p := plan.New("hq", "gw1", []backend.Step{
		step(backend.PhaseFree, backend.Change{Action: backend.Delete, Object: "route/10.0.0.0/8"}),
		step(backend.PhaseRoute, backend.Change{Action: backend.Create, Object: "route/10.0.0.0/8"}),
	})
	want := "- route/10.0.0.0/8\n+ route/10.0.0.0/8\nplan: 1 to create, 0 to update, 1 to delete; 0 disruptive\n"
	if diff := cmp.Diff(want, p.Text(plan.Palette{})); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
}

func TestMaxImpact(t *testing.T) {
	change := func(object string, l backend.Level) backend.Change {
		return backend.Change{Action: backend.Update, Object: object, Impact: backend.Impact{Level: l}}
	}
	tests := []struct {
		changes []backend.Change
		level   backend.Level
		object  string
	}{
		{nil, backend.None, ""},
		{[]backend.Change{change("a", backend.None)}, backend.None, ""},
		{[]backend.Change{change("a", backend.Reload), change("b", backend.None)}, backend.Reload, "a"},
		{[]backend.Change{change("a", backend.Reload), change("b", backend.Disrupt), change("c", backend.Disrupt)}, backend.Disrupt, "b"},
	}
	for _, tt := range tests {
		if level, object := one(tt.changes...).MaxImpact(); level != tt.level || object != tt.object {
			t.Errorf("of %v: %s %q, want %s %q", tt.changes, level, object, tt.level, tt.object)
		}
	}
}
