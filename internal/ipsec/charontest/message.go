package charontest

import (
	"maps"
	"slices"

	"github.com/strongswan/govici/vici"
)

// message builds a message of pairs.
func message(pairs ...any) *vici.Message {
	m := vici.NewMessage()
	for i := 0; i < len(pairs); i += 2 {
		if err := m.Set(pairs[i].(string), pairs[i+1]); err != nil {
			panic(err)
		}
	}
	return m
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
