package nat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/host"
)

// Backend keeps the packet filter rules of one host.
type Backend struct {
	runner    host.Runner
	programs  Programs
	kernel    Kernel
	conntrack Conntrack
	link      func(want *desired.State) string
	pace      time.Duration
	found     map[Family]tools
}

var (
	_ backend.Backend  = (*Backend)(nil)
	_ backend.Operator = (*Backend)(nil)
	_ backend.Watcher  = (*Backend)(nil)
)

// Config is what a Backend works with. Fields that are nil get the real host's.
type Config struct {
	Runner    host.Runner
	Programs  Programs
	Kernel    Kernel
	Conntrack Conntrack
	// Link is the link by which IPsec leaves where charon encrypts itself, "" where the
	// kernel does; nil is nowhere.
	Link func(want *desired.State) string
	// Pace is how long Watch waits between two looks; zero is ten seconds.
	Pace time.Duration
}

// New returns a Backend for the real host, apart from what c replaces.
func New(c Config) *Backend {
	b := &Backend{runner: c.Runner, programs: c.Programs, kernel: c.Kernel, conntrack: c.Conntrack, link: c.Link,
		pace: cmp.Or(c.Pace, 10*time.Second), found: make(map[Family]tools)}
	if b.link == nil {
		b.link = func(*desired.State) string { return "" }
	}
	if b.runner == nil {
		b.runner = host.System{}
	}
	if b.programs == nil {
		b.programs = installed{}
	}
	if b.kernel == nil {
		b.kernel = live{}
	}
	if b.conntrack == nil {
		b.conntrack = tracked{}
	}
	return b
}

// Kind implements backend.Backend.
func (b *Backend) Kind() backend.Kind { return backend.NAT }

// Status implements backend.Backend: NAT has no tunnels.
func (b *Backend) Status(context.Context, backend.Input) ([]backend.Tunnel, error) { return nil, nil }

// Handlers implements backend.Operator.
func (b *Backend) Handlers() map[string]backend.Handler {
	return map[string]backend.Handler{
		tableOp: backend.Handle(b.change),
		flushOp: backend.Handle(b.flush),
	}
}

// families are the address families in the order of the plan.
var families = []Family{IPv4, IPv6}

// kindsKey is the memory of the kinds of iptables that hold rules of ours. A topology
// without rules looks there and nowhere else, so that it needs no iptables.
const kindsKey = "nat/kind"

// kinds are kinds of iptables by family, sorted.
type kinds map[Family][]Kind

func known(m backend.Memory) kinds {
	k := make(kinds)
	m.Get(kindsKey, &k)
	return k
}

func (k kinds) equal(o kinds) bool { return maps.EqualFunc(k, o, slices.Equal) }

// union are the kinds of both.
func (k kinds) union(o kinds) kinds {
	out := make(kinds)
	maps.Copy(out, k)
	for f, add := range o {
		all := slices.Sorted(slices.Values(slices.Concat(k[f], add)))
		out[f] = slices.Compact(all)
	}
	return out
}

// value is what memory holds: no entry where there is nothing to remember.
func (k kinds) value() any {
	if len(k) == 0 {
		return nil
	}
	return k
}

// remember plans what memory learns before the first rule is set, and forgets after the
// last one is gone.
func remember(from, to kinds) []backend.Step {
	var steps []backend.Step
	both := from.union(to)
	if !both.equal(from) {
		steps = append(steps, backend.Remember(backend.PhaseMemory, kindsKey, from.value(), both.value()))
	}
	if !to.equal(both) {
		steps = append(steps, backend.Remember(backend.PhaseForget, kindsKey, both.value(), to.value()))
	}
	return steps
}

// nodeOf is the node that the objects are named after; the empty state has none.
func nodeOf(in backend.Input) string {
	if in.Want.Node == "" && in.Applied != nil {
		return in.Applied.Node
	}
	return in.Want.Node
}

// egress is what `out: auto` means here, by family.
func (b *Backend) egress(in backend.Input) (map[Family]string, error) {
	if len(autos(&in.Want.Netfilter)) == 0 {
		return nil, nil
	}
	return b.kernel.DefaultRoutes(tunnels(in))
}

// wanted are the wanted tables of one family.
func (b *Backend) wanted(in backend.Input, f Family, out map[Family]string) rendered {
	if f == IPv6 && !b.kernel.HasIPv6() {
		return nil
	}
	return render(in.Want.Netfilter.Through(b.link(in.Want)), nodeOf(in), f, func(f Family) string { return out[f] })
}

// concerns reports whether a family's rules have to be looked at: some are wanted, or
// there were some.
func (b *Backend) concerns(f Family, want rendered, memory kinds) bool {
	return len(want)+len(memory[f]) > 0 && (f == IPv4 || b.kernel.HasIPv6())
}

