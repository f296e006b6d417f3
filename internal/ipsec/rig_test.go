package ipsec_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/host/hosttest"
	"github.com/vpnctl/vpnctl/internal/ipsec"
	"github.com/vpnctl/vpnctl/internal/ipsec/charontest"
	"github.com/vpnctl/vpnctl/internal/plan"
	"github.com/vpnctl/vpnctl/internal/reason"
	"github.com/vpnctl/vpnctl/internal/rtnl"
	"github.com/vpnctl/vpnctl/internal/secret"
)

// vault keeps what it gave an id.
type vault map[secret.ID]secret.Value

func (s vault) ID(v secret.Value) secret.ID {
	if v.IsZero() {
		return ""
	}
	sum := sha256.Sum256(v.Reveal())
	id := secret.ID("secret:" + hex.EncodeToString(sum[:16]))
	s[id] = v
	return id
}

func (s vault) Value(id secret.ID) (secret.Value, error) {
	v, ok := s[id]
	if !ok {
		return v, fmt.Errorf("secret %s: %w", id, fs.ErrNotExist)
	}
	return v, nil
}

func (s vault) put(text string) secret.ID { return s.ID(secret.New([]byte(text))) }

// rig is a host, and as much of an engine as applies and undoes.
type rig struct {
	t       testing.TB
	charon  *charontest.Charon
	files   *hosttest.Files
	network *charontest.Network
	kernel  *charontest.Kernel
	names   map[string]string // of the DNS
	deaf    atomic.Int32      // how many questions it does not answer
	plugins []string          // of charon that are installed
	reasons *reason.Store
	secrets vault
	memory  backend.Memory
	applied *desired.State
	options backend.Options
	journal []entry
	now     time.Time
}

// entry is an operation as it outlives a process.
type entry struct {
	kind     string
	from, to json.RawMessage
}

func newRig(t testing.TB) *rig {
	r := &rig{
		t: t, charon: charontest.New(), files: &hosttest.Files{}, network: &charontest.Network{}, kernel: &charontest.Kernel{},
		plugins: []string{"resolve", "kernel-libipsec"},
		reasons: reason.Open(path.Join(t.TempDir(), "reasons")), secrets: vault{}, memory: backend.Memory{},
		now: time.Date(2026, 11, 25, 4, 0, 0, 0, time.UTC),
	}
	r.charon.Files = r.files
	r.files.Put("/etc/swanctl/swanctl.conf", "# include conf.d/*.conf\n", 0o644)
	r.network.AddLink(rtnl.Link{Name: "eth0"})
	r.network.AddAddr("eth0", "192.168.10.10/16")
	r.network.AddRoute("eth0", route("192.168.0.0/16", ""))
	return r
}

func (r *rig) backend() *ipsec.Backend {
	return ipsec.New(ipsec.Config{
		Secrets: r.secrets, Dial: r.charon.Dial, Listen: r.charon.Listen, Daemon: r.charon, Files: r.files, Glob: r.glob,
		Network: func() (ipsec.Network, error) { return r.network, nil }, Kernel: r.kernel, SAD: charontest.SAD{Charon: r.charon},
		Resolve: r.resolve, Reasons: r.reasons, Now: func() time.Time { return r.now },
	})
}

func (r *rig) resolve(_ context.Context, name string) ([]netip.Addr, error) {
	if r.deaf.Add(-1) >= 0 {
		return nil, errors.New("no answer")
	}
	a, err := netip.ParseAddr(r.names[name])
	return []netip.Addr{a}, err
}

// backendWithout is a backend whose every door is shut.
func (r *rig) backendWithout() *ipsec.Backend {
	return ipsec.New(ipsec.Config{
		Dial:    func(context.Context) (ipsec.Session, error) { panic("charon is asked") },
		Daemon:  nobody{},
		Network: func() (ipsec.Network, error) { panic("the kernel is asked") },
		Glob:    func(string) ([]string, error) { panic("files are listed") },
	})
}

// nobody is a daemon that must not be asked.
type nobody struct{ ipsec.Daemon }

func (r *rig) glob(pattern string) (paths []string, err error) {
	all := r.files.Paths()
	for _, name := range r.plugins {
		all = append(all, "/usr/lib/ipsec/plugins/libstrongswan-"+name+".so")
	}
	for _, p := range all {
		if ok, _ := path.Match(pattern, p); ok {
			paths = append(paths, p)
		}
	}
	return paths, nil
}

