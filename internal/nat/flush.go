package nat

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vpnctl/vpnctl/internal/backend"
)

// flushOp is the operation that ends translations; there is no way back.
const flushOp = "nat.flush"

// Flush names the flows that shall no longer be translated. It is in the journal.
type Flush struct {
	Flows []Flow `json:"flows"`
}

// Flow is traffic between two prefixes; a Dest that is not valid is anywhere.
type Flow struct {
	Source netip.Prefix `json:"source"`
	Dest   netip.Prefix `json:"dest"`
}

// Contains reports whether a connection belongs to the flow.
func (f Flow) Contains(source, dest netip.Addr) bool {
	return f.Source.Contains(source) && (!f.Dest.IsValid() || f.Dest.Contains(dest))
}

func (f Flow) String() string {
	if !f.Dest.IsValid() {
		return f.Source.String()
	}
	return f.Source.String() + " to " + f.Dest.String()
}

func compareFlows(a, b Flow) int {
	return cmp.Or(a.Source.Compare(b.Source), a.Dest.Compare(b.Dest))
}

// Conntrack is the kernel's list of connections.
type Conntrack interface {
	// Count is how many running connections of each of the flows are translated.
	Count(ctx context.Context, flows []Flow) ([]int, error)
	// End ends their translation: the next packet is one of a new connection.
	End(ctx context.Context, flows []Flow) error
}

// flush does flushOp. Undone, it does nothing: what was forgotten cannot be recalled.
func (b *Backend) flush(ctx context.Context, from, _ *Flush) error {
	if from == nil {
		return nil
	}
	return b.conntrack.End(ctx, from.Flows)
}

// translation is one rule that rewrites sources.
type translation struct {
	object string
	source netip.Prefix
	how    string // the rest of the rule
}

// translations are the rules of a table that rewrite sources.
func translations(t *Table) []translation {
	var out []translation
	for _, c := range t.Chains {
		for _, spec := range c.Rules {
			r, err := parseRule(spec)
			if err != nil || r[optJump] != "MASQUERADE" && r[optJump] != "SNAT" {
				continue
			}
			one := translation{object: r.comment(), source: everything(t.Family)}
			if p, err := netip.ParsePrefix(r[optSource]); err == nil {
				one.source = p
			}
			delete(r, optSource)
			delete(r, optComment)
			one.how = r.String()
			out = append(out, one)
		}
	}
	return out
}

func everything(f Family) netip.Prefix {
	if f == IPv6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

func familyOf(p netip.Prefix) Family {
	if p.Addr().Is6() {
		return IPv6
	}
	return IPv4
}

// ended are the translations that go: no wanted rule translates their sources likewise,
// not even in the other kind of iptables. The kernel would go on with them for as long
// as the connections last.
func (d *differ) ended() []translation {
	type key struct {
		source netip.Prefix
		how    string
	}
	var have, want []translation
	same := make(map[key]bool)
	for _, p := range d.pairs {
		have = append(have, translations(p.have)...)
		want = append(want, translations(p.want)...)
	}
	for _, w := range want {
		same[key{w.source, w.how}] = true
	}
	return slices.DeleteFunc(have, func(h translation) bool {
		return same[key{h.source, h.how}] || slices.ContainsFunc(want, func(w translation) bool {
			return w.how == h.how && w.source.Bits() < h.source.Bits() && w.source.Contains(h.source.Addr())
		})
	})
}

// ending is a flow whose translation ends, and the object for which it does.
type ending struct {
	object string
	flow   Flow
}

// endings are the flows that lose their translation: those of rules that go, and those
// that are exempt from now on. The kernel would go on translating what runs already, so
// that no policy of IPsec would see it, and it would leave in clear.
func (d *differ) endings() []ending {
	var out []ending
	for _, t := range d.ended() {
		out = append(out, ending{t.object, Flow{Source: t.source}})
	}
	for _, p := range d.pairs {
		have := exemptions(p.have)
		for _, e := range exemptions(p.want) {
			if !slices.Contains(have, e) {
				out = append(out, e)
			}
		}
	}
	return out
}

// exemptions are the rules of a table by which the sources between two prefixes stay as
// they are.
func exemptions(t *Table) []ending {
	if t.Name != "nat" {
		return nil
	}
	var out []ending
	for _, c := range t.Chains {
		for _, spec := range c.Rules {
			r, err := parseRule(spec)
			if err != nil || r[optJump] != "ACCEPT" {
				continue
			}
			source, errS := netip.ParsePrefix(r[optSource])
			dest, errD := netip.ParsePrefix(r[optDest])
			if errS == nil && errD == nil {
				out = append(out, ending{r.comment(), Flow{source, dest}})
			}
		}
	}
	return out
}

// planFlush plans the end of what is no longer translated. Only connections that run now
// make it worth a word.
func (b *Backend) planFlush(ctx context.Context, d *differ) ([]backend.Step, error) {
	endings := d.endings()
	if len(endings) == 0 {
		return nil, nil
	}
	flows := make([]Flow, len(endings))
	for i, e := range endings {
		flows[i] = e.flow
	}
	counts, err := b.conntrack.Count(ctx, flows)
	if err != nil {
		return nil, err
	}
	actions := d.actions()
	var changes []backend.Change
	for i, e := range endings {
		if counts[i] > 0 {
			changes = append(changes, backend.Change{Action: actions[e.object], Object: e.object,
				Impact: backend.Impact{Level: backend.Disrupt, What: cost(counts[i], e.flow)}})
		}
	}
	slices.SortFunc(flows, compareFlows)
	return []backend.Step{{Phase: backend.PhaseSession, Changes: changes,
		Op: backend.Op{Kind: flushOp, From: &Flush{Flows: slices.Compact(flows)}}}}, nil
}

func cost(n int, f Flow) string {
	if n == 1 {
		return fmt.Sprintf("ends 1 translated connection of %s", f)
	}
	return fmt.Sprintf("ends %d translated connections of %s", n, f)
}
