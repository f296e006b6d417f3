package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/plan"
	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/state"
	"github.com/vpnctl/vpnctl/internal/vault"
)

// bench is an engine over a toy host.
type bench struct {
	*Engine
	t   *testing.T
	toy *toy
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, toy: &toy{host: newToyHost()}}
	dir := filepath.Join(t.TempDir(), "state")
	v, err := vault.Open(dir, host.Disk{})
	if err != nil {
		t.Fatal(err)
	}
	b.Engine = &Engine{
		State: &state.Dir{Path: dir, Files: host.Disk{}}, Vault: v, Backends: []backend.Backend{b.toy},
		RunDir: filepath.Join(t.TempDir(), "run"), LockTimeout: time.Second,
	}
	return b
}

func request(s *desired.State) Request {
	r := Request{Want: s, MaxImpact: backend.Disrupt}
	if len(s.Sysctl) > 0 {
		r.Record = &state.Applied{Site: s.Site, Node: s.Node, Topology: fmt.Sprint(s.Sysctl), State: s}
	}
	return r
}

func silent(*plan.Plan) error { return nil }

// apply applies and returns plan text and result.
func (b *bench) apply(text string) (*Outcome, error) {
	return b.Apply(context.Background(), request(wanting(text)), silent)
}

func (b *bench) mustApply(text string) *Outcome {
	b.t.Helper()
	out, err := b.apply(text)
	if err != nil {
		b.t.Fatalf("applying %q: %v", text, err)
	}
	return out
}