// tunnels are the interfaces of ours, now and before: a default route through one of them
// is never what `out: auto` means.
func tunnels(in backend.Input) []string {
	var names []string
	for _, s := range []*desired.State{in.Want, in.Applied} {
		if s == nil {
			continue
		}
		for _, i := range s.Interfaces {
			names = append(names, i.Name)
		}
		for _, l := range s.IPsec.Links {
			names = append(names, l.Name)
		}
	}
	return names
}

// autos are the masquerades with `out: auto`.
func autos(n *desired.Netfilter) []desired.Masquerade {
	return slices.DeleteFunc(slices.Clone(n.Masquerades), func(m desired.Masquerade) bool {
		return m.Out != desired.OutAuto
	})
}

// Check implements backend.Backend.
func (b *Backend) Check(ctx context.Context, in backend.Input) error {
	memory := known(in.Memory)
	if in.Want.Netfilter.IsZero() && len(memory) == 0 {
		return nil
	}
	out, err := b.egress(in)
	if err != nil {
		return err
	}
	errs := checkAutos(&in.Want.Netfilter, out)
	if !b.kernel.Capable() {
		errs = append(errs, backend.Refuse("nat/"+nodeOf(in), "run it as root",
			"changing the packet filter needs CAP_NET_ADMIN"))
	}
	for _, f := range families {
		if b.concerns(f, b.wanted(in, f, out), memory) {
			_, err := b.tools(ctx, f)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// checkAutos refuses `out: auto` where it means nothing at all. One family without a
// default route is common, and no fault.
func checkAutos(n *desired.Netfilter, out map[Family]string) []error {
	var errs []error
	for _, m := range autos(n) {
		if out[familyOf(m.Source)] != "" {
			return nil
		}
		errs = append(errs, backend.Refuse(m.Object, "name the interface: `out: eth0`",
			"there is no default route"))
	}
	return errs
}

// Plan implements backend.Backend.
func (b *Backend) Plan(ctx context.Context, in backend.Input) ([]backend.Step, error) {
	d, after, err := b.compare(ctx, in)
	if err != nil {
		return nil, err
	}
	steps, err := b.steps(ctx, d)
	return append(steps, remember(known(in.Memory), after)...), err
}

// compare reads what has to be looked at, and tells which kinds of iptables shall hold
// rules of ours.
func (b *Backend) compare(ctx context.Context, in backend.Input) (*differ, kinds, error) {
	out, err := b.egress(in)
	if err != nil {
		return nil, nil, err
	}
	memory, after := known(in.Memory), make(kinds)
	d := &differ{node: nodeOf(in)}
	for _, f := range families {
		want := b.wanted(in, f, out)
		if !b.concerns(f, want, memory) {
			continue
		}
		o, err := b.observe(ctx, f, memory[f])
		if err != nil {
			return nil, nil, err
		}
		if err := d.add(o, want); err != nil {
			return nil, nil, err
		}
		if len(want) > 0 {
			after[f] = []Kind{o.tool.kind}
		}
	}
	return d, after, nil
}

// steps are those that change the host.
func (b *Backend) steps(ctx context.Context, d *differ) ([]backend.Step, error) {
	steps := d.steps()
	if len(steps) == 0 {
		return nil, nil
	}
	if err := b.capable(ctx, steps); err != nil {
		return nil, err
	}
	flush, err := b.planFlush(ctx, d)
	return append(steps, flush...), err
}

// capable looks at the versions of the programs that the steps need. It runs them, so a
// plan without steps spares that.
func (b *Backend) capable(ctx context.Context, steps []backend.Step) error {
	var errs []error
	seen := make(map[*tool]bool)
	for _, s := range steps {
		t, err := b.toolFor(ctx, s.Op.To.(*Table))
		if err != nil {
			return err
		}
		if !seen[t] {
			seen[t] = true
			errs = append(errs, t.capable())
		}
	}
	return errors.Join(errs...)
}

// toolFor is the program that keeps a table.
func (b *Backend) toolFor(ctx context.Context, table *Table) (*tool, error) {
	ts, err := b.tools(ctx, table.Family)
	if err != nil {
		return nil, err
	}
	t := ts.of(table.Kind)
	if t == nil {
		return nil, fmt.Errorf("finding %s: no such program", program(table.Family, table.Kind))
	}
	return t, nil
}

// tableOp is the operation that leads a Table from one content to another.
const tableOp = "nat.table"

// change does tableOp: it reads the table and restores what differs, in one go.
func (b *Backend) change(ctx context.Context, from, to *Table) error {
	switch {
	case from == nil && to == nil:
		return nil
	case from == nil:
		from = to.with(nil, nil)
	case to == nil:
		to = from.with(nil, nil)
	}
	t, err := b.toolFor(ctx, to)
	if err != nil {
		return err
	}
	s, err := t.save(ctx, to.Name)
	if err != nil {
		return err
	}
	script := restoreScript(s.table(to.Name), from, to)
	if script == "" {
		return nil
	}
	return t.restore(ctx, script)
}
