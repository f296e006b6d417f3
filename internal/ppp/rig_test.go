package ppp_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/file"
	"github.com/vpnctl/vpnctl/internal/host/hosttest"
	"github.com/vpnctl/vpnctl/internal/plan"
	"github.com/vpnctl/vpnctl/internal/ppp"
	"github.com/vpnctl/vpnctl/internal/ppp/ppptest"
	"github.com/vpnctl/vpnctl/internal/secret"
)

// vault keeps what it gave an id.
type vault map[secret.ID]secret.Value

func (s vault) ID(v secret.Value) secret.ID {
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

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// server is a server of L2TP, apart from what change makes of it.
func server(name string, change ...func(s *desired.PPPServer)) desired.PPPServer {
	s := desired.PPPServer{
		PPPTunnel: desired.PPPTunnel{Protocol: desired.L2TP, Name: name, IPsec: true, Auth: []string{"mschapv2", "chap"}},
		LocalIP:   addr("192.168.130.1"), Pools: []desired.AddrRange{{From: addr("192.168.130.100"), To: addr("192.168.130.200")}},
	}
	for _, c := range change {
		c(&s)
	}
	return s
}

func state(servers ...desired.PPPServer) *desired.State {
	return &desired.State{Site: "hq", Node: "gw", PPP: desired.PPP{Servers: servers}}
}

// rig is a host, and as much of an engine as applies and undoes.
type rig struct {
	t        testing.TB
	files    *hosttest.Files
	sessions *ppptest.Fake
	network  *ppptest.Network
	modules  *ppptest.Modules
	lacks    []string // programs, or the device
	secrets  vault
	memory   backend.Memory
	applied  *desired.State
	journal  []entry
	now      time.Time
}

// entry is an operation as it outlives a process.
type entry struct {
	kind     string
	from, to json.RawMessage
}

const foreignSecrets = "# the owner's\nbob * 'secret of bob' *\n\"no line break\" * x *"

func newRig(t testing.TB) *rig {
	r := &rig{
		t: t, files: &hosttest.Files{}, sessions: &ppptest.Fake{}, network: &ppptest.Network{}, modules: ppptest.NewModules(),
		secrets: vault{}, memory: backend.Memory{}, now: time.Date(2026, 11, 25, 4, 0, 0, 0, time.UTC),
	}
	r.files.Put("/etc/ppp/chap-secrets", foreignSecrets, 0o600)
	return r
}

func (r *rig) backend() *ppp.Backend {
	return ppp.New(ppp.Config{
		Files: r.files, Secrets: r.secrets, Sessions: r.sessions, Modules: r.modules,
		Network:   func() (ppp.Network, error) { return r.network, nil },
		Installed: func(program string) bool { return !slices.Contains(r.lacks, program) },
		Now:       func() time.Time { return r.now },
		Device:    func() bool { return !slices.Contains(r.lacks, "/dev/ppp") },
	})
}

func (r *rig) input(want *desired.State) backend.Input {
	return backend.Input{Want: want, Applied: r.applied, Memory: r.memory, Secrets: r.secrets, AppliedAt: r.now}
}

func (r *rig) plan(want *desired.State) *plan.Plan {
	r.t.Helper()
	steps, err := r.backend().Plan(context.Background(), r.input(want))
	if err != nil {
		r.t.Fatal(err)
	}
	return plan.New(want.Site, "gw", steps)
}

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
func (r *rig) apply(want *desired.State) string {
	r.t.Helper()
	if err := r.backend().Check(context.Background(), r.input(want)); err != nil {
		r.t.Fatal(err)
	}
	p := r.plan(want)
	if err := r.do(p); err != nil {
		r.t.Fatalf("applying: %v\n%s", err, p.Text(plan.Palette{}))
	}
	r.applied = want
	if p := r.plan(want); len(p.Steps) > 0 {
		r.t.Fatalf("after apply there is still to do:\n%s%+v\n%s", p.Text(plan.Palette{}), p.Steps, r.host())
	}
	return p.Text(plan.Palette{})
}

func (r *rig) encode(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, v := range r.secrets {
		if text := string(v.Reveal()); len(text) > 3 && len(text) < 100 && strings.Contains(string(raw), text) {
			r.t.Fatalf("a secret is in the journal: %s", raw)
		}
	}
	return raw
}

func (r *rig) run(kind string, from, to json.RawMessage) error {
	h := r.backend().Handlers()[kind]
	switch kind {
	case backend.MemoryOp:
		h = backend.Handle(r.remember)
	case file.Op:
		h = file.Handler(r.files)
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

// host is the whole of the host, but for the modules, which stay.
func (r *rig) host() string { return r.files.String() + r.network.String() + r.sessions.String() }

// quiet is the host without its sessions, and what is remembered.
func (r *rig) quiet() string {
	return r.files.String() + r.network.String() + "memory " + string(r.encode(r.memory)) + "\n"
}

func (r *rig) state() string { return r.host() + "memory " + string(r.encode(r.memory)) + "\n" }

var errFault = errors.New("injected fault")

// failAt lets the k-th write fail, and all after it where the process is killed.
func (r *rig) failAt(k int, killed bool) (hit func() bool) {
	n := 0
	fault := func(string) error {
		if n++; n == k || killed && n > k {
			return errFault
		}
		return nil
	}
	r.files.Fault, r.sessions.Fault, r.network.Fault, r.modules.Fault = fault, fault, fault, fault
	return func() bool { return n >= k }
}

func (r *rig) heal() {
	r.files.Fault, r.sessions.Fault, r.network.Fault, r.modules.Fault = nil, nil, nil, nil
}
