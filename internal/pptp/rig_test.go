package pptp_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/file"
	"github.com/vpnctl/vpnctl/internal/plan"
	"github.com/vpnctl/vpnctl/internal/ppp"
	"github.com/vpnctl/vpnctl/internal/pptp"
	"github.com/vpnctl/vpnctl/internal/pptp/pptptest"
	"github.com/vpnctl/vpnctl/internal/reason"
)

// rig is a host, and as much of an engine as applies and undoes.
type rig struct {
	t       testing.TB
	w       *pptptest.World
	reasons *reason.Store
	memory  backend.Memory
	options backend.Options
	lacks   []string // programs
	journal []entry
}

// entry is an operation as it outlives a process.
type entry struct {
	kind     string
	from, to json.RawMessage
}

func newRig(t testing.TB, systemd bool) *rig {
	r := &rig{t: t, w: pptptest.New(), memory: backend.Memory{}, reasons: reason.Open(filepath.Join(t.TempDir(), "reasons"))}
	r.w.Systemd = systemd
	r.w.Packaged = systemd
	return r
}

func (r *rig) backend() *pptp.Backend {
	return pptp.New(pptp.Config{
		Files: r.w.Files, Sessions: r.w.Sessions(), Processes: r.w, Units: r.w.Units, Reasons: r.reasons,
		Booted:    func() bool { return r.w.Systemd },
		Exe:       func() (string, error) { return "/usr/sbin/vpnctl", nil },
		Installed: func(program string) bool { return !slices.Contains(r.lacks, program) },
	})
}

func (r *rig) input(want *desired.State) backend.Input {
	return backend.Input{Want: want, Memory: r.memory, Options: r.options}
}

// plan plans, and the files of pppd with it, which are another backend's.
func (r *rig) plan(want *desired.State) *plan.Plan {
	r.t.Helper()
	steps, err := r.backend().Plan(context.Background(), r.input(want))
	if err != nil {
		r.t.Fatal(err)
	}
	var peers []desired.File
	for i := range want.PPP.Links {
		l := &want.PPP.Links[i]
		peers = append(peers, desired.File{Path: ppp.PeerPath(&l.PPPTunnel), Data: ppp.RenderPeer(l), Mode: 0o644})
	}
	more, err := file.Owner{Files: r.w.Files, Kind: "ppp"}.Plan(r.input(want), peers)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := range more {
		more[i].Changes = nil
	}
	return plan.New("hq", "vpn", append(more, steps...))
}

// do applies a plan and stops at the first error.
func (r *rig) do(p *plan.Plan) error {
	r.journal = nil
	for _, s := range p.Steps {
		e := entry{s.Op.Kind, r.encode(s.Op.From), r.encode(s.Op.To)}
		r.journal = append(r.journal, e)
		if err := r.op(e.kind, e.from, e.to); err != nil {
			return err
		}
	}
	return nil
}

func (r *rig) undo() error {
	for _, e := range slices.Backward(r.journal) {
		if err := r.op(e.kind, e.to, e.from); err != nil {
			return err
		}
	}
	return nil
}

func (r *rig) encode(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		r.t.Fatal(err)
	}
	return raw
}

func (r *rig) op(kind string, from, to json.RawMessage) error {
	handlers := r.backend().Handlers()
	handlers[file.Op] = file.Handler(r.w.Files)
	handlers[backend.MemoryOp] = r.remember()
	f, err := handlers[kind].Decode(from)
	if err != nil {
		return err
	}
	t, err := handlers[kind].Decode(to)
	if err != nil {
		return err
	}
	return handlers[kind].Apply(context.Background(), f, t)
}

// remember is the engine's handler for a memory.
func (r *rig) remember() backend.Handler {
	return backend.Handle(func(_ context.Context, from, to *backend.MemoryEntry) error {
		if to != nil {
			r.memory[to.Key] = to.Value
		} else {
			delete(r.memory, from.Key)
		}
		return nil
	})
}

// apply applies, and there must be nothing left to do.
func (r *rig) apply(want *desired.State) string {
	r.t.Helper()
	p := r.plan(want)
	if err := r.do(p); err != nil {
		r.t.Fatalf("%v\n%s", err, r.w)
	}
	if again := r.plan(want); len(again.Steps) > 0 {
		r.t.Fatalf("after apply there is still to do:\n%s%+v\n%s", again.Text(plan.Palette{}), again.Steps, r.w)
	}
	return sums(p.Text(plan.Palette{}))
}

var digest = regexp.MustCompile(`sha256 [0-9a-f]+`)

// sums hides what digests are.
func sums(text string) string { return digest.ReplaceAllString(text, "sha256 SUM") }

// fail makes the k-th write fail, and tells whether there was one.
func (r *rig) fail(k int) (failed func() bool) {
	n := 0
	hook := func(string) error {
		if n++; n == k {
			return errFault
		}
		return nil
	}
	r.w.Fault, r.w.Files.Fault = hook, hook
	return func() bool {
		r.w.Fault, r.w.Files.Fault = nil, nil
		return n >= k
	}
}

var errFault = errors.New("fault")

func addrs(text string) netip.Addr { return netip.MustParseAddr(text) }

func pool(from, to string) desired.AddrRange {
	return desired.AddrRange{From: addrs(from), To: addrs(to)}
}

// served is a state with a server and its pools.
func served(pools ...desired.AddrRange) *desired.State {
	return &desired.State{Site: "hq", PPP: desired.PPP{Servers: []desired.PPPServer{{
		PPPTunnel: desired.PPPTunnel{Protocol: desired.PPTP, Name: "legacy", Auth: []string{"mschapv2"}, MPPE: true},
		LocalIP:   addrs("192.168.0.1"), Pools: pools,
	}}}}
}

var (
	none  = &desired.State{Site: "hq"}
	small = served(pool("192.168.131.100", "192.168.131.103"))
	large = served(pool("192.168.131.100", "192.168.131.200"), pool("192.168.140.100", "192.168.140.200"))
)

// linked is a state with one link.
func linked(change func(l *desired.PPPLink)) *desired.State {
	l := desired.PPPLink{
		PPPTunnel: desired.PPPTunnel{Protocol: desired.PPTP, Name: "home", Auth: []string{"mschapv2"}, MPPE: true},
		Server:    "10.14.0.104", User: "user1", Routes: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/24")},
	}
	if change != nil {
		change(&l)
	}
	return &desired.State{Site: "hq", PPP: desired.PPP{Links: []desired.PPPLink{l}}}
}
