package engine

import (
	"time"

	"github.com/vpnctl/vpnctl/internal/plan"
	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/state"
	"github.com/vpnctl/vpnctl/internal/vault"
)

// settle makes the result what was applied last, and forgets how it came to be.
func (t *transaction) settle() error {
	if t.armed != nil {
		return t.hold()
	}
	if t.req.Record == nil {
		return t.forget()
	}
	if err := t.State.SaveApplied(t.req.Record); err != nil {
		return err
	}
	result := plan.Applied
	if t.Plan.Empty() {
		result = plan.Unchanged
	}
	var err error
	if t.past, err = t.remind(result, nil); err != nil {
		return err
	}
	if err := t.prune(); err != nil {
		return err
	}
	return t.State.EndJournal()
}

// forget ends a destroy.
func (t *transaction) forget() error {
	if !t.req.KeepHistory {
		return t.State.Remove()
	}
	if err := t.State.Forget(); err != nil {
		return err
	}
	return t.prune()
}

// prune removes the secrets to which nothing stored refers any more. What this apply led
// from is still referred to: until the journal is gone, it may be undone.
func (t *transaction) prune() error {
	ids := map[secret.ID]bool{}
	past, err := t.State.History()
	if err != nil {
		return err
	}
	for i := range past {
		addIDs(ids, past[i].Secrets)
	}
	for _, r := range []*state.Applied{t.req.Record, t.applied} {
		if r != nil {
			addIDs(ids, r.Secrets)
		}
	}
	for _, raw := range t.memory {
		vault.Collect(raw, ids)
	}
	for _, e := range t.entries {
		vault.Collect(e.From, ids)
	}
	return t.Vault.Prune(ids)
}

func addIDs(ids map[secret.ID]bool, more map[string]secret.ID) {
	for _, id := range more {
		ids[id] = true
	}
}

// remind puts the apply into the history.
func (t *transaction) remind(result plan.Result, cause error) (int, error) {
	p := state.Past{At: t.now().UTC().Truncate(time.Second), Took: t.now().Sub(t.start), Command: t.req.Command,
		Target: t.req.Target, Result: string(result), By: t.req.By}
	if cause != nil {
		p.Error = cause.Error()
	}
	p.Of(t.req.Record)
	changes := t.Plan.Changes()
	sum := plan.Summarize(changes)
	p.Create, p.Update, p.Delete = sum.Create, sum.Update, sum.Delete
	for _, c := range changes {
		p.Lost += len(c.Impact.Sessions)
	}
	return t.State.AddHistory(p, state.Texts{Topology: t.req.Record.Topology, Plan: t.Plan.Text(plan.Palette{})})
}
