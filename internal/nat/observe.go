package nat

import (
	"context"
	"errors"
	"slices"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/host"
)

// observed is what a host holds in one family.
type observed struct {
	tool  *tool // the kind of iptables in which our rules belong here
	saved saved
	// other is the other kind, where it holds rules of ours that have to move; nil
	// where it holds none.
	other      *tool
	otherSaved saved
	byDefault  bool // tool is the host's default
}

// observe reads a family's rules, and decides for one kind of iptables where the host has
// both: that which holds the host's own rules, else the default. Known are the kinds that
// hold rules of ours from earlier.
//
// The other kind is read only where the answer may depend on it.
func (b *Backend) observe(ctx context.Context, f Family, known []Kind) (*observed, error) {
	ts, err := b.tools(ctx, f)
	if err != nil {
		return nil, err
	}
	first, err := b.read(ctx, ts[0])
	if err != nil {
		return nil, err
	}
	o := &observed{tool: ts[0], saved: first, byDefault: true}
	if len(ts) == 1 || first.foreign() && !slices.Contains(known, ts[1].kind) {
		return o, nil
	}
	second, err := b.read(ctx, ts[1])
	if err != nil {
		return nil, err
	}
	o.other, o.otherSaved = ts[1], second
	if second.foreign() && !first.foreign() {
		o = &observed{tool: ts[1], saved: second, other: ts[0], otherSaved: first}
	}
	if !o.otherSaved.owns() {
		o.other, o.otherSaved = nil, nil
	}
	return o, nil
}

// read lists all rules of one kind. A program that cannot is a Refusal: the kernel may
// lack what it needs.
func (b *Backend) read(ctx context.Context, t *tool) (saved, error) {
	if t.kind == Legacy && len(b.kernel.Tables(t.family)) == 0 {
		return saved{}, nil
	}
	s, err := t.save(ctx, "")
	var exit *host.ExitError
	if errors.As(err, &exit) {
		return nil, backend.Refuse("nat/"+t.name, "see what "+t.name+"-save says",
			"the rules cannot be read: %s", exit.Stderr)
	}
	return s, err
}

// owned is what is ours in one table.
func (t *tool) owned(name string, st *savedTable) *Table {
	chains, jumps := st.ours()
	return &Table{Family: t.family, Kind: t.kind, Name: name, Chains: chains, Jumps: jumps}
}
