package sysctl_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/host/hosttest"
	"github.com/vpnctl/vpnctl/internal/plan"
	"github.com/vpnctl/vpnctl/internal/sysctl"
)

const (
	forward4  = "net/ipv4/ip_forward"
	forward6  = "net/ipv6/conf/all/forwarding"
	redirects = "net/ipv4/conf/all/accept_redirects"
	mark      = "net/ipv4/conf/all/src_valid_mark"
	path      = "/etc/sysctl.d/60-vpnctl.conf"
)

// keys is what is wanted, by key.
type keys = map[string]string

// world is a host with a memory, on which plans are carried out as the engine does it.
type world struct {
	backend  *sysctl.Backend
	handlers map[string]backend.Handler
	memory   backend.Memory
	print    func() string
	links    []desired.Interface // ours

	settings *hosttest.Sysctl // nil on a real host
	files    *hosttest.Files
	routes   advertised
	shared   []string
}

// advertised are interfaces with a router's default route.
type advertised []string

// network is a Network in memory.
type network struct{ w *world }

func (n network) Advertised() ([]string, error) { return n.w.routes, nil }

func (n network) Shared() ([]string, error) { return n.w.shared, nil }

// newWorld is a host in memory with two interfaces.
func newWorld() *world {
	w := &world{settings: hosttest.NewSysctl("eth0", "eth0.100"), files: &hosttest.Files{}}
	w.files.Put("/etc/sysctl.d/README.sysctl", "theirs\n", 0o644)
	w.print = func() string { return w.settings.String() + w.files.String() }
	w.use(sysctl.Config{Settings: w.settings, Files: w.files, Network: network{w}})
	return w
}

func (w *world) use(c sysctl.Config) {
	w.memory = backend.Memory{}
	w.backend = sysctl.New(c)
	w.handlers = w.backend.Handlers()
	w.handlers[backend.MemoryOp] = backend.Handle(func(_ context.Context, from, to *backend.MemoryEntry) error {
		if to != nil {
			w.memory[to.Key] = to.Value
		} else if from != nil {
			delete(w.memory, from.Key)
		}
		return nil
	})
}

// String is all that an apply may change.
func (w *world) String() string {
	memory, err := json.MarshalIndent(w.memory, "", " ")
	if err != nil {
		panic(err)
	}
	return w.print() + string(memory) + "\n"
}

func (w *world) input(want keys) backend.Input {
	return backend.Input{
		Want:   &desired.State{Site: "hq", Sysctl: want, Interfaces: w.links},
		Memory: w.memory,
	}
}

func (w *world) plan(want keys) (*plan.Plan, error) {
	steps, err := w.backend.Plan(context.Background(), w.input(want))
	return plan.New("hq", "gw", steps), err
}

// do carries an operation out as another process would: from its JSON.
func (w *world) do(op backend.Op, undo bool) error {
	h := w.handlers[op.Kind]
	if h == nil {
		return fmt.Errorf("no handler of %s", op.Kind)
	}
	sides := [2]any{op.From, op.To}
	for i, v := range sides {
		raw, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if sides[i], err = h.Decode(raw); err != nil {
			return err
		}
	}
	if undo {
		sides[0], sides[1] = sides[1], sides[0]
	}
	return h.Apply(context.Background(), sides[0], sides[1])
}

// undo takes the first n steps of a plan back.
func (w *world) undo(p *plan.Plan, n int) error {
	for i := n - 1; i >= 0; i-- {
		if err := w.do(p.Steps[i].Op, true); err != nil {
			return fmt.Errorf("undoing step %d: %w", i, err)
		}
	}
	return nil
}

// converge applies, and looks whether anything is left.
func (w *world) converge(want keys) error {
	p, err := w.plan(want)
	if err != nil {
		return err
	}
	for _, s := range p.Steps {
		if err := w.do(s.Op, false); err != nil {
			return err
		}
	}
	rest, err := w.plan(want)
	if err == nil && len(rest.Steps) > 0 {
		err = fmt.Errorf("planning again gives %d steps:\n%s", len(rest.Steps), rest.Text(plan.Palette{}))
	}
	return err
}

func (w *world) mustConverge(t *testing.T, want keys) {
	t.Helper()
	if err := w.converge(want); err != nil {
		t.Fatal(err)
	}
}

