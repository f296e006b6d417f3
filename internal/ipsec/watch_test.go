package ipsec_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/ipsec"
	"github.com/vpnctl/vpnctl/internal/ipsec/charontest"
	"github.com/vpnctl/vpnctl/internal/reason"
)

// guard is a watch at work.
type guard struct {
	*rig
	mu   sync.Mutex
	said []string
	busy bool // an apply is under way
	asks int  // how often something was to be changed
}

func (g *guard) setBusy(busy bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy = busy
}

func (g *guard) turns() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.asks
}

// watch lets somebody watch what was applied, until the test ends.
func (r *rig) watch(want *desired.State) *guard {
	g := &guard{rig: r}
	b := ipsec.New(ipsec.Config{
		Secrets: r.secrets, Dial: r.charon.Dial, Listen: r.charon.Listen, Daemon: r.charon, Files: r.files, Glob: r.glob,
		Network: func() (ipsec.Network, error) { return r.network, nil }, Reasons: r.reasons, Kernel: r.kernel,
		SAD: charontest.SAD{Charon: r.charon}, Resolve: r.resolve,
		Pace: ipsec.Pace{Look: time.Millisecond, Second: 5 * time.Millisecond, First: 2 * time.Millisecond, Most: 8 * time.Millisecond},
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Watch(ctx, &backend.Shift{Input: r.input(want), Say: g.say, Change: g.change}) }()
	r.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("watching: %v", err)
		}
	})
	r.await(func() error {
		if r.charon.Listeners() == 0 {
			return errors.New("nobody listens")
		}
		return nil
	})
	return g
}

func (g *guard) say(format string, args ...any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.said = append(g.said, fmt.Sprintf(format, args...))
}

func (g *guard) change(_ context.Context, fn func() error) error {
	g.mu.Lock()
	busy := g.busy
	g.asks++
	g.mu.Unlock()
	if busy {
		return backend.ErrBusy
	}
	return fn()
}

// await waits for a condition.
func (r *rig) await(cond func() error) {
	r.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for err := cond(); err != nil; err = cond() {
		if time.Now().After(deadline) {
			r.t.Fatalf("waiting: %v", err)
		}
		time.Sleep(time.Millisecond)
	}
}

// live awaits that children are up, each once.
func (r *rig) live(want ...string) {
	r.t.Helper()
	r.await(func() error {
		var have []string
		for _, sa := range r.charon.SAs() {
			for _, c := range sa.Children {
				have = append(have, sa.Conn+"/"+c.Name)
			}
		}
		slices.Sort(have)
		if !slices.Equal(have, want) {
			return fmt.Errorf("up is %q, want %q", have, want)
		}
		return nil
	})
}

// reason awaits why a child is down; "" for no reason.
func (r *rig) reason(conn, child, want string) {
	r.t.Helper()
	r.await(func() error {
		all, err := r.reasons.All()
		if got := all[reason.Key{Connection: conn, Child: child}].Text; err != nil || got != want {
			return errors.Join(err, fmt.Errorf("%s/%s: %q, want %q", conn, child, got, want))
		}
		return nil
	})
}

var refused = &charontest.Refusal{Log: []string{"received AUTHENTICATION_FAILED notify error"}, Answer: "establishing CHILD_SA failed"}

const refusedText = "authentication failed: the peer refuses our id, key or PSK (AUTHENTICATION_FAILED)"

