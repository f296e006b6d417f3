package nat

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vpnctl/vpnctl/internal/backend"
)

// flushOp is the operation that ends translations; there is no way back.
const flushOp = "nat.flush"

// Flush names the sources whose running connections shall no longer be translated. It is
// in the journal.
type Flush struct {
	Sources []netip.Prefix `json:"sources"`
}

// Conntrack is the kernel's list of connections.
type Conntrack interface {
	// Count is how many running connections of each of the sources are translated.
	Count(ctx context.Context, sources []netip.Prefix) ([]int, error)
	// End ends their translation: the next packet is one of a new connection.
	End(ctx context.Context, sources []netip.Prefix) error
}

// flush does flushOp. Undone, it does nothing: what was forgotten cannot be recalled.
func (b *Backend) flush(ctx context.Context, from, _ *Flush) error {
	if from == nil {
		return nil
	}
	return b.conntrack.End(ctx, from.Sources)
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

// planFlush plans the end of what is no longer translated. Only connections that run now
// make it worth a word.
func (b *Backend) planFlush(ctx context.Context, d *differ) ([]backend.Step, error) {
	ended := d.ended()
	if len(ended) == 0 {
		return nil, nil
	}
	sources := make([]netip.Prefix, len(ended))
	for i, t := range ended {
		sources[i] = t.source
	}
	counts, err := b.conntrack.Count(ctx, sources)
	if err != nil {
		return nil, err
	}
	actions := d.actions()
	var changes []backend.Change
	for i, t := range ended {
		if counts[i] > 0 {
			changes = append(changes, backend.Change{Action: actions[t.object], Object: t.object,
				Impact: backend.Impact{Level: backend.Disrupt, What: ending(counts[i], t.source)}})
		}
	}
	slices.SortFunc(sources, netip.Prefix.Compare)
	return []backend.Step{{Phase: backend.PhaseSession, Changes: changes,
		Op: backend.Op{Kind: flushOp, From: &Flush{Sources: slices.Compact(sources)}}}}, nil
}

func ending(n int, source netip.Prefix) string {
	if n == 1 {
		return fmt.Sprintf("ends 1 translated connection of %s", source)
	}
	return fmt.Sprintf("ends %d translated connections of %s", n, source)
}