func (w *world) mustPlan(t *testing.T, want keys) *plan.Plan {
	t.Helper()
	p, err := w.plan(want)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// settingsOf is a plan's text without the file, which has tests of its own.
func settingsOf(p *plan.Plan) string {
	var b strings.Builder
	for _, c := range p.Changes() {
		if !strings.HasPrefix(c.Object, "sysctl/") {
			continue
		}
		fmt.Fprintf(&b, "%c %s\n", c.Action, c.Object)
		for _, f := range c.Fields {
			fmt.Fprintf(&b, "    %s: %s -> %s\n", f.Name, f.Have, f.Want)
		}
	}
	return b.String()
}

func TestPlanText(t *testing.T) {
	want := `+ file/etc/sysctl.d/60-vpnctl.conf
    content: sha256 676bbd385a6e
    mode: 0644
~ sysctl/net.ipv4.ip_forward
    value: 0 -> 1
plan: 1 to create, 1 to update, 0 to delete; 0 disruptive
`
	if diff := cmp.Diff(want, newWorld().mustPlan(t, keys{forward4: "1"}).Text(plan.Palette{})); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}

func TestPlan(t *testing.T) {
	tests := []struct {
		name   string
		before func(t *testing.T, w *world)
		want   keys
		plan   string
	}{
		{"nothing", nil, nil, ""},
		{"forwarding comes ahead of what it resets, advertisements ahead of it", func(_ *testing.T, w *world) {
			w.routes = advertised{"eth0", "eth0.100"}
			w.settings.Put("net/ipv6/conf/eth0/accept_ra", "0") // NetworkManager's
		}, keys{forward4: "1", forward6: "1", redirects: "0", "net/ipv4/conf/eth0.100/rp_filter": "2"}, `
~ sysctl/net/ipv6/conf/eth0.100/accept_ra
    value: 1 -> 2
~ sysctl/net.ipv4.ip_forward
    value: 0 -> 1
~ sysctl/net.ipv6.conf.all.forwarding
    value: 0 -> 1
~ sysctl/net.ipv4.conf.all.accept_redirects
    value: 1 -> 0
~ sysctl/net/ipv4/conf/eth0.100/rp_filter
    value: 0 -> 2
`},
		{"the other name of ip_forward", nil, keys{"net/ipv4/conf/all/forwarding": "1"}, `
~ sysctl/net.ipv4.ip_forward
    value: 0 -> 1
`},
		{"no redirects from interfaces that have an address, but wg0's", func(_ *testing.T, w *world) {
			w.links = []desired.Interface{{Name: "wg0"}}
			w.settings.AddInterface("wg0")
			w.settings.AddInterface("eth1")
			w.settings.Put("net/ipv4/conf/eth1/send_redirects", "0")
			w.shared = []string{"eth0", "eth1", "wg0"}
		}, keys{"net/ipv4/conf/all/send_redirects": "0", "net/ipv4/conf/default/send_redirects": "0"}, `
~ sysctl/net.ipv4.conf.all.send_redirects
    value: 1 -> 0
~ sysctl/net.ipv4.conf.default.send_redirects
    value: 1 -> 0
~ sysctl/net.ipv4.conf.eth0.send_redirects
    value: 1 -> 0
`},
		{"redirects again", func(t *testing.T, w *world) {
			w.shared = []string{"eth0", "eth0.100"}
			w.mustConverge(t, keys{"net/ipv4/conf/default/send_redirects": "0"})
			w.settings.RemoveInterface("eth0.100")
		}, nil, `
~ sysctl/net.ipv4.conf.default.send_redirects
    value: 0 -> 1
~ sysctl/net.ipv4.conf.eth0.send_redirects
    value: 0 -> 1
`},
		{"already so", func(_ *testing.T, w *world) { w.settings.Put(mark, "1") }, keys{mark: "1"}, ""},
		{"already so, written otherwise", func(_ *testing.T, w *world) {
			w.settings.Put("net/ipv4/ip_local_port_range", "32768\t60999")
		}, keys{"net/ipv4/ip_local_port_range": "32768 60999"}, ""},
		{"drift", func(t *testing.T, w *world) {
			w.mustConverge(t, keys{mark: "1"})
			w.settings.Put(mark, "0")
		}, keys{mark: "1"}, `
~ sysctl/net.ipv4.conf.all.src_valid_mark
    value: 0 -> 1
`},
		{"another value", func(t *testing.T, w *world) { w.mustConverge(t, keys{mark: "1"}) }, keys{mark: "0"}, `
~ sysctl/net.ipv4.conf.all.src_valid_mark
    value: 1 -> 0
`},
		{"an interface of ours that is not there yet", func(_ *testing.T, w *world) {
			w.links = []desired.Interface{{Name: "wg0"}}
			w.settings.AddInterface("wg0") // by the time that the step is done
			w.settings.Put("net/ipv4/conf/wg0/rp_filter", "1")
		}, keys{"net/ipv4/conf/wg0/rp_filter": "2"}, `
~ sysctl/net.ipv4.conf.wg0.rp_filter
    value: 1 -> 2
`},
		{"no longer wanted", func(t *testing.T, w *world) {
			w.routes = advertised{"eth0"}
			w.mustConverge(t, keys{forward4: "1", forward6: "1", redirects: "0"})
		}, nil, `
~ sysctl/net.ipv4.ip_forward
    value: 1 -> 0
~ sysctl/net.ipv6.conf.all.forwarding
    value: 1 -> 0
~ sysctl/net.ipv4.conf.all.accept_redirects
    value: 0 -> 1
~ sysctl/net.ipv6.conf.eth0.accept_ra
    value: 2 -> 1
`},
		{"no longer wanted, and as before already", func(t *testing.T, w *world) {
			w.mustConverge(t, keys{mark: "1"})
			w.settings.Put(mark, "0")
		}, nil, ""},
		{"no longer wanted, and somebody else's by now", func(t *testing.T, w *world) {
			w.mustConverge(t, keys{"net/ipv4/conf/eth0/rp_filter": "2"})
			w.settings.Put("net/ipv4/conf/eth0/rp_filter", "1")
		}, nil, ""},
		{"no longer wanted, and always so", func(t *testing.T, w *world) {
			w.settings.Put(mark, "1")
			w.mustConverge(t, keys{mark: "1"})
		}, nil, ""},
		{"no longer wanted, of an interface that is gone", func(t *testing.T, w *world) {
			w.mustConverge(t, keys{"net/ipv4/conf/eth0.100/rp_filter": "2"})
			w.settings.RemoveInterface("eth0.100")
		}, nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			if tt.before != nil {
				tt.before(t, w)
			}
			if diff := cmp.Diff(strings.TrimPrefix(tt.plan, "\n"), settingsOf(w.mustPlan(t, tt.want))); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			w.mustConverge(t, tt.want)
			if len(tt.want) == 0 && len(w.memory) > 0 {
				t.Errorf("memory after the end: %s", w.memory)
			}
		})
	}
}