func (r *rig) input(want *desired.State) backend.Input {
	return backend.Input{Want: want, Applied: r.applied, Memory: r.memory, Secrets: r.secrets, Options: r.options, AppliedAt: r.now}
}

func (r *rig) plan(want *desired.State) *plan.Plan {
	r.t.Helper()
	steps, err := r.backend().Plan(context.Background(), r.input(want))
	if err != nil {
		r.t.Fatal(err)
	}
	return plan.New(want.Site, "gw-a", steps)
}

func (r *rig) text(want *desired.State) string { return r.plan(want).Text(plan.Palette{}) }

// do applies a plan and stops at the first error.
func (r *rig) do(p *plan.Plan) error {
	r.journal = nil
	for _, s := range p.Steps {
		e := entry{s.Op.Kind, r.encode(s.Op.From), r.encode(s.Op.To)}
		r.journal = append(r.journal, e)
		if err := r.run(e.kind, e.from, e.to); err != nil {
			return fmt.Errorf("%s: %w", e.kind, err)
		}
	}
	return nil
}

// undo does what the journal holds backwards, the other way round.
func (r *rig) undo() error {
	for _, e := range slices.Backward(r.journal) {
		if err := r.run(e.kind, e.to, e.from); err != nil {
			return fmt.Errorf("undoing %s %s: %w", e.kind, e.to, err)
		}
	}
	return nil
}

// apply applies a state, which must succeed and leave nothing to do.
func (r *rig) apply(want *desired.State) {
	r.t.Helper()
	if err := r.backend().Check(context.Background(), r.input(want)); err != nil {
		r.t.Fatal(err)
	}
	p := r.plan(want)
	if err := r.do(p); err != nil {
		r.t.Fatalf("applying: %v\n%s", err, p.Text(plan.Palette{}))
	}
	r.applied = want
	r.options.Adopt = false
	if p := r.plan(want); len(p.Steps) > 0 {
		r.t.Fatalf("after apply there is still to do:\n%s%+v\n%s", p.Text(plan.Palette{}), p.Steps, r.state())
	}
	if stale := r.charon.Stale(); len(stale) > 0 {
		r.t.Fatalf("after apply these have the settings from before: %q", stale)
	}
}

func (r *rig) encode(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, v := range r.secrets {
		if text := string(v.Reveal()); len(text) < 100 && strings.Contains(string(raw), text) {
			r.t.Fatalf("a secret is in the journal: %s", raw)
		}
	}
	return raw
}

func (r *rig) run(kind string, from, to json.RawMessage) error {
	h := backend.Handle(r.remember)
	if kind != backend.MemoryOp {
		h = r.backend().Handlers()[kind]
		if kind == "file" {
			h = fileHandler(r.files)
		}
	}
	if h == nil {
		r.t.Fatalf("nobody knows %s", kind)
	}
	f, errFrom := h.Decode(from)
	t, errTo := h.Decode(to)
	if err := errors.Join(errFrom, errTo); err != nil {
		r.t.Fatalf("%s: %v", kind, err)
	}
	return h.Apply(context.Background(), f, t)
}

func (r *rig) remember(_ context.Context, from, to *backend.MemoryEntry) error {
	if to == nil {
		delete(r.memory, from.Key)
		return nil
	}
	r.memory[to.Key] = to.Value
	return nil
}

// state is the whole of a rig: the host and what is remembered.
func (r *rig) state() string { return r.host() + "memory " + string(r.encode(r.memory)) + "\n" }

// host is the host alone.
func (r *rig) host() string { return r.charon.String() + r.files.String() + r.network.String() }

var errFault = errors.New("injected fault")

// failAt lets the k-th write fail, or the process be killed before it.
func (r *rig) failAt(k int, killed bool) (hit func() bool) {
	n := 0
	fault := func(string) error {
		n++
		switch {
		case killed && n >= k:
			return charontest.ErrKilled
		case n == k:
			return errFault
		}
		return nil
	}
	r.charon.Fault, r.files.Fault, r.network.Fault = fault, fault, fault
	return func() bool { return n >= k }
}

func (r *rig) heal() { r.charon.Fault, r.files.Fault, r.network.Fault = nil, nil, nil }