func TestWatch(t *testing.T) {
	t.Run("what goes comes again", func(t *testing.T) {
		r := newRig(t)
		want := state(net(r, "a"), net(r, "b", initiate(desired.InitiateSecond)))
		r.apply(want)
		g := r.watch(want)
		r.live("a/a", "b/b")
		r.charon.Disconnect("")
		r.live("a/a", "b/b")
		g.mu.Lock()
		defer g.mu.Unlock()
		if !slices.Contains(g.said, "ipsec/b/child/b: initiated") {
			t.Errorf("it says %q", g.said)
		}
	})
	t.Run("a refusal that is mended", func(t *testing.T) {
		r := newRig(t)
		r.charon.Answer("a/a", refused)
		want := state(net(r, "a"))
		r.apply(want)
		r.reason("a", "a", refusedText)
		if err := r.reasons.Clear(reason.Key{Connection: "a", Child: "a"}); err != nil {
			t.Fatal(err)
		}
		r.watch(want)
		r.reason("a", "a", refusedText) // by what watch hears
		r.charon.Answer("a/a", nil)
		r.live("a/a")
		r.reason("a", "a", "")
	})
	t.Run("a trap whose negotiation failed", func(t *testing.T) {
		r := newRig(t)
		want := state(net(r, "a", initiate(desired.InitiateNever)), net(r, "b", initiate(desired.InitiateNever)))
		r.apply(want)
		if err := r.reasons.Put(reason.Key{Connection: "a", Child: "a"}, reason.Reason{Text: "no answer"}); err != nil {
			t.Fatal(err)
		}
		r.watch(want)
		r.live("a/a") // and not b, which waits for traffic
		r.reason("a", "a", "")
	})
	t.Run("an apply is under way", func(t *testing.T) {
		r := newRig(t)
		want := state(net(r, "a", initiate(desired.InitiateSecond)))
		r.apply(want)
		g := r.watch(want)
		g.setBusy(true)
		r.charon.Disconnect("")
		r.charon.Calls()
		turned := g.turns()
		r.await(func() error {
			if g.turns() < turned+5 {
				return errors.New("it has not asked five times yet")
			}
			return nil
		})
		if calls := r.charon.Calls(); len(calls) > 0 {
			t.Errorf("meanwhile charon is told %q", calls)
		}
		g.setBusy(false)
		r.live("a/a")
	})
	t.Run("a charon of ours that ends", func(t *testing.T) {
		r := newRig(t)
		r.charon.Kill()
		want := state(net(r, "a"))
		r.apply(want)
		before := r.host()
		r.watch(want)
		r.charon.Kill()
		r.live("a/a")
		r.await(func() error {
			if r.host() != before {
				return errors.New("it is otherwise:\n" + r.host())
			}
			return nil
		})
	})
	t.Run("two SAs of one child", func(t *testing.T) {
		r := newRig(t)
		want := state(net(r, "a"))
		r.apply(want)
		r.charon.Initiate("a", "a")
		r.watch(want)
		r.live("a/a")
	})
	t.Run("SAs that a charon leaves behind", func(t *testing.T) {
		r := newRig(t)
		r.names = map[string]string{"b.example": "192.0.2.2"}
		r.deaf.Store(2)
		named := func(c *desired.Connection) { c.RemoteAddrs = []string{"b.example"} }
		waits := initiate(desired.InitiateNever)
		want := state(net(r, "a", waits), net(r, "b", waits, named))
		r.apply(want)
		r.charon.Connect("a", "a", "", "", "192.168.20.20")
		r.charon.Connect("b", "b", "", "", "192.0.2.2")
		r.charon.Connect("b", "b", "", "", "192.0.2.3") // of somebody else's
		sad := charontest.SAD{Charon: r.charon}
		byHand := ipsec.KernelSA{Dst: netip.MustParseAddr("192.168.20.20"), Protocol: 50, SPI: 0x1234}
		ipcomp := ipsec.KernelSA{Dst: byHand.Dst, Protocol: 108, SPI: 0x42, ReqID: 1}
		sad.Put(byHand)
		sad.Put(ipcomp)
		g := r.watch(want)
		r.charon.Restart()
		r.await(func() error {
			if all, err := sad.SAs(); err != nil || len(all) != 3 || all[0] != byHand || all[1] != ipcomp || all[2].Dst.String() != "192.0.2.3" {
				return errors.Join(err, fmt.Errorf("the kernel has %+v", all))
			}
			return nil
		})
		g.mu.Lock()
		defer g.mu.Unlock()
		if len(g.said) != 2 {
			t.Errorf("it says %q", g.said)
		}
	})
	t.Run("no IPsec", func(t *testing.T) {
		r := newRig(t)
		if err := r.backend().Watch(t.Context(), &backend.Shift{Input: r.input(state())}); err != nil {
			t.Error(err)
		}
	})
}

// TestWatchPatience: attempts come later and later.
func TestWatchPatience(t *testing.T) {
	r := newRig(t)
	r.charon.Answer("a/a", refused)
	want := state(net(r, "a"))
	r.apply(want)
	r.charon.Calls()
	begun := time.Now()
	r.watch(want)
	r.await(func() error {
		if time.Since(begun) < 200*time.Millisecond {
			return errors.New("too early to count")
		}
		return nil
	})
	attempts := 0
	for _, call := range r.charon.Calls() {
		if strings.HasPrefix(call, "initiate") {
			attempts++
		}
	}
	// 2, 4, then 8 ms each: 25 or so, and fewer on a busy machine.
	if attempts < 2 || attempts > int(time.Since(begun)/(2*time.Millisecond)) {
		t.Errorf("%d attempts", attempts)
	}
}
