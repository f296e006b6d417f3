package l2tp_test

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/file"
	"github.com/vpnctl/vpnctl/internal/l2tp"
	"github.com/vpnctl/vpnctl/internal/l2tp/l2tptest"
	"github.com/vpnctl/vpnctl/internal/plan"
)

// rig is a host, and as much of an engine as applies and undoes.
type rig struct {
	t       testing.TB
	host    *l2tptest.Host
	memory  backend.Memory
	options backend.Options
	journal []entry
}

// entry is an operation as it outlives a process.
type entry struct {
	kind     string
	from, to json.RawMessage
}

func newRig(t testing.TB) *rig {
	return &rig{t: t, host: l2tptest.New(), memory: backend.Memory{}}
}

func (r *rig) backend() *l2tp.Backend { return l2tp.New(r.host.Config()) }

func (r *rig) input(want desired.PPP) backend.Input {
	return backend.Input{Want: &desired.State{Site: "hq", PPP: want}, Memory: r.memory, Options: r.options}
}

func (r *rig) plan(want desired.PPP) *plan.Plan {
	r.t.Helper()
	steps, err := r.backend().Plan(r.t.Context(), r.input(want))
	if err != nil {
		r.t.Fatal(err)
	}
	return plan.New("hq", "gw", steps)
}

func (r *rig) handlers() map[string]backend.Handler {
	h := r.backend().Handlers()
	h[file.Op] = file.Handler(r.host.Files)
	h[backend.MemoryOp] = backend.Handle(func(_ context.Context, from, to *backend.MemoryEntry) error {
		if to != nil {
			r.memory[to.Key] = to.Value
		} else if from != nil {
			delete(r.memory, from.Key)
		}
		return nil
	})
	return h
}

// do does one side of an operation as another process would, out of the journal.
func (r *rig) do(e entry, undo bool) error {
	h := r.handlers()[e.kind]
	from, err := h.Decode(e.from)
	if err != nil {
		r.t.Fatal(err)
	}
	to, err := h.Decode(e.to)
	if err != nil {
		r.t.Fatal(err)
	}
	if undo {
		from, to = to, from
	}
	return h.Apply(r.t.Context(), from, to)
}

// apply does a plan's steps until one fails.
func (r *rig) apply(p *plan.Plan) error {
	r.t.Helper()
	r.journal = nil
	for _, s := range p.Steps {
		e := entry{kind: s.Op.Kind, from: encode(r.t, s.Op.From), to: encode(r.t, s.Op.To)}
		r.journal = append(r.journal, e)
		if err := r.do(e, false); err != nil {
			return err
		}
	}
	return nil
}

// undo does the journal backwards.
func (r *rig) undo() {
	r.t.Helper()
	for i := len(r.journal) - 1; i >= 0; i-- {
		if err := r.do(r.journal[i], true); err != nil {
			r.t.Fatalf("undoing %s: %v", r.journal[i].kind, err)
		}
	}
}

func encode(t testing.TB, v any) json.RawMessage {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// converge applies, and fails the test where there is something left to do.
func (r *rig) converge(want desired.PPP) string {
	r.t.Helper()
	p := r.plan(want)
	if err := r.apply(p); err != nil {
		r.t.Fatal(err)
	}
	if rest := r.plan(want); len(rest.Steps) > 0 {
		r.t.Fatalf("planning again gives %d steps:\n%s", len(rest.Steps), rest.Text(plan.Palette{}))
	}
	return p.Text(plan.Palette{})
}

// shows compares a plan with what is expected.
func shows(t testing.TB, want, got string) {
	t.Helper()
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), got); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}

// everything as a string: host and memory.
func (r *rig) String() string {
	memory, err := json.MarshalIndent(r.memory, "", " ")
	if err != nil {
		r.t.Fatal(err)
	}
	return r.host.String() + string(memory) + "\n"
}

func tunnel(name string) desired.PPPTunnel {
	return desired.PPPTunnel{Protocol: desired.L2TP, Name: name, IPsec: true, Auth: []string{"mschapv2"}, MTU: 1400}
}

func addrs(from, to string) desired.AddrRange {
	return desired.AddrRange{From: netip.MustParseAddr(from), To: netip.MustParseAddr(to)}
}

// server is a server with a pool of 192.168.130.100 to 192.168.130.200, changed by others.
func server(name string, change ...func(*desired.PPPServer)) desired.PPPServer {
	s := desired.PPPServer{
		PPPTunnel: tunnel(name), LocalIP: netip.MustParseAddr("192.168.130.1"),
		Pools: []desired.AddrRange{addrs("192.168.130.100", "192.168.130.200")},
	}
	for _, c := range change {
		c(&s)
	}
	return s
}

func pools(all ...desired.AddrRange) func(*desired.PPPServer) {
	return func(s *desired.PPPServer) { s.Pools = all }
}

func link(name, server string) desired.PPPLink {
	return desired.PPPLink{PPPTunnel: tunnel(name), Server: server, User: "us"}
}

// ppp makes the state of servers and links.
func ppp(all ...any) desired.PPP {
	var p desired.PPP
	for _, v := range all {
		switch v := v.(type) {
		case desired.PPPServer:
			p.Servers = append(p.Servers, v)
		case desired.PPPLink:
			p.Links = append(p.Links, v)
		}
	}
	return p
}