// An interface may go between plan and apply, and between apply and undo.
func TestInterfaceGoes(t *testing.T) {
	for _, undo := range []bool{false, true} {
		w := newWorld()
		w.shared = []string{"eth0", "eth0.100"}
		p := w.mustPlan(t, keys{"net/ipv4/conf/default/send_redirects": "0"})
		if !undo {
			w.settings.RemoveInterface("eth0.100")
		}
		for _, s := range p.Steps {
			if err := w.do(s.Op, false); err != nil {
				t.Error(err)
			}
		}
		w.settings.RemoveInterface("eth0.100")
		if undo {
			if err := w.undo(p, len(p.Steps)); err != nil {
				t.Error(err)
			}
		}
	}
}

// What is said of today's interfaces is not in the file.
func TestFileOfRedirects(t *testing.T) {
	w := newWorld()
	w.shared = []string{"eth0"}
	w.mustConverge(t, keys{"net/ipv4/conf/default/send_redirects": "0"})
	if got := w.files.String(); !strings.Contains(got, "default/send_redirects = 0") || strings.Contains(got, "eth0") {
		t.Errorf("files are\n%s", got)
	}
}

// An interface of ours may be missing while planning, and leaves nothing to remember.
func TestOwnInterface(t *testing.T) {
	w := newWorld()
	w.links = []desired.Interface{{Name: "wg0"}}
	want := keys{"net/ipv4/conf/wg0/rp_filter": "2"}
	if err := w.backend.Check(t.Context(), w.input(want)); err != nil {
		t.Fatal(err)
	}
	p := w.mustPlan(t, want)
	if diff := cmp.Diff("~ sysctl/net.ipv4.conf.wg0.rp_filter\n    value: (none) -> 2\n", settingsOf(p)); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	for _, s := range p.Steps {
		if s.Op.Kind == "sysctl.set" && s.Phase <= backend.PhaseLink {
			t.Errorf("set in phase %d, before there is the link", s.Phase)
		}
	}
	w.settings.AddInterface("wg0")
	w.mustConverge(t, want)
	w.settings.RemoveInterface("wg0")
	w.links = nil
	if diff := cmp.Diff("", settingsOf(w.mustPlan(t, nil))); diff != "" {
		t.Errorf("plan without it (-want +got):\n%s", diff)
	}
}

