package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/backend"
)

// reboot leaves of the toy host what is somebody else's: none of vpnctl's settings lasts.
func (b *bench) reboot() {
	for k := range b.toy.host.settings {
		if !strings.HasPrefix(k, "foreign") {
			delete(b.toy.host.settings, k)
		}
	}
	_ = b.saveLeftOut(nil) // the run folder is new
	b.toy.host.writes = 0
}

// boot boots into what was applied last, and returns what was left out.
func (b *bench) boot(change ...func(*BootRequest)) string {
	b.t.Helper()
	a, err := b.State.Applied()
	if err != nil {
		b.t.Fatal(err)
	}
	req := BootRequest{Want: a.State, Applied: a.State}
	for _, f := range change {
		f(&req)
	}
	left, err := b.Boot(context.Background(), req)
	if err != nil {
		b.t.Fatal(err)
	}
	noted, err := b.LeftOut()
	if err != nil || cmp.Diff(left, noted) != "" {
		b.t.Errorf("noted is %v, %v, left out %v", noted, err, left)
	}
	return lines(left)
}

func lines(left []LeftOut) string {
	var s strings.Builder
	for _, l := range left {
		fmt.Fprintf(&s, "%s: %s\n", l.Object, l.Reason)
	}
	return s.String()
}

func (b *bench) wantHost(want string) {
	b.t.Helper()
	if diff := cmp.Diff(want, b.toy.host.String()); diff != "" {
		b.t.Errorf("host (-want +got):\n%s", diff)
	}
}

func again(r *BootRequest) { r.Again = true }

func TestBoot(t *testing.T) {
	b := newBench(t)
	b.mustApply("a=1 b=2 b/part=3 c=4")
	state := tree(t, b.State.Path)
	all := b.toy.host.String()
	failing := errors.New("disk on fire")
	onWrite := func(n int) func(b *bench) {
		return func(b *bench) {
			b.toy.host.fault = func(k int) error {
				if k == n {
					return failing
				}
				return nil
			}
		}
	}
	for _, tt := range []struct {
		name   string
		wrong  func(b *bench)
		change func(*BootRequest)
		left   string
		host   string
	}{
		{"all", nil, nil, "", all},
		{"one fails", onWrite(1), nil, "toy/a: disk on fire\n", "b = 2\nb/part = 3\nc = 4\nforeign = 1\n"},
		{"one on which another depends fails", onWrite(2), nil, "toy/b: disk on fire\n", "a = 1\nc = 4\nforeign = 1\n"},
		{
			"two are refused", func(b *bench) {
				b.toy.refused = errors.Join(backend.Refuse("toy/a", "free it", "it is taken"), backend.Refuse("toy/c", "", "not today"))
			}, nil,
			"toy/a: it is taken; free it\ntoy/c: not today\n", "b = 2\nb/part = 3\nforeign = 1\n",
		},
		{
			"what cannot be looked at", func(b *bench) { b.toy.refused = failing }, nil,
			"sysctl: disk on fire\n", all,
		},
		{"what does not take", func(b *bench) { b.toy.host.deaf = map[string]bool{"c": true} }, nil,
			"toy/c: this did not take effect: toy/c\n", "a = 1\nb = 2\nb/part = 3\nforeign = 1\n"},
		{
			"what cannot be had", nil, func(r *BootRequest) {
				r.Missing = []LeftOut{{Kind: backend.Sysctl, Object: "toy/b", Reason: "no key"}}
			},
			"toy/b: no key\n", "a = 1\nc = 4\nforeign = 1\n",
		},
		{"guard", nil, func(r *BootRequest) { r.Guard = true }, "", all},
		{"again with nothing left out", nil, again, "", "foreign = 1\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &bench{Engine: b.Engine, t: t, toy: b.toy}
			b.reboot()
			b.toy.refused, b.toy.host.fault, b.toy.host.deaf = nil, nil, nil
			if tt.wrong != nil {
				tt.wrong(b)
			}
			change := tt.change
			if change == nil {
				change = func(*BootRequest) {}
			}
			if diff := cmp.Diff(tt.left, b.boot(change)); diff != "" {
				t.Errorf("left out (-want +got):\n%s", diff)
			}
			b.wantHost(tt.host)
			if diff := cmp.Diff(state, tree(t, b.State.Path)); diff != "" {
				t.Errorf("state folder (-before +after):\n%s", diff)
			}
		})
	}
}

