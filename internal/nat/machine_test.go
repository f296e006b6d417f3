package nat_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/nat"
	"github.com/vpnctl/vpnctl/internal/nat/nattest"
	"github.com/vpnctl/vpnctl/internal/plan"
)

// converger does plans as the engine does: in the order of the phases, each operation
// through its journal form, and back in reverse after an error.
type converger struct {
	config  nat.Config
	memory  backend.Memory
	applied *desired.State
	// journal are the steps of the last apply that were begun.
	journal []backend.Step
}

// machine is one with a fake host.
type machine struct {
	*nattest.Host
	*converger
}

func newMachine(kinds ...nat.Kind) *machine {
	h := nattest.New(kinds...)
	return &machine{h, &converger{config: h.Config(), memory: make(backend.Memory)}}
}

// state is a node's state with the given netfilter.
func state(n desired.Netfilter) *desired.State {
	return &desired.State{Site: "hq", Node: "linux2", Netfilter: n}
}

// nothing is what destroy wants.
func nothing() *desired.State { return &desired.State{Site: "hq"} }

func (m *converger) input(want *desired.State) backend.Input {
	return backend.Input{Want: want, Applied: m.applied, Memory: m.memory}
}

// plan plans as a fresh process does.
func (m *converger) plan(want *desired.State) (*plan.Plan, error) {
	b := nat.New(m.config)
	if err := b.Check(context.Background(), m.input(want)); err != nil {
		return nil, err
	}
	steps, err := b.Plan(context.Background(), m.input(want))
	return plan.New("hq", "linux2", steps), err
}

// errKilled as a write's error ends an apply there and then.
var errKilled = errors.New("killed")

// apply converges, or fails and puts the host back.
func (m *converger) apply(want *desired.State) error {
	p, err := m.plan(want)
	if err != nil {
		return err
	}
	m.journal = nil
	for _, s := range p.Steps {
		m.journal = append(m.journal, s)
		if err := m.do(s.Op.Kind, s.Op.From, s.Op.To); errors.Is(err, errKilled) {
			return err
		} else if err != nil {
			return errors.Join(err, m.undo())
		}
	}
	m.applied = want
	again, err := m.plan(want)
	if err == nil && len(again.Steps) > 0 {
		err = fmt.Errorf("after the apply, this is left:\n%s%+v", again.Text(plan.Palette{}), again.Steps)
	}
	return err
}

// undo does the journal backwards, as it may be after a crash.
func (m *converger) undo() error {
	for _, s := range slices.Backward(m.journal) {
		if err := m.do(s.Op.Kind, s.Op.To, s.Op.From); err != nil {
			return fmt.Errorf("undoing: %w", err)
		}
	}
	return nil
}

// do does one operation in a process of its own.
func (m *converger) do(kind string, from, to any) error {
	handlers := nat.New(m.config).Handlers()
	handlers[backend.MemoryOp] = backend.Handle(func(_ context.Context, from, to *backend.MemoryEntry) error {
		if to != nil {
			m.memory[to.Key] = to.Value
			return nil
		}
		delete(m.memory, from.Key)
		return nil
	})
	h := handlers[kind]
	var sides [2]any
	for i, v := range []any{from, to} {
		raw, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if sides[i], err = h.Decode(raw); err != nil {
			return err
		}
	}
	return h.Apply(context.Background(), sides[0], sides[1])
}

// mustApply applies and shows the plan that it did.
func (m *machine) mustApply(t *testing.T, want *desired.State) string {
	t.Helper()
	p, err := m.plan(want)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.apply(want); err != nil {
		t.Fatal(err)
	}
	return p.Text(plan.Palette{})
}

// text is a host and all that is remembered of it.
func (m *machine) text() string { return fmt.Sprintf("%s%s\n", m, m.memory["nat/kind"]) }

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// masquerade is a nat rule of the topology.
func masquerade(source, out string) desired.Masquerade {
	return desired.Masquerade{Object: "nat/linux2/rule/" + source + "->" + out, Source: prefix(source), Out: out}
}

// snat is one with a fixed address.
func snat(source, out, to string) desired.Masquerade {
	m := masquerade(source, out)
	m.SNAT = netip.MustParseAddr(to)
	return m
}

func nats(m ...desired.Masquerade) *desired.State {
	return state(desired.Netfilter{Masquerades: m})
}

// owner writes rules of the host's owner into every table of a kind, in both families,
// with ours to come before, between and behind.
func owner(h *nattest.Host, k nat.Kind) {
	for f, net := range map[nat.Family]string{nat.IPv4: "172.17.0.0/16", nat.IPv6: "fd17::/64"} {
		h.Do(f, k, "nat", ":DOCKER - [0:0]", "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
			"-A POSTROUTING -s "+net+" ! -o docker0 -j MASQUERADE")
		h.Do(f, k, "filter", ":FORWARD DROP [0:0]", `-A INPUT -i lo -m comment --comment "the owner's, first" -j ACCEPT`,
			"-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT")
		h.Do(f, k, "mangle", "-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1400")
		h.Do(f, k, "raw", "-A PREROUTING -i dmz0 -j DROP")
	}
}