func TestFile(t *testing.T) {
	w := newWorld()
	w.mustConverge(t, keys{mark: "1", forward4: "1", "net/ipv4/conf/eth0.100/rp_filter": "2"})
	f, err := w.files.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	want := "# Written by vpnctl; changes are overwritten.\n" +
		"net/ipv4/ip_forward = 1\n" +
		"net/ipv4/conf/all/src_valid_mark = 1\n" +
		"net/ipv4/conf/eth0.100/rp_filter = 2\n"
	if diff := cmp.Diff(host.File{Data: []byte(want), Mode: 0o644}, f); diff != "" {
		t.Errorf("file (-want +got):\n%s", diff)
	}
	// What is as it shall be is set at boot all the same.
	w = newWorld()
	w.settings.Put(mark, "1")
	w.mustConverge(t, keys{mark: "1"})
	if _, err := w.files.Read(path); err != nil {
		t.Error(err)
	}
}

func TestCheck(t *testing.T) {
	tests := []struct {
		name   string
		before func(w *world)
		keys   keys
		want   string
	}{
		{"fine", nil, keys{forward4: "1"}, ""},
		{"no IPv6", func(w *world) { w.settings.DisableIPv6() }, keys{forward6: "1"},
			"sysctl/net.ipv6.conf.all.forwarding: the kernel has IPv6 disabled; " +
				"boot without ipv6.disable=1, or take the IPv6 prefixes out of the topology"},
		{"unknown", nil, keys{"net/ipv4/absent": "1"},
			"sysctl/net.ipv4.absent: the kernel has no such setting; load the module or boot a kernel that has it"},
		{"no interface", nil, keys{"net/ipv4/conf/eth1/rp_filter": "2"},
			"sysctl/net.ipv4.conf.eth1.rp_filter: there is no interface eth1; create it first"},
		{"read-only", func(w *world) { w.settings.Lock("net") }, keys{forward4: "1"},
			`sysctl/net.ipv4.ip_forward: is 0, should be 1, and may not be written here; ` +
				`run with privileges, or set it on the host: sysctl -w net.ipv4.ip_forward="1"`},
		{"read-only and right", func(w *world) {
			w.settings.Put(forward4, "1")
			w.settings.Lock("net")
		}, keys{forward4: "1"}, ""},
		{"read-only and to be restored", func(w *world) {
			if err := w.converge(keys{mark: "1"}); err != nil {
				panic(err)
			}
			w.settings.Lock("net/ipv4/conf")
		}, nil, `sysctl/net.ipv4.conf.all.src_valid_mark: is 1, should be 0, and may not be written here; ` +
			`run with privileges, or set it on the host: sysctl -w net.ipv4.conf.all.src_valid_mark="0"`},
		{"all at once", func(w *world) {
			w.settings.Lock("net/ipv4")
			w.files.Put(path, "theirs\n", 0o644)
		}, keys{mark: "1", "net/absent": "1"},
			"sysctl/net.absent: the kernel has no such setting; load the module or boot a kernel that has it\n" +
				"sysctl/net.ipv4.conf.all.src_valid_mark: is 0, should be 1, and may not be written here; " +
				"run with privileges, or set it on the host: sysctl -w net.ipv4.conf.all.src_valid_mark=\"1\"\n" +
				"file/etc/sysctl.d/60-vpnctl.conf: a file that is not vpnctl's stands there; move it away, or run apply --adopt"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			if tt.before != nil {
				tt.before(w)
			}
			err := w.backend.Check(t.Context(), w.input(tt.keys))
			got := ""
			if err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("refusals (-want +got):\n%s", diff)
			}
			if err != nil && !backend.IsRefusal(err) {
				t.Errorf("%v is no refusal", err)
			}
		})
	}
}