// TestBootAgain tries what was left out again, and nothing else.
func TestBootAgain(t *testing.T) {
	b := newBench(t)
	b.mustApply("a=1 b=2 b/part=3 c=4")
	b.reboot()
	b.toy.host.fault = func(k int) error {
		if k == 2 || k == 5 { // in between it is undone, and the next done
			return errors.New("not yet")
		}
		return nil
	}
	if left := b.boot(); left != "toy/b: not yet\n" {
		t.Errorf("left out:\n%s", left)
	}
	delete(b.toy.host.settings, "a") // drift, which is not boot's matter
	if left := b.boot(again); left != "toy/b: not yet\n" {
		t.Errorf("left out again:\n%s", left)
	}
	if left := b.boot(again); left != "" {
		t.Errorf("left out in the end:\n%s", left)
	}
	b.wantHost("b = 2\nb/part = 3\nc = 4\nforeign = 1\n")
}

// TestApplyMends what a boot has left out: nobody tries it again.
func TestApplyMends(t *testing.T) {
	b := newBench(t)
	b.mustApply("a=1")
	b.reboot()
	b.toy.refused = backend.Refuse("toy/a", "", "not yet")
	if left := b.boot(); left == "" {
		t.Fatal("nothing is left out")
	}
	if _, err := b.apply("a=1"); err == nil {
		t.Error("applied what the host refuses")
	}
	if left, err := b.LeftOut(); len(left) != 1 || err != nil {
		t.Errorf("after an apply that is refused: %v, %v", left, err)
	}
	b.toy.refused = nil
	b.mustApply("a=1")
	if left, err := b.LeftOut(); len(left) != 0 || err != nil {
		t.Errorf("after an apply: %v, %v", left, err)
	}
}

// TestBootAfterCutOff kills an apply at every write, and the machine with it: the boot
// brings up what was applied before.
func TestBootAfterCutOff(t *testing.T) {
	for _, torn := range []bool{false, true} {
		for n := 1; ; n++ {
			b := newBench(t)
			b.mustApply("a=1 b=2 c=3")
			want, state := b.toy.host.String(), tree(t, b.State.Path)
			if !b.kill("a=1 b=5 d=4", n, torn) {
				if n == 1 {
					t.Fatal("nothing was written")
				}
				break
			}
			b.reboot()
			rec, left, err := b.RevertAtBoot(context.Background())
			if rec == nil || len(left) > 0 || err != nil {
				t.Fatalf("write %d: %v, %v, %v", n, rec, left, err)
			}
			if left := b.boot(); left != "" {
				t.Errorf("write %d: left out:\n%s", n, left)
			}
			b.wantHost(want)
			if diff := cmp.Diff(state, tree(t, b.State.Path)); diff != "" {
				t.Errorf("write %d: state folder (-before +after):\n%s", n, diff)
			}
		}
	}
}

// TestBootPastUndo comes up although not all of a cut-off apply can be undone.
func TestBootPastUndo(t *testing.T) {
	b := newBench(t)
	b.mustApply("a=1 b=2")
	if !b.kill("a=7 b=8", 2, true) {
		t.Fatal("not killed")
	}
	b.reboot()
	b.toy.host.fault = func(k int) error {
		if k == 1 {
			return errors.New("no daemon yet")
		}
		return nil
	}
	rec, left, err := b.RevertAtBoot(context.Background())
	if rec == nil || err != nil || len(left) != 1 || left[0] != "toy/b: no daemon yet" {
		t.Errorf("%v, %q, %v", rec, left, err)
	}
	if left := b.boot(); left != "" {
		t.Errorf("left out:\n%s", left)
	}
	b.wantHost("a = 1\nb = 2\nforeign = 1\n")
	if rec, err := b.Interrupted(); rec != nil || err != nil {
		t.Errorf("still cut off: %v, %v", rec, err)
	}
}

