package ipsec

import (
	"maps"
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/file"
)

// The keys of backend.Memory.
const (
	memoryPrefix  = "ipsec/"
	loadedMemory  = memoryPrefix + "loaded"
	closingMemory = memoryPrefix + "closing"
	daemonMemory  = memoryPrefix + "daemon"
	// restartMemory says that a charon of somebody else's is being restarted: one that
	// does not run was not ours before.
	restartMemory = memoryPrefix + "restarting"
)

// inDoubt is the fingerprint of what is being loaded or unloaded. It equals none.
const inDoubt = ""

// record is what charon was given, for as long as that charon runs. Before objects are
// loaded they are in doubt: whenever a process ends in between, they are ours, and loaded
// again, or unloaded.
type record struct {
	Charon string            `json:"charon"` // which run of it
	Items  map[string]string `json:"items"`  // fingerprints by key
}

// recordOf reads the record; nil is none.
func recordOf(m backend.Memory) *record {
	var r record
	if !m.Get(loadedMemory, &r) {
		return nil
	}
	return &r
}

// equal compares two records; nil is none.
func (r *record) equal(o *record) bool {
	if r == nil || o == nil {
		return r == o
	}
	return r.Charon == o.Charon && maps.Equal(r.Items, o.Items)
}

// remembers reports whether an earlier apply has left anything here.
func remembers(m backend.Memory) bool {
	for key := range m {
		if strings.HasPrefix(key, memoryPrefix) {
			return true
		}
	}
	return len(file.Owner{Kind: backend.IPsec}.Owned(m))+len(file.Owner{Kind: certOwner}.Owned(m)) > 0
}

// remember plans a change of the memory, none where nothing changes. The zero T is no
// entry.
func remember[T any](phase backend.Phase, key string, from, to *T, same bool) []backend.Step {
	if same {
		return nil
	}
	var f, t any
	if from != nil {
		f = from
	}
	if to != nil {
		t = to
	}
	return []backend.Step{backend.Remember(phase, key, f, t)}
}