// What a router's interfaces had on advertisements, by what they had before.
func TestAcceptRA(t *testing.T) {
	const key = "net/ipv6/conf/eth0/accept_ra"
	for value, want := range map[string]string{"0": "0", "1": "2", "2": "2"} {
		w := newWorld()
		w.routes = advertised{"eth0"}
		w.settings.Put(key, value)
		before := w.String()
		w.mustConverge(t, keys{forward6: "1"})
		if got, _ := w.settings.Get(key); got != want {
			t.Errorf("accept_ra %s has become %s, want %s", value, got, want)
		}
		w.routes = nil // the router is away: nothing changes
		w.mustConverge(t, keys{forward6: "1"})
		if got, _ := w.settings.Get(key); got != want {
			t.Errorf("accept_ra %s has become %s without a route, want %s", value, got, want)
		}
		w.mustConverge(t, nil)
		if diff := cmp.Diff(before, w.String()); diff != "" {
			t.Errorf("after all (-want +got):\n%s", diff)
		}
	}
}

// The owner's values beside forwarding survive it, changed before or meanwhile.
func TestBesideForwarding(t *testing.T) {
	w := newWorld()
	for _, key := range []string{"net/ipv4/conf/eth0/forwarding", "net/ipv6/conf/eth0/forwarding"} {
		w.settings.Put(key, "1")
	}
	w.settings.Put(redirects, "0")
	before := w.String()
	on := keys{forward4: "1", forward6: "1"}
	w.mustConverge(t, on)
	if got, _ := w.settings.Get(redirects); got != "0" {
		t.Errorf("accept_redirects is %s while forwarding", got)
	}
	w.mustConverge(t, nil)
	if diff := cmp.Diff(before, w.String()); diff != "" {
		t.Errorf("after the end (-want +got):\n%s", diff)
	}

	w.mustConverge(t, on)
	w.settings.Put(redirects, "1")
	w.settings.Put("net/ipv4/conf/eth0/forwarding", "0")
	w.settings.AddInterface("eth1")
	w.settings.RemoveInterface("eth0.100")
	w.mustConverge(t, nil)
	for key, want := range map[string]string{
		redirects: "1", "net/ipv4/conf/eth0/forwarding": "0", "net/ipv4/conf/eth1/forwarding": "0",
	} {
		if got, _ := w.settings.Get(key); got != want {
			t.Errorf("%s is %s, want %s: changed meanwhile", key, got, want)
		}
	}
}

