package watch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/engine"
	"github.com/vpnctl/vpnctl/internal/eventlog"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/state"
	"github.com/vpnctl/vpnctl/internal/vault"
	"github.com/vpnctl/vpnctl/internal/watch"
)

// toy is a backend that watches as the test says.
type toy struct {
	backend.Backend // what is not asked for
	watch           func(ctx context.Context, s *backend.Shift) error
}

func (t *toy) Kind() backend.Kind { return "toy" }

func (t *toy) Watch(ctx context.Context, s *backend.Shift) error { return t.watch(ctx, s) }

// idle is one that does not watch.
type idle struct{ backend.Backend }

// site is a state folder with a loop at work on it.
type site struct {
	t      *testing.T
	dir    *state.Dir
	engine *engine.Engine
	log    buffer
	opened atomic.Pointer[error]
	end    func()
}

// buffer is written by the loop and read by the test.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) lines() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.FieldsFunc(b.b.String(), func(r rune) bool { return r == '\n' })
}

// startLoop lets a backend watch in the time of a bubble.
func startLoop(t *testing.T, w *toy) *site {
	t.Helper()
	tmp := t.TempDir()
	s := &site{t: t, dir: &state.Dir{Path: filepath.Join(tmp, "state"), Files: host.Disk{}}}
	s.engine = &engine.Engine{
		State: s.dir, Vault: vault.Ephemeral(), RunDir: filepath.Join(tmp, "run"), Backends: []backend.Backend{idle{}, w},
	}
	ctx, cancel := context.WithCancel(t.Context())
	loop := &watch.Loop{State: s.dir, Log: eventlog.New(&s.log), Open: func() (*engine.Engine, error) {
		if err := s.opened.Load(); err != nil {
			return nil, *err
		}
		return s.engine, nil
	}}
	var wait sync.WaitGroup
	wait.Go(func() { loop.Run(ctx) })
	s.end = func() {
		cancel()
		wait.Wait()
	}
	synctest.Wait()
	return s
}

// applied is an apply of a site that ended well.
func (s *site) applied(name string) {
	s.t.Helper()
	if err := s.dir.Init(); err != nil {
		s.t.Fatal(err)
	}
	if err := s.dir.SaveMemory(backend.Memory{"of": fmt.Appendf(nil, "%q", name)}); err != nil {
		s.t.Fatal(err)
	}
	err := s.dir.SaveApplied(&state.Applied{Site: name, State: &desired.State{Site: name}})
	if err != nil {
		s.t.Fatal(err)
	}
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// TestLoopShifts goes from before the first apply to after destroy.
func TestLoopShifts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var events []string
		event := func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, fmt.Sprintf(format, args...))
		}
		s := startLoop(t, &toy{watch: func(ctx context.Context, s *backend.Shift) error {
			event("begin %s %s", s.Want.Site, s.Memory["of"])
			if s.Applied != s.Want || s.Secrets == nil {
				event("input lacks something")
			}
			<-ctx.Done()
			event("end %s", s.Want.Site)
			return ctx.Err()
		}})
		pass(time.Minute)
		s.applied("one")
		pass(3 * time.Second)
		s.applied("two")
		pass(3 * time.Second)
		pass(time.Hour)
		if err := s.dir.Remove(); err != nil {
			t.Fatal(err)
		}
		pass(3 * time.Second)
		s.applied("three")
		pass(3 * time.Second)
		s.end()
		want := []string{
			`begin one "one"`, "end one", `begin two "two"`, "end two", `begin three "three"`, "end three",
		}
		if diff := cmp.Diff(want, events); diff != "" {
			t.Errorf("shifts (-want +got):\n%s", diff)
		}
		if lines := s.log.lines(); len(lines) > 0 {
			t.Errorf("log: %q", lines)
		}
	})
}

// TestLoopFailures has a watcher that fails at once, in two ways, and then is content.
func TestLoopFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls []time.Duration
		begin := time.Now()
		s := startLoop(t, &toy{watch: func(context.Context, *backend.Shift) error {
			calls = append(calls, time.Since(begin).Truncate(time.Second))
			switch n := len(calls); {
			case n <= 8:
				return errors.New("no socket")
			case n == 9:
				return fs.ErrPermission
			}
			return nil
		}})
		s.applied("hq")
		pass(time.Hour)
		s.end()
		want := []time.Duration{2, 3, 5, 9, 17, 33, 65, 125, 185, 245}
		for i := range want {
			want[i] *= time.Second
		}
		if diff := cmp.Diff(want, calls); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
		lines := []string{"watch: toy: no socket; trying again", "watch: toy: permission denied; trying again"}
		if diff := cmp.Diff(lines, s.log.lines()); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}

// TestLoopCannotOpen says why nobody watches, and tries again.
func TestLoopCannotOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := 0
		s := startLoop(t, &toy{watch: func(context.Context, *backend.Shift) error {
			begun++
			return nil
		}})
		s.opened.Store(new(errors.New("newer format")))
		s.applied("hq")
		pass(3 * time.Second)
		if diff := cmp.Diff([]string{"watch: newer format"}, s.log.lines()); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
		s.opened.Store(nil)
		pass(61 * time.Second)
		s.end()
		if begun != 1 {
			t.Errorf("begun %d times", begun)
		}
	})
}

// TestLoopChange lets a watcher write only where no apply is under way or was.
func TestLoopChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shifts := make(chan *backend.Shift, 2)
		s := startLoop(t, &toy{watch: func(ctx context.Context, s *backend.Shift) error {
			shifts <- s
			<-ctx.Done()
			return nil
		}})
		s.applied("one")
		pass(3 * time.Second)
		shift := <-shifts
		change := func() (called bool, err error) {
			err = shift.Change(t.Context(), func() error {
				called = true
				return errFault
			})
			return called, err
		}
		if called, err := change(); !called || !errors.Is(err, errFault) {
			t.Errorf("alone: called %t, error %v", called, err)
		}
		err := s.engine.Alone(t.Context(), func() error {
			if called, err := change(); called || !errors.Is(err, backend.ErrBusy) {
				t.Errorf("during an apply: called %t, error %v", called, err)
			}
			s.applied("two")
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if called, err := change(); called || !errors.Is(err, backend.ErrBusy) {
			t.Errorf("after an apply: called %t, error %v", called, err)
		}
		s.end()
	})
}

var errFault = errors.New("injected fault")

// TestLoopGoesBack has an armed apply whose guardian has died, and a way back that is
// barred for a while.
func TestLoopGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tmp := t.TempDir()
		var log buffer
		asked := 0
		loop := &watch.Loop{
			State: &state.Dir{Path: filepath.Join(tmp, "state"), Files: host.Disk{}}, Log: eventlog.New(&log),
			Open: func() (*engine.Engine, error) {
				return &engine.Engine{State: &state.Dir{Path: filepath.Join(tmp, "state"), Files: host.Disk{}}, Vault: vault.Ephemeral()}, nil
			},
			Due: func(context.Context) (bool, error) {
				if asked++; asked > 3 && asked < 7 {
					return false, errors.New("barred")
				}
				return asked == 7, nil
			},
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wait sync.WaitGroup
		wait.Go(func() { loop.Run(ctx) })
		pass(time.Minute)
		cancel()
		wait.Wait()
		want := []string{"watch: going back: barred; trying again", "went back to what was applied before: it was not confirmed in time"}
		if diff := cmp.Diff(want, log.lines()); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}
