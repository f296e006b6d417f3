package backend

import (
	"encoding/json"
	"fmt"
)

// MemoryOp is the operation kind of Remember; the engine registers its handler, for
// the memory is the engine's file.
const MemoryOp = "memory"

// MemoryEntry is one key of Memory as an operation leads from or to it.
type MemoryEntry struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
}

// Remember is the step that changes the memory at key from one value to another; nil is
// no entry. It shows nothing: what it remembers is not the operator's matter. Values
// must be encodable as JSON; they are this program's own types, so one that is not is a
// defect and panics.
func Remember(phase Phase, key string, from, to any) Step {
	return Step{Phase: phase, Op: Op{Kind: MemoryOp, From: entry(key, from), To: entry(key, to)}}
}

func entry(key string, v any) any {
	if v == nil {
		return nil
	}
	raw, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encoding memory %s: %v", key, err))
	}
	return &MemoryEntry{Key: key, Value: raw}
}
