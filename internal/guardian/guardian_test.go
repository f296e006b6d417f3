package guardian_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/guardian"
	"github.com/vpnctl/vpnctl/internal/unit"
)

// world is a host that notes what is asked of it.
type world struct {
	booted bool
	fails  string // the beginning of what fails
	did    []string
}

var errFault = errors.New("injected fault")

func (w *world) do(format string, args ...any) error {
	line := fmt.Sprintf(format, args...)
	w.did = append(w.did, line)
	if w.fails != "" && strings.HasPrefix(line, w.fails) {
		return errFault
	}
	return nil
}

func (w *world) StartTimer(_ context.Context, timer string, s unit.Service, after time.Duration) error {
	return w.do("start %s for %s after %v: %s", timer, s.Name, after, strings.Join(s.Args[1:], " "))
}

func (w *world) StopAndWait(_ context.Context, name string) error { return w.do("stop %s", name) }
func (w *world) Close()                                           { w.did = append(w.did, "close") }

func (w *world) guardian() *guardian.Guardian {
	g := guardian.New("/var/lib/vpnctl")
	g.Booted = func() bool { return w.booted }
	g.Timers = func(context.Context) (guardian.Timers, error) { return w, w.do("connect") }
	g.Detach = func(argv []string) error { return w.do("detach %s", strings.Join(argv[1:], " ")) }
	return g
}

func TestGuardian(t *testing.T) {
	arm := func(g *guardian.Guardian) error { return g.Arm(context.Background(), time.Minute) }
	disarm := func(g *guardian.Guardian) error { return g.Disarm(context.Background()) }
	const timer, service = "stop vpnctl-revert.timer", "stop vpnctl-revert.service"
	const start = "start vpnctl-revert.timer for vpnctl-revert.service after 1m0s: revert --state-dir /var/lib/vpnctl"
	for _, tt := range []struct {
		name  string
		world world
		do    func(*guardian.Guardian) error
		want  []string
	}{
		{"timer", world{booted: true}, arm, []string{"connect", timer, service, start, "close"}},
		{"timer that cannot be stopped", world{booted: true, fails: "stop"}, arm, []string{"connect", timer, service, "close"}},
		{"timer that fails", world{booted: true, fails: "start"}, arm, []string{"connect", timer, service, start, "close"}},
		{"no bus", world{booted: true, fails: "connect"}, arm, []string{"connect"}},
		{"process", world{}, arm, []string{"detach revert --state-dir /var/lib/vpnctl"}},
		{"process that fails", world{fails: "detach"}, arm, []string{"detach revert --state-dir /var/lib/vpnctl"}},
		{"disarm timer", world{booted: true}, disarm, []string{"connect", timer, service, "close"}},
		{"disarm process", world{}, disarm, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := tt.world
			err := tt.do(w.guardian())
			if errors.Is(err, errFault) != (w.fails != "") {
				t.Errorf("error is %v", err)
			}
			if diff := cmp.Diff(tt.want, w.did); diff != "" {
				t.Errorf("what was done (-want +got):\n%s", diff)
			}
		})
	}
}