// An interface that goes between the plan and its steps stops neither them nor their undo.
func TestInterfaceVanishes(t *testing.T) {
	w := newWorld()
	p := w.mustPlan(t, keys{forward4: "1"})
	w.settings.RemoveInterface("eth0")
	before := w.String()
	for _, s := range p.Steps {
		if err := w.do(s.Op, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.undo(p, len(p.Steps)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, w.String()); diff != "" {
		t.Errorf("after undo (-want +got):\n%s", diff)
	}
}

// An interface whose own forwarding is wanted off stays off while the host forwards.
func TestWantedBesideForwarding(t *testing.T) {
	w := newWorld()
	before := w.String()
	want := keys{forward4: "1", "net/ipv4/conf/eth0/forwarding": "0"}
	w.mustConverge(t, want)
	if got, _ := w.settings.Get("net/ipv4/conf/eth0/forwarding"); got != "0" {
		t.Errorf("eth0 forwards: %s", got)
	}
	w.mustConverge(t, nil)
	if diff := cmp.Diff(before, w.String()); diff != "" {
		t.Errorf("after the end (-want +got):\n%s", diff)
	}
}

// wants are states for the walks.
var wants = []keys{
	nil,
	{forward4: "1"},
	{forward4: "1", forward6: "1", redirects: "0"},
	{forward6: "1", mark: "1", "net/ipv4/conf/eth0/forwarding": "0"},
	{mark: "1", "net/ipv4/conf/eth0.100/rp_filter": "2"},
	{forward4: "1", "net/ipv4/conf/eth0/forwarding": "0"},
	{"net/ipv4/conf/eth0/forwarding": "1"},
}

// owners make hosts: an untouched one, and one whose owner has set what forwarding resets.
var owners = map[string]func() *world{
	"untouched": func() *world {
		w := newWorld()
		w.routes = advertised{"eth0"}
		return w
	},
	"set up": func() *world {
		w := newWorld()
		w.routes = advertised{"eth0"}
		w.settings.Put(redirects, "0")
		w.settings.Put("net/ipv4/conf/eth0.100/forwarding", "1")
		w.settings.Put("net/ipv6/conf/eth0.100/forwarding", "1")
		return w
	},
}

// TestRandomWalk visits the states in any order: what the host holds then depends on the
// state alone.
func TestRandomWalk(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for name, owner := range owners {
		texts := make([]string, len(wants))
		for i, want := range wants {
			w := owner()
			w.mustConverge(t, want)
			texts[i] = w.print()
		}
		w := owner()
		for range 300 {
			i := r.IntN(len(wants))
			w.mustConverge(t, wants[i])
			if diff := cmp.Diff(texts[i], w.print()); diff != "" {
				t.Fatalf("%s: state %d (-want +got):\n%s", name, i, diff)
			}
		}
	}
}

var errFault = errors.New("input/output error")

// failing makes the k-th write fail.
func (w *world) failing(k int) {
	n := 0
	fault := func(string) error {
		if n++; n == k+1 {
			return errFault
		}
		return nil
	}
	w.settings.Fault, w.files.Fault = fault, fault
}

// start applies up to the k-th write, and returns the plan and how many steps were begun.
func (w *world) start(t *testing.T, k int, want keys) (p *plan.Plan, begun int, err error) {
	t.Helper()
	p = w.mustPlan(t, want)
	w.failing(k)
	defer func() { w.settings.Fault, w.files.Fault = nil, nil }()
	for i, s := range p.Steps {
		if err := w.do(s.Op, false); err != nil {
			return p, i + 1, err
		}
	}
	return p, len(p.Steps), nil
}

// TestFaults fails every write of every change: undone, the host is as before; died there,
// the next apply converges, and nothing of the owner's is lost in the end.
func TestFaults(t *testing.T) {
	for name, owner := range owners {
		for from := range wants {
			for to := range wants {
				t.Run(fmt.Sprintf("%s, %d to %d", name, from, to), func(t *testing.T) {
					for k := 0; failAndUndo(t, owner, k, wants[from], wants[to]); k++ {
						for next := range wants {
							failAndGoOn(t, owner, k, wants[from], wants[to], wants[next])
						}
					}
				})
			}
		}
	}
}

// failAndUndo reports whether there was a k-th write to fail.
func failAndUndo(t *testing.T, owner func() *world, k int, from, to keys) bool {
	t.Helper()
	w := owner()
	w.mustConverge(t, from)
	before := w.String()
	p, begun, err := w.start(t, k, to)
	if err == nil {
		// All is done, and can be undone as well.
		begun = len(p.Steps)
	} else if !errors.Is(err, errFault) {
		t.Fatal(err)
	}
	if err := w.undo(p, begun); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, w.String()); diff != "" {
		t.Fatalf("write %d, after undo (-want +got):\n%s", k, diff)
	}
	return err != nil
}

// failAndGoOn dies at the k-th write, applies something, and destroys.
func failAndGoOn(t *testing.T, owner func() *world, k int, states ...keys) {
	t.Helper()
	w := owner()
	before := w.String()
	w.mustConverge(t, states[0])
	if _, _, err := w.start(t, k, states[1]); err == nil {
		t.Fatal("no fault the second time")
	}
	w.mustConverge(t, states[2])
	w.mustConverge(t, nil)
	if diff := cmp.Diff(before, w.String()); diff != "" {
		t.Fatalf("killed at write %d, then %v and the end (-want +got):\n%s", k, states[2], diff)
	}
}
