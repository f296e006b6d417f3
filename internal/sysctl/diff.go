package sysctl

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/host"
)

// differ collects what lies between the wanted settings and the host's.
type differ struct {
	settings host.Settings
	in       backend.Input
	want     map[string]string // with what only the host knows to be needed
	now      map[string]bool   // of these, what is of no use at boot
	// expect is what the steps so far will leave in keys beside their own.
	expect   map[string]string
	steps    []backend.Step
	refusals []error
}

// diff compares all that is wanted or remembered with the host. It reads only.
func (b *Backend) diff(in backend.Input) (*differ, error) {
	d := &differ{settings: b.Settings, in: in, want: map[string]string{}, now: map[string]bool{}, expect: map[string]string{}}
	for key, value := range in.Want.Sysctl {
		d.want[cmp.Or(aliases[key], key)] = normal(value)
	}
	if err := d.addAcceptRA(b.Network); err != nil {
		return nil, err
	}
	if err := d.addSendRedirects(b.Network); err != nil {
		return nil, err
	}
	for _, key := range order(slices.Collect(maps.Keys(d.want)), setRank) {
		if err := d.set(key); err != nil {
			return nil, err
		}
	}
	var gone []string
	for name := range in.Memory {
		if key, ok := strings.CutPrefix(name, recordPrefix); ok && d.want[key] == "" {
			gone = append(gone, key)
		}
	}
	for _, key := range order(gone, restoreRank) {
		if err := d.restore(key); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// order sorts keys by rank, then by name.
func order(keys []string, rank func(string) int) []string {
	slices.SortFunc(keys, func(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a, b)) })
	return keys
}

// set plans a wanted key.
func (d *differ) set(key string) error {
	have, ok, err := d.have(key)
	if err != nil {
		return err
	}
	switch {
	case d.ofOurLink(key):
		d.setOnLink(key, have, ok)
		return nil
	case !ok && d.now[key]:
		return nil // it went this moment
	case !ok:
		d.refuseUnknown(key)
		return nil
	}
	known := d.recall(key)
	var now map[string]string
	if known == nil || known.Pending != nil || have != d.want[key] { // else nobody asks
		if now, err = beside(d.settings, key); err != nil {
			return err
		}
	}
	next := d.newRecord(key, have, now)
	if known != nil {
		next = *known
	}
	next.Set, next.Was = d.want[key], ""
	if have == next.Set && next.Pending == nil {
		d.remember(backend.PhaseMemory, key, known, &next)
		return nil
	}
	if known != nil && have != next.Set && known.ours(have) {
		next.Was = have
	}
	from := &setting{key, have, now}
	to := &setting{key, next.Set, d.besideSet(key, now, next.Pending)}
	d.refuseLocked(from, to)
	next.Pending = to.Beside
	d.remember(backend.PhaseMemory, key, known, &next)
	d.step(backend.PhaseSysctl, from, to)
	settled := next
	settled.Pending, settled.Was = nil, ""
	d.remember(backend.PhaseSysctl, key, &next, &settled)
	return nil
}

// setOnLink plans a key of an interface of ours. It may not be there yet, and takes its
// settings along when it goes: nothing to remember, nothing to refuse.
func (d *differ) setOnLink(key, have string, ok bool) {
	to := &setting{Key: key, Value: d.want[key]}
	switch {
	case !ok:
		d.step(backend.PhaseAddress, nil, to)
	case have != to.Value:
		d.step(backend.PhaseAddress, &setting{Key: key, Value: have}, to)
	}
}

// ofOurLink reports whether the key belongs to a wanted interface in this namespace.
func (d *differ) ofOurLink(key string) bool {
	_, iface, _, ok := confOf(key)
	return ok && slices.ContainsFunc(d.in.Want.Interfaces, func(i desired.Interface) bool {
		return i.Name == iface && i.Netns == ""
	})
}

// restore plans the end of a key that is not wanted any more. A value that is neither ours
// nor the one from before is somebody else's by now, and stays.
func (d *differ) restore(key string) error {
	known := d.recall(key)
	if known == nil {
		return nil // of another shape: none of ours
	}
	have, ok, err := d.have(key)
	if err != nil {
		return err
	}
	target := known.Before
	if v, ok := d.moved(key); ok {
		target = v
	}
	theirs := !ok || !known.ours(have) && have != target
	if theirs || have == target && known.Pending == nil {
		d.remember(backend.PhaseForget, key, known, nil)
		return nil
	}
	now, err := beside(d.settings, key)
	if err != nil {
		return err
	}
	from := &setting{key, have, now}
	to := &setting{key, target, d.besideRestored(key, known, now)}
	d.refuseLocked(from, to)
	next := *known
	if next.Pending = to.Beside; next.Pending != nil {
		d.remember(backend.PhaseMemory, key, known, &next)
	}
	d.step(backend.PhaseRemoveSysctl, from, to)
	d.remember(backend.PhaseForget, key, &next, nil)
	return nil
}

// step plans a change of a setting; nil is one of an interface that is not there yet. A
// step that only puts right what stands beside is silent.
func (d *differ) step(phase backend.Phase, from, to *setting) {
	s := backend.Step{Phase: phase, Op: backend.Op{Kind: opSet, To: to}}
	field := backend.Field{Name: "value", Want: backend.Text(to.Value)}
	if from != nil {
		s.Op.From = from
		field.Have = backend.Text(from.Value)
	}
	d.expectAfter(from, to)
	if from == nil || from.Value != to.Value {
		s.Changes = []backend.Change{{
			Action: backend.Update, Object: object(to.Key), Fields: []backend.Field{field},
		}}
	}
	d.steps = append(d.steps, s)
}
