package guardian_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/guardian"
	"github.com/vpnctl/vpnctl/internal/host"
)

// world is a host that notes what is asked of it.
type world struct {
	booted bool
	armed  bool   // the unit's file is there
	inside bool   // who asks is the service
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

func (w *world) StartTimer(_ context.Context, timer, _ string, after time.Duration) error {
	return w.do("start %s after %v", timer, after)
}

func (w *world) StopAndWait(_ context.Context, name string) error { return w.do("stop %s", name) }
func (w *world) Enable(_ context.Context, name string) error      { return w.do("enable %s", name) }
func (w *world) Disable(_ context.Context, name string) error     { return w.do("disable %s", name) }
func (w *world) Reload(context.Context) error                     { return w.do("reload") }
func (w *world) Close()                                           { w.did = append(w.did, "close") }

func (w *world) Read(path string) (host.File, error) {
	if !w.armed {
		return host.File{}, fs.ErrNotExist
	}
	return host.File{}, nil
}

func (w *world) Sweep(string) error { return nil }

func (w *world) Replace(path string, f host.File) error {
	_, run, _ := strings.Cut(string(f.Data), "\nExecStart=")
	run, _, _ = strings.Cut(run, "\n")
	_, run, _ = strings.Cut(run, " ")
	return w.do("write %s: %s", path, run)
}

func (w *world) Remove(path string) error { return w.do("remove %s", path) }

func (w *world) guardian() *guardian.Guardian {
	g := guardian.New("/var/lib/vpnctl")
	g.Files = w
	g.Booted = func() bool { return w.booted }
	g.Inside = func(unit string) bool { return w.inside && unit == "vpnctl-revert.service" }
	g.Units = func(context.Context) (guardian.Units, error) { return w, w.do("connect") }
	g.Detach = func(argv []string) error { return w.do("detach %s", strings.Join(argv[1:], " ")) }
	return g
}

func TestGuardian(t *testing.T) {
	arm := func(g *guardian.Guardian) error { return g.Arm(context.Background(), time.Minute) }
	disarm := func(g *guardian.Guardian) error { return g.Disarm(context.Background()) }
	const timer, service, start = "stop vpnctl-revert.timer", "stop vpnctl-revert.service", "start vpnctl-revert.timer after 1m0s"
	const file = "/etc/systemd/system/vpnctl-revert.service"
	const write, enable = "write " + file + ": revert --state-dir /var/lib/vpnctl", "enable vpnctl-revert.service"
	const disable, remove = "disable vpnctl-revert.service", "remove " + file
	for _, tt := range []struct {
		name  string
		world world
		do    func(*guardian.Guardian) error
		want  []string
	}{
		{"timer", world{booted: true}, arm, []string{"connect", timer, service, write, "reload", enable, start, "close"}},
		{"old timer that stays", world{booted: true, fails: "stop"}, arm, []string{"connect", timer, service, "close"}},
		{"no file", world{booted: true, fails: "write"}, arm, []string{"connect", timer, service, write, "close"}},
		{"file not read", world{booted: true, fails: "reload"}, arm, []string{"connect", timer, service, write, "reload", "close"}},
		{"not at boot", world{booted: true, fails: "enable"}, arm, []string{"connect", timer, service, write, "reload", enable, "close"}},
		{"timer that fails", world{booted: true, fails: "start"}, arm, []string{"connect", timer, service, write, "reload", enable, start, "close"}},
		{"no bus", world{booted: true, fails: "connect"}, arm, []string{"connect"}},
		{"process", world{}, arm, []string{"detach revert --state-dir /var/lib/vpnctl"}},
		{"process that fails", world{fails: "detach"}, arm, []string{"detach revert --state-dir /var/lib/vpnctl"}},
		{"disarm timer", world{booted: true, armed: true}, disarm, []string{"connect", timer, service, disable, remove, "reload", "close"}},
		{"disarm timer that stays", world{booted: true, armed: true, fails: timer}, disarm, []string{"connect", timer, service, disable, remove, "reload", "close"}},
		{"disarm from inside", world{booted: true, armed: true, inside: true}, disarm, []string{"connect", timer, disable, remove, "reload", "close"}},
		{"disarm nothing", world{booted: true}, disarm, []string{"connect", timer, service, "close"}},
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