// tree is a folder as text, for comparison; history aside, which grows by what failed.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if d != nil && d.Name() == "history" {
			return filepath.SkipDir
		}
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		fmt.Fprintf(&b, "%s %q\n", strings.TrimPrefix(path, dir), data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestApply(t *testing.T) {
	b := newBench(t)
	var shown string
	out, err := b.Apply(context.Background(), request(wanting("a=1 b=2")), func(p *plan.Plan) error {
		shown = p.Text(plan.Palette{})
		if b.toy.host.writes > 0 {
			t.Error("something was written before the plan was shown")
		}
		return nil
	})
	if err != nil || out.Result != plan.Applied {
		t.Fatalf("result is %+v, %v", out, err)
	}
	want := "+ toy/a\n+ toy/b\nplan: 2 to create, 0 to update, 0 to delete; 0 disruptive\n"
	if diff := cmp.Diff(want, shown); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff("a = 1\nb = 2\nforeign = 1\n", b.toy.host.String()); diff != "" {
		t.Errorf("host (-want +got):\n%s", diff)
	}
	before, writes := tree(t, b.State.Path), b.toy.host.writes
	if out := b.mustApply("a=1 b=2"); out.Result != plan.Unchanged {
		t.Errorf("a second time: %s", out.Result)
	}
	if b.toy.host.writes != writes {
		t.Error("a second time wrote to the host")
	}
	if diff := cmp.Diff(before, tree(t, b.State.Path)); diff != "" {
		t.Errorf("a second time wrote files (-before +after):\n%s", diff)
	}
	if out := b.mustApply(""); out.Result != plan.Applied {
		t.Errorf("destroy: %s", out.Result)
	}
	if got := b.toy.host.String() + tree(t, b.State.Path); got != "foreign = 1\n" {
		t.Errorf("after destroy there is\n%s", got)
	}
}

// transitions are pairs of states between which a fault is tried at every write.
var transitions = [][2]string{
	{"", "a=1 b=2 c=3"}, {"a=1 b=2", "a=1 b=9 c=3"}, {"a=1 b=2 c=3", ""}, {"a=1", "b=1"},
}

func TestFaultAtEveryWrite(t *testing.T) {
	for _, tr := range transitions {
		for _, torn := range []bool{false, true} {
			for k := 1; ; k++ {
				b := newBench(t)
				if tr[0] != "" {
					b.mustApply(tr[0])
				}
				h := b.toy.host
				before, files := h.String(), tree(t, b.State.Path)
				h.writes, h.torn = 0, torn
				h.fault = func(n int) error {
					if n == k {
						return errors.New("no space left")
					}
					return nil
				}
				out, err := b.apply(tr[1])
				if err == nil {
					break // k is past the last write
				}
				name := fmt.Sprintf("%q to %q, write %d, torn %v", tr[0], tr[1], k, torn)
				var undone *UndoneError
				if !errors.As(err, &undone) || out.Result != plan.RolledBack || !strings.Contains(err.Error(), "no space left") {
					t.Fatalf("%s: %v, %v", name, out.Result, err)
				}
				if diff := cmp.Diff(before, h.String()); diff != "" {
					t.Errorf("%s: host (-before +after):\n%s", name, diff)
				}
				if diff := cmp.Diff(files, tree(t, b.State.Path)); diff != "" {
					t.Errorf("%s: files (-before +after):\n%s", name, diff)
				}
				h.fault = nil
				b.mustApply(tr[1])
			}
		}
	}
}

// kill applies and dies at the k-th write; it reports whether there was one.
func (b *bench) kill(text string, k int, torn bool) (killed bool) {
	defer func() {
		if p := recover(); p != nil {
			if p != error(errKilled) {
				panic(p)
			}
			killed = true
		}
		b.toy.host.fault, b.toy.host.killed, b.toy.host.torn = nil, false, false
	}()
	h := b.toy.host
	h.writes, h.torn, h.killed = 0, torn, true
	h.fault = func(n int) error {
		if n == k {
			return errKilled
		}
		return nil
	}
	b.mustApply(text)
	return false
}

func TestKilledAtEveryWrite(t *testing.T) {
	for _, tr := range transitions {
		for _, torn := range []bool{false, true} {
			for k := 1; ; k++ {
				b := newBench(t)
				if tr[0] != "" {
					b.mustApply(tr[0])
				}
				before := b.toy.host.String()
				if !b.kill(tr[1], k, torn) {
					break
				}
				name := fmt.Sprintf("%q to %q, write %d, torn %v", tr[0], tr[1], k, torn)
				rec, err := b.Interrupted()
				if err != nil || rec == nil || len(rec.Entries) == 0 {
					t.Fatalf("%s: journal is %v, %v", name, rec, err)
				}
				// A failing next apply leads back to before the first.
				b.toy.host.writes, b.toy.host.deaf = 0, map[string]bool{"z": true}
				if _, err := b.apply("a=7 z=1"); err == nil {
					t.Fatalf("%s: a deaf setting was not noticed", name)
				}
				if diff := cmp.Diff(before, b.toy.host.String()); diff != "" {
					t.Errorf("%s: undone twice (-before +after):\n%s", name, diff)
				}
				b.toy.host.deaf = nil
				if !b.kill(tr[1], k, torn) {
					t.Fatalf("%s: not killed again", name)
				}
				b.mustApply(tr[1])
				for key, want := range wanting(tr[1]).Sysctl {
					if got := b.toy.host.settings[key]; got != want {
						t.Errorf("%s: %s is %q", name, key, got)
					}
				}
				if rec, err := b.State.Interrupted(); rec != nil || err != nil {
					t.Errorf("%s: journal is left, %v", name, err)
				}
			}
		}
	}
}

// TestWalk applies states in a random order, with faults and kills in between, and
// compares each with a fresh host.
func TestWalk(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	states := []string{""}
	for range 30 {
		var f []string
		for _, k := range strings.Split("abcdef", "") {
			if rnd.IntN(2) == 0 {
				f = append(f, fmt.Sprintf("%s=%d", k, rnd.IntN(3)))
			}
		}
		states = append(states, strings.Join(f, " "))
	}
	b := newBench(t)
	for range 80 {
		text := states[rnd.IntN(len(states))]
		if rnd.IntN(4) == 0 {
			b.kill(text, 1+rnd.IntN(4), rnd.IntN(2) == 0)
		}
		b.mustApply(text)
		fresh := newBench(t)
		fresh.mustApply(text)
		if diff := cmp.Diff(fresh.toy.host.String(), b.toy.host.String()); diff != "" {
			t.Fatalf("seed %d, %q: (-fresh +walked):\n%s", seed, text, diff)
		}
		if diff := cmp.Diff(memoryOf(t, fresh), memoryOf(t, b)); diff != "" {
			t.Fatalf("seed %d, %q: memory (-fresh +walked):\n%s", seed, text, diff)
		}
	}
}

func memoryOf(t *testing.T, b *bench) backend.Memory {
	t.Helper()
	m, err := b.State.Memory()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestHistory(t *testing.T) {
	b := newBench(t)
	b.toy.secret = b.Vault.ID(secret.New([]byte("swordfish")))
	apply := func(text string, fails bool) {
		t.Helper()
		r := request(wanting(text))
		r.Command, r.By = "apply", state.Who{User: "alice", From: "192.0.2.7"}
		r.Record.Secrets = map[string]secret.ID{"psk": b.toy.secret}
		b.toy.host.writes, b.toy.host.fault = 0, func(n int) error {
			if fails && n == 1 {
				return errors.New("no space left")
			}
			return nil
		}
		if _, err := b.Apply(context.Background(), r, silent); (err != nil) != fails {
			t.Fatal(err)
		}
	}
	apply("a=1", false)
	apply("a=1", false) // the same again leaves none
	apply("a=1 b=2", false)
	apply("c=1", true)
	past, err := b.State.History()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range past {
		got = append(got, fmt.Sprintf("%d %s %s by %s from %s: %d+ %d~ %d- %s", p.Number, p.Command, p.Result, p.By.User, p.By.From, p.Create, p.Update, p.Delete, p.Error))
	}
	want := []string{
		"1 apply applied by alice from 192.0.2.7: 1+ 0~ 0- ",
		"2 apply applied by alice from 192.0.2.7: 1+ 0~ 0- ",
	}
	if len(got) != 3 || !slices.Equal(got[:2], want) || !strings.Contains(got[2], "rolled_back") || past[2].Kept() {
		t.Errorf("history is %q, want %q and a failure", got, want)
	}
	apply("a=1 b=2", false)
	r := request(wanting(""))
	r.KeepHistory = true
	if _, err := b.Apply(context.Background(), r, silent); err != nil {
		t.Fatal(err)
	}
	if past, err := b.State.History(); len(past) != 3 || err != nil {
		t.Errorf("%d entries after a destroy that keeps them, %v", len(past), err)
	}
	if a, err := b.State.Applied(); a != nil || err != nil {
		t.Errorf("still applied: %v, %v", a, err)
	}
	v, err := vault.Open(b.State.Path, host.Disk{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Value(b.toy.secret); err != nil {
		t.Errorf("a rollback would have no secret: %v", err)
	}
	b.mustApply("")
	if got := tree(t, b.State.Path); got != "" {
		t.Errorf("after a destroy there is\n%s", got)
	}
}

func TestInterrupted(t *testing.T) {
	for k := 1; k <= 3; k++ {
		b := newBench(t)
		ctx, cancel := context.WithCancelCause(context.Background())
		b.toy.host.fault = func(n int) error {
			if n == k {
				cancel(errors.New("SIGTERM"))
			}
			return nil
		}
		_, err := b.Apply(ctx, request(wanting("a=1 b=2 c=3 d=4")), silent)
		var undone *UndoneError
		if !errors.As(err, &undone) || !strings.Contains(err.Error(), "SIGTERM") {
			t.Errorf("cancelled at write %d: %v", k, err)
		}
		if got := b.toy.host.String(); got != "foreign = 1\n" {
			t.Errorf("cancelled at write %d, host is\n%s", k, got)
		}
	}
}

func TestUndoFails(t *testing.T) {
	b := newBench(t)
	b.toy.host.fault = func(n int) error {
		if n >= 2 {
			return fmt.Errorf("broken disk, write %d", n)
		}
		return nil
	}
	_, err := b.apply("a=1 b=2")
	var stuck *StuckError
	if !errors.As(err, &stuck) {
		t.Fatalf("error is %v", err)
	}
	want := "applying toy/b: broken disk, write 2; undoing it failed, this is left:\n" +
		"  toy/b: broken disk, write 3\n  toy/a: broken disk, write 4"
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
	if rec, err := b.Interrupted(); rec == nil || err != nil {
		t.Error("the journal is gone: nobody can go on")
	}
	// What was found before the first change is needed for as long as any of it is left.
	if m := memoryOf(t, b); len(m) != 2 {
		t.Errorf("memory is %v, and toy/a is still there", m)
	}
	b.toy.host.fault = nil
	b.mustApply("")
	if got := b.toy.host.String(); got != "foreign = 1\n" {
		t.Errorf("after everything was removed, host is\n%s", got)
	}
}

func TestVerify(t *testing.T) {
	b := newBench(t)
	b.toy.host.deaf = map[string]bool{"b": true}
	_, err := b.apply("a=1 b=2")
	want := "looking at the result: this did not take effect: toy/b; everything that was done has been undone"
	if err == nil || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		name string
		set  func(b *bench, r *Request)
		want string
	}{
		{"backend", func(b *bench, _ *Request) { b.toy.refused = backend.Refuse("toy/a", "buy one", "there is none") },
			"toy/a: there is none; buy one"},
		{"impact", func(b *bench, r *Request) { b.toy.impact, r.MaxImpact = backend.Disrupt, backend.Reload },
			"toy/a: the change has the impact disrupt, and reload is allowed; allow it with --max-impact disrupt"},
		{"other site", func(b *bench, r *Request) {
			if err := b.State.Init(); err != nil {
				b.t.Fatal(err)
			}
			if err := b.State.SaveApplied(&state.Applied{Site: "lab", State: &desired.State{Site: "lab"}}); err != nil {
				b.t.Fatal(err)
			}
		}, "site/hq: this host belongs to site lab since 0001-01-01T00:00:00Z; run `vpnctl destroy` first, or apply a topology of that site"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			r := request(wanting("a=1"))
			tt.set(b, &r)
			before := tree(t, b.State.Path)
			out, err := b.Apply(context.Background(), r, silent)
			var refused *RefusedError
			if !errors.As(err, &refused) || err.Error() != tt.want {
				t.Errorf("error is %v, want %s", err, tt.want)
			}
			if out == nil || out.Plan == nil {
				t.Error("no plan: the operator would not see what was refused")
			}
			if b.toy.host.writes > 0 || tree(t, b.State.Path) != before {
				t.Error("something was touched")
			}
		})
	}
}

func TestLock(t *testing.T) {
	b := newBench(t)
	b.LockTimeout = 20 * time.Millisecond
	entered, leave := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b.toy.host.fault = func(int) error {
		once.Do(func() { close(entered); <-leave })
		return nil
	}
	done := make(chan error)
	go func() {
		_, err := b.apply("a=1")
		done <- err
	}()
	<-entered
	if !b.Locked() {
		t.Error("not locked during an apply")
	}
	if rec, err := b.Interrupted(); rec != nil || err != nil {
		t.Errorf("an apply under way counts as cut off: %v, %v", rec, err)
	}
	_, err := b.apply("a=2")
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Errorf("error is %v", err)
	}
	close(leave)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if b.Locked() {
		t.Error("locked after the apply")
	}
}

func TestManyAtOnce(t *testing.T) {
	b := newBench(t)
	b.LockTimeout = time.Minute
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if _, err := b.apply(fmt.Sprintf("a=%d b=%d", i, i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if s := b.toy.host.settings; s["a"] != s["b"] {
		t.Errorf("host is a mixture:\n%s", b.toy.host)
	}
}

func TestSecretsAreKeptForUndo(t *testing.T) {
	b := newBench(t)
	b.toy.secret = b.Vault.ID(secret.New([]byte("swordfish")))
	if !b.kill("a=1 b=2", 2, false) {
		t.Fatal("not killed")
	}
	v, err := vault.Open(b.State.Path, host.Disk{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Value(b.toy.secret); err != nil {
		t.Errorf("whoever undoes this has no secret: %v", err)
	}
	raw, err := os.ReadFile(filepath.Join(b.State.Path, "journal"))
	if err != nil || strings.Contains(string(raw), "swordfish") || !strings.Contains(string(raw), string(b.toy.secret)) {
		t.Errorf("journal is %s, %v", raw, err)
	}
	b.mustApply("a=1 b=2")
	if got := tree(t, b.State.Path); strings.Contains(got, "swordfish") {
		t.Errorf("kept although nothing refers to it:\n%s", got)
	}
}

// TestSavingFails breaks what apply itself writes at its end.
func TestSavingFails(t *testing.T) {
	b := newBench(t)
	b.mustApply("a=1")
	before := b.toy.host.String()
	b.State.Files = failing{Disk: host.Disk{}, suffix: "/applied", left: 1}.new()
	_, err := b.apply("a=2")
	var undone *UndoneError
	if !errors.As(err, &undone) {
		t.Errorf("error is %v", err)
	}
	if diff := cmp.Diff(before, b.toy.host.String()); diff != "" {
		t.Errorf("host (-before +after):\n%s", diff)
	}
}

// failing fails the first writes of one file.
type failing struct {
	host.Disk
	suffix string
	left   int
}

func (f failing) new() *failing { return &f }

func (f *failing) Replace(path string, file host.File) error {
	if strings.HasSuffix(path, f.suffix) && f.left > 0 {
		f.left--
		return errors.New("no space left")
	}
	return f.Disk.Replace(path, file)
}
