package engine

import (
	"context"
	"fmt"
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/plan"
)

// verify plans again: a host that took everything needs nothing more.
func (t *transaction) verify(ctx context.Context) error {
	in := backend.Input{
		Want: t.req.Want, Applied: t.req.Want, Memory: t.memory, Secrets: t.Vault, Options: t.req.Options,
	}
	steps, err := t.plan(ctx, in)
	if err != nil {
		return fmt.Errorf("looking at the result: %w", err)
	}
	rest := plan.New(t.req.Want.Site, t.req.Want.Node, steps)
	if rest.Empty() {
		return nil
	}
	return fmt.Errorf("looking at the result: %s", untaken(rest.Changes()))
}

// untaken names what did not take effect, the first few by object and field.
func untaken(changes []backend.Change) string {
	var b strings.Builder
	b.WriteString("this did not take effect: ")
	for i, c := range changes[:min(len(changes), 3)] {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(c.Object)
		for _, f := range c.Fields {
			fmt.Fprintf(&b, " %s (is %s, should be %s)", f.Name, f.Have, f.Want)
		}
	}
	if more := len(changes) - 3; more > 0 {
		fmt.Fprintf(&b, " and %d more", more)
	}
	return b.String()
}
