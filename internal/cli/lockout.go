package cli

import (
	"errors"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/lockout"
	"github.com/vpnctl/vpnctl/internal/management"
	"github.com/vpnctl/vpnctl/internal/plan"
)

// veto is what refuses a plan that would cut the operator off. Where nothing is done, or
// he says that he knows, it only warns.
func (f *applyFlags) veto(g *globals) (func(in backend.Input, p *plan.Plan) error, error) {
	var named []management.Connection
	if f.mgmt != "" {
		c, err := management.ParseAddr(f.mgmt)
		if err != nil {
			return nil, usagef("--mgmt: %w", err)
		}
		named = append(named, c)
	}
	said := false // it may be asked twice: for the plan that is shown, and for the one that is done
	say := func(format string, args ...any) {
		if !said {
			g.say(format, args...)
		}
	}
	return func(in backend.Input, p *plan.Plan) error {
		defer func() { said = true }()
		connections := named
		if c, ok := g.management(); ok {
			connections = append(connections, c)
		}
		if len(connections) == 0 && g.Terminal && !f.dryRun {
			say("found no SSH connection by which you are here: whether this cuts you off was not looked at; --mgmt ADDR says where you are")
		}
		err := g.lockedOut(connections, in, p)
		if err == nil || !f.dryRun && !f.allowLockout && f.confirm == 0 && len(f.probes) == 0 {
			return err
		}
		for _, e := range leaves(err) {
			var r *backend.Refusal
			if errors.As(e, &r) && !f.dryRun {
				e = backend.Refuse(r.Object, "", "%s", r.Reason) // the cure is what was said
			}
			say("warning: %s", e)
		}
		return nil
	}, nil
}

// management is the connection by which the operator is here, false where there is none.
func (g *globals) management() (management.Connection, bool) {
	if g.Management == nil {
		return management.Connection{}, false
	}
	return g.Management()
}

// lockedOut joins what a plan would cost the connections.
func (g *globals) lockedOut(connections []management.Connection, in backend.Input, p *plan.Plan) error {
	if g.Ways == nil || len(connections) == 0 {
		return nil
	}
	o, err := g.Ways(in.Secrets)
	if err != nil {
		return backend.Refuse("site/"+in.Want.Site, "say --allow-lockout to go on all the same",
			"cannot tell whether this cuts you off: %s", err)
	}
	q := &lockout.Question{Want: in.Want, Applied: in.Applied, Memory: in.Memory, Changes: p.Changes()}
	var errs []error
	for _, c := range connections {
		for _, r := range lockout.Analyse(c, o, q) {
			errs = append(errs, r)
		}
	}
	return errors.Join(errs...)
}