// TestBootStops where it is told to, and notes nothing.
func TestBootStops(t *testing.T) {
	b := newBench(t)
	b.mustApply("a=1 b=2")
	b.reboot()
	ctx, cancel := context.WithCancel(context.Background())
	b.toy.host.fault = func(int) error { cancel(); return ctx.Err() }
	s := wanting("a=1 b=2")
	if _, err := b.Boot(ctx, BootRequest{Want: s, Applied: s}); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	if left, err := b.LeftOut(); len(left) > 0 || err != nil {
		t.Errorf("left out: %v, %v", left, err)
	}
}

// scripted is a backend that plans what the test says until it is done.
type scripted struct {
	backend.Backend // what is not asked for
	kind            backend.Kind
	steps           []backend.Step
	fails           map[string]error // by what is done
	did             []string
}

func (s *scripted) Kind() backend.Kind { return s.kind }

func (s *scripted) Check(context.Context, backend.Input) error { return nil }

func (s *scripted) Plan(context.Context, backend.Input) ([]backend.Step, error) {
	if len(s.did) > 0 {
		return nil, s.fails["looking again"]
	}
	return s.steps, s.fails["planning"]
}

func (s *scripted) Handlers() map[string]backend.Handler {
	return map[string]backend.Handler{string(s.kind): backend.Handle(func(_ context.Context, from, to *string) error {
		what := "end"
		if to != nil {
			what = *to
		}
		s.did = append(s.did, what)
		return s.fails[what]
	})}
}

func (s *scripted) step(phase backend.Phase, what string, objects ...string) {
	var changes []backend.Change
	for _, o := range objects {
		changes = append(changes, backend.Change{Action: backend.Create, Object: o})
	}
	s.steps = append(s.steps, backend.Step{Phase: phase, Changes: changes, Op: backend.Op{Kind: string(s.kind), To: &what}})
}

// TestBootSteps looks at what is done where a step fails, and what not.
func TestBootSteps(t *testing.T) {
	no := errors.New("no")
	for _, tt := range []struct {
		name  string
		fails map[string]error
		guard bool
		did   string
		left  string
	}{
		{"all", nil, false, "guard link addresses daemon", ""},
		{"the guard stays as far as it came", map[string]error{"guard": no}, false, "guard link addresses daemon", "wg/guard: no\n"},
		{"half a link goes, and what is silent fails for that", map[string]error{"link": no, "addresses": no}, false, "guard link end addresses end daemon", "wg/0: no\n"},
		{"what is left of half a link is told", map[string]error{"link": no, "end": errors.New("never")}, false, "guard link end addresses daemon", "wg/0: no; a part of it is left: never\n"},
		{"only what is silent fails", map[string]error{"addresses": no}, false, "guard link addresses end daemon", "wireguard: no\n"},
		{"several objects of a step", map[string]error{"daemon": no}, false, "guard link addresses daemon end", "daemon/a: no\ndaemon/b: no\n"},
		{"nobody can plan", map[string]error{"planning": no}, false, "", "wireguard: no\n"},
		{"nobody can look again", map[string]error{"looking again": no}, false, "guard link addresses daemon", "wireguard: no\n"},
		{"another's guard", nil, true, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.mustApply("a=1")
			s := &scripted{kind: backend.WireGuard, fails: tt.fails}
			s.step(backend.PhaseDaemon, "daemon", "daemon/a", "daemon/b")
			s.step(backend.PhaseAddress, "addresses")
			s.step(backend.PhaseLink, "link", "wg/0")
			s.step(backend.PhasePeer, "peer of a link that may be left out", "wg/0/peer/x")
			s.step(backend.PhaseGuard, "guard", "wg/guard")
			if tt.fails["link"] == nil {
				s.steps = append(s.steps[:3], s.steps[4])
			}
			b.Backends = append(b.Backends, s)
			left := b.boot(func(r *BootRequest) { r.Guard = tt.guard })
			if did := strings.Join(s.did, " "); did != tt.did || left != tt.left {
				t.Errorf("did %s, want %s; left out:\n%swant\n%s", did, tt.did, left, tt.left)
			}
		})
	}
}
