package sysctl

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/host"
)

// record is what the memory keeps of a key, under recordKey.
type record struct {
	Before string `json:"before"` // the value before the first change
	Set    string `json:"set"`    // what it was set to; another value is somebody else's
	// Beside is what stood beside it before the first change.
	Beside map[string]string `json:"beside,omitempty"`
	// Pending is what shall stand beside it, from before a write until it is complete:
	// an apply that is cut off in between leaves to the next one what the kernel reset.
	Pending map[string]string `json:"pending,omitempty"`
}

const recordPrefix = string(backend.Sysctl) + "/"

func recordKey(key string) string { return recordPrefix + key }

// differ collects what lies between the wanted settings and the host's.
type differ struct {
	settings host.Settings
	in       backend.Input
	want     map[string]string // with what only the host knows to be needed
	steps    []backend.Step
	refusals []error
}

// diff compares all that is wanted or remembered with the host. It reads only.
func (b *Backend) diff(in backend.Input) (*differ, error) {
	d := &differ{settings: b.Settings, in: in, want: map[string]string{}}
	for key, value := range in.Want.Sysctl {
		d.want[cmp.Or(aliases[key], key)] = normal(value)
	}
	if err := d.addAcceptRA(b.Routes); err != nil {
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
	have, ok, err := get(d.settings, key)
	if err != nil {
		return err
	}
	switch {
	case d.ofOurLink(key):
		d.setOnLink(key, have, ok)
		return nil
	case !ok:
		d.refuseUnknown(key)
		return nil
	}
	now, err := beside(d.settings, key)
	if err != nil {
		return err
	}
	known := d.recall(key)
	next := d.newRecord(key, have, now)
	if known != nil {
		next = *known
	}
	next.Set = d.want[key]
	if have == next.Set && next.Pending == nil {
		if known == nil || known.Set != next.Set {
			d.remember(backend.PhaseMemory, key, known, &next)
		}
		return nil
	}
	from := &setting{key, have, now}
	to := &setting{key, next.Set, d.besideSet(key, now, next.Pending)}
	d.refuseLocked(from, to)
	next.Pending = to.Beside
	d.remember(backend.PhaseMemory, key, known, &next)
	d.step(backend.PhaseSysctl, from, to)
	if next.Pending != nil {
		settled := next
		settled.Pending = nil
		d.remember(backend.PhaseSysctl, key, &next, &settled)
	}
	return nil
}

// newRecord is what the memory shall keep of a key that it does not know yet: the values of
// before all of vpnctl's changes, also where an earlier one has moved them.
func (d *differ) newRecord(key, have string, now map[string]string) record {
	r := record{Before: d.original(key, have)}
	for k, v := range now {
		if r.Beside == nil {
			r.Beside = map[string]string{}
		}
		if known := d.recall(k); known != nil {
			v = known.Before
		}
		r.Beside[k] = v
	}
	return r
}

// original is the owner's value of a key that is now have: another, where a write of
// forwarding has changed it along.
func (d *differ) original(key, have string) string {
	for _, cause := range []string{forward4, forward6} {
		known, e := d.recall(cause), effects[cause]
		if known == nil {
			continue
		}
		if v, ok := known.Pending[key]; ok && e.keeps(key) {
			return v
		}
		if v, ok := known.Beside[key]; ok && !e.keeps(key) && (have == known.Set || known.Pending != nil) {
			return v
		}
	}
	return have
}

// besideSet is what shall stand beside a key once it is set: what the owner had in those
// that nobody meant to change, and what is wanted in the others.
func (d *differ) besideSet(key string, now, pending map[string]string) map[string]string {
	e, ok := effects[key]
	if !ok {
		return nil
	}
	out := map[string]string{}
	for k, v := range now {
		if p, ok := pending[k]; ok {
			v = p
		}
		if w, ok := d.want[k]; e.keeps(k) {
			out[k] = v
		} else if ok {
			out[k] = w
		}
	}
	if len(out) == 0 {
		return nil // so that nothing is pending
	}
	return out
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
	have, ok, err := get(d.settings, key)
	if err != nil {
		return err
	}
	theirs := !ok || have != known.Set && have != known.Before
	if theirs || have == known.Before && known.Pending == nil {
		d.remember(backend.PhaseForget, key, known, nil)
		return nil
	}
	now, err := beside(d.settings, key)
	if err != nil {
		return err
	}
	from := &setting{key, have, now}
	to := &setting{key, known.Before, d.besideRestored(key, known, now)}
	d.refuseLocked(from, to)
	next := *known
	if next.Pending = to.Beside; next.Pending != nil {
		d.remember(backend.PhaseMemory, key, known, &next)
	}
	d.step(backend.PhaseRemoveSysctl, from, to)
	d.remember(backend.PhaseForget, key, &next, nil)
	return nil
}

// besideRestored is what shall stand beside a key once it is put back: what the owner has
// there now, and where the key's own value went along, what he had before. What is wanted
// stays.
func (d *differ) besideRestored(key string, known *record, now map[string]string) map[string]string {
	e, ok := effects[key]
	if !ok {
		return nil
	}
	out := map[string]string{}
	for k, v := range now {
		before, remembered := known.Beside[k]
		pending, cutOff := known.Pending[k]
		want, wanted := d.want[k]
		switch {
		case wanted:
			out[k] = want
		case cutOff:
			out[k] = pending
		case e.keeps(k), v != known.Set:
			out[k] = v
		case remembered:
			out[k] = before
		}
		// An interface that came later gets what the kernel gives it.
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// recall returns what the memory keeps of a key, nil for nothing.
func (d *differ) recall(key string) *record {
	var r record
	if !d.in.Memory.Get(recordKey(key), &r) {
		return nil
	}
	return &r
}

// remember plans a change of the memory, unless it is none.
func (d *differ) remember(phase backend.Phase, key string, from, to *record) {
	if reflect.DeepEqual(from, to) {
		return
	}
	var f, t any // a nil *record in an any would not be nil
	if from != nil {
		f = from
	}
	if to != nil {
		t = to
	}
	d.steps = append(d.steps, backend.Remember(phase, recordKey(key), f, t))
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
	if from == nil || from.Value != to.Value {
		s.Changes = []backend.Change{{
			Action: backend.Update, Object: object(to.Key), Fields: []backend.Field{field},
		}}
	}
	d.steps = append(d.steps, s)
}

// refuseUnknown says that the kernel has no such key.
func (d *differ) refuseUnknown(key string) {
	reason, cure := "the kernel has no such setting", "load the module or boot a kernel that has it"
	_, iface, _, ok := confOf(key)
	switch {
	case strings.HasPrefix(key, "net/ipv6/") && d.noIPv6():
		reason = "the kernel has IPv6 disabled"
		cure = "boot without ipv6.disable=1, or take the IPv6 prefixes out of the topology"
	case ok:
		reason, cure = fmt.Sprintf("there is no interface %s", iface), "create it first"
	}
	d.refusals = append(d.refusals, backend.Refuse(object(key), cure, "%s", reason))
}

func (d *differ) noIPv6() bool {
	_, ok, err := get(d.settings, forward6)
	return err == nil && !ok
}

// refuseLocked says that a key would have to be written and may not be.
func (d *differ) refuseLocked(from, to *setting) {
	if from.Value == to.Value {
		return
	}
	err := d.settings.Writable(to.Key)
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrPermission):
		d.refusals = append(d.refusals, backend.Refuse(object(to.Key),
			fmt.Sprintf("run with privileges, or set it on the host: sysctl -w %s=%q", dotted(to.Key), to.Value),
			"is %s, should be %s, and may not be written here", from.Value, to.Value))
	default:
		d.refusals = append(d.refusals, fmt.Errorf("looking at %s: %w", dotted(to.Key), err))
	}
}
