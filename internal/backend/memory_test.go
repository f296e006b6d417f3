package backend_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/backend"
)

// do carries a step of Remember out as the engine does, by way of JSON.
func do(t *testing.T, m backend.Memory, s backend.Step, undo bool) {
	t.Helper()
	sides := [2]any{s.Op.From, s.Op.To}
	if undo {
		sides[0], sides[1] = sides[1], sides[0]
	}
	var entries [2]*backend.MemoryEntry
	for i, side := range sides {
		raw, err := json.Marshal(side)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, &entries[i]); err != nil {
			t.Fatal(err)
		}
	}
	switch from, to := entries[0], entries[1]; {
	case to != nil:
		m[to.Key] = to.Value
	case from != nil:
		delete(m, from.Key)
	}
}

func TestRemember(t *testing.T) {
	const key = "sysctl/net/ipv4/ip_forward"
	old, changed := thing{Name: "0"}, thing{Name: "1", Parts: []string{"x"}}
	tests := []struct {
		name     string
		from, to any
	}{
		{"new", nil, old},
		{"changed", old, &changed},
		{"forgotten", &changed, nil},
	}
	m := backend.Memory{}
	for _, tt := range tests {
		s := backend.Remember(backend.PhaseMemory, key, tt.from, tt.to)
		if s.Op.Kind != backend.MemoryOp || s.Phase != backend.PhaseMemory || len(s.Changes) > 0 {
			t.Errorf("%s: step %+v", tt.name, s)
		}
		before, _ := json.Marshal(m)
		do(t, m, s, false)
		var got thing
		if ok := m.Get(key, &got); ok != (tt.to != nil) {
			t.Errorf("%s: remembered %v", tt.name, ok)
		}
		do(t, m, s, true)
		if after, _ := json.Marshal(m); string(after) != string(before) {
			t.Errorf("%s: undone, %s has become %s", tt.name, before, after)
		}
		do(t, m, s, false)
	}
	if len(m) > 0 {
		t.Errorf("left: %s", m)
	}
}

func TestRememberPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a value that is no JSON is taken")
		}
	}()
	backend.Remember(backend.PhaseMemory, "key", nil, func() {})
}

func TestMemoryGet(t *testing.T) {
	m := backend.Memory{
		"thing": json.RawMessage(`{"name":"a","parts":["x"]}`),
		"other": json.RawMessage(`["not","a","thing"]`),
		"half":  json.RawMessage(`{"name":"a","parts":"not a list"}`),
	}
	preset := thing{Name: "preset"}
	tests := []struct {
		key  string
		ok   bool
		want thing
	}{
		{"thing", true, thing{"a", []string{"x"}}},
		{"other", false, preset},
		{"half", false, preset},
		{"absent", false, preset},
	}
	for _, tt := range tests {
		got := preset
		if ok := m.Get(tt.key, &got); ok != tt.ok {
			t.Errorf("Get(%s) reports %v", tt.key, ok)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("Get(%s) (-want +got):\n%s", tt.key, diff)
		}
	}
	if backend.Memory(nil).Get("thing", &preset) {
		t.Error("no memory has the thing")
	}
}
