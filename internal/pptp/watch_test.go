package pptp_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/pptp"
)

// watch lets a watcher look some times, and returns what it said that it did.
func (r *rig) watch(want *desired.State, looks int) []string {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	var said []string
	counted := &counter{Processes: r.w, left: looks, stop: cancel}
	b := r.backend()
	b.Processes, b.Look = counted, time.Nanosecond
	err := b.Watch(ctx, &backend.Shift{
		Input:  r.input(want),
		Say:    func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) },
		Change: func(_ context.Context, fn func() error) error { return fn() },
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return said
}

// counter ends a watch after some looks, each of which asks once who has the port.
type counter struct {
	pptp.Processes
	left int
	stop func()
}

func (c *counter) Listener() (int, string, error) {
	if c.left--; c.left <= 0 {
		c.stop()
	}
	return c.Processes.Listener()
}

func TestWatch(t *testing.T) {
	both := states[5]
	fill := func(r *rig) {
		for n := range 4 {
			r.w.Login("pptp/legacy", "user1", fmt.Sprintf("192.168.131.%d", 100+n))
		}
	}
	const again = "daemon/pptpd: started, with the addresses that are free"
	for _, tt := range []struct {
		name    string
		systemd bool
		want    *desired.State
		happens func(r *rig)
		said    []string
	}{
		{"nothing", false, both, func(*rig) {}, nil},
		{"both are killed", false, both, func(r *rig) { r.w.KillServer(); r.w.KillLink("home") }, []string{
			again, "daemon/vpnctl-pptp-home: started again",
		}},
		{"both are killed and systemd's", true, both, func(r *rig) { r.w.KillServer(); r.w.KillLink("home") }, nil},
		{"its own pool is full", false, small, fill, nil},
		{"nobody can log in", false, small, func(r *rig) { fill(r); r.w.KillServer() }, nil},
		{"old sessions make room for the first", false, small, func(r *rig) {
			fill(r)
			r.w.KillServer()
			r.w.Logout("192.168.131.101")
		}, []string{again}},
		{"old sessions make room", true, small, func(r *rig) {
			fill(r)
			r.w.Logout("192.168.131.103")
			r.w.KillServer() // 103 is left for those to come
			r.w.Login("pptp/legacy", "user2", "192.168.131.103")
			r.w.Logout("192.168.131.100")
		}, []string{again}},
		{"somebody else has the port", false, small, func(r *rig) { r.w.KillServer(); r.w.Occupy("nc") }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, tt.systemd)
			r.apply(tt.want)
			tt.happens(r)
			if diff := cmp.Diff(tt.said, r.watch(tt.want, 20)); diff != "" {
				t.Errorf("it did (-want +got):\n%s", diff)
			}
			if tt.said != nil && strings.Contains(tt.said[0], "pptpd") {
				if text := r.w.String(); !strings.Contains(text, "pptpd -f -c "+pptp.LoadedPath) {
					t.Errorf("no pptpd runs:\n%s", text)
				}
			}
		})
	}
	if said := newRig(t, false).watch(none, 1); said != nil {
		t.Errorf("without PPTP it did %q", said)
	}
}

// TestWatchBusy: while an apply is at work, nothing is done.
func TestWatchBusy(t *testing.T) {
	r := newRig(t, false)
	r.apply(small)
	r.w.KillServer()
	before := r.w.String()
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	b := r.backend()
	b.Look = time.Nanosecond
	err := b.Watch(ctx, &backend.Shift{Input: r.input(small), Say: t.Logf, Change: func(context.Context, func() error) error {
		if asked++; asked == 3 {
			cancel()
		}
		return backend.ErrBusy
	}})
	if diff := cmp.Diff(before, r.w.String()); err != nil || diff != "" {
		t.Errorf("%v, host (-before +after):\n%s", err, diff)
	}
}
