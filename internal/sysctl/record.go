package sysctl

import (
	"reflect"

	"github.com/vpnctl/vpnctl/internal/backend"
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
	// Was is what it was set to until now, likewise.
	Was string `json:"was,omitempty"`
}

// ours reports whether a value is one that vpnctl has set.
func (r *record) ours(value string) bool { return value == r.Set || r.Was != "" && value == r.Was }

const recordPrefix = string(backend.Sysctl) + "/"

func recordKey(key string) string { return recordPrefix + key }

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
