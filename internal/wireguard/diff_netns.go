package wireguard

import (
	"maps"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
)

// namespaceMemory is what is remembered of a namespace that interfaces of ours are in.
type namespaceMemory struct {
	Made bool `json:"made"` // by vpnctl, which therefore removes it
}

// namespaceObject is the path of a namespace.
func namespaceObject(name string) string { return "netns/" + name }

// addNamespaces makes the namespaces that are missing, and remembers all that are used.
func (d *differ) addNamespaces(want *wanted, h *snapshot) {
	for _, name := range want.namespaces() {
		missing := h.spaces[name] == nil
		var memory namespaceMemory
		known := d.in.Memory.Get(netnsMemory+name, &memory)
		switch made := (namespaceMemory{Made: true}); {
		case !known:
			made.Made = missing
			d.steps = append(d.steps, backend.Remember(backend.PhaseMemory, netnsMemory+name, nil, made))
		case missing && !memory.Made:
			d.steps = append(d.steps, backend.Remember(backend.PhaseMemory, netnsMemory+name, memory, made))
		}
		if missing {
			d.step(backend.PhaseLink, backend.Op{Kind: opNamespace, To: &namespace{name}},
				backend.Change{Action: backend.Create, Object: namespaceObject(name)})
		}
	}
}

// removeNamespaces removes what was made and is not used any more. It comes after the
// links, which would not outlive it.
func (d *differ) removeNamespaces(want *wanted, h *snapshot) {
	used := want.namespaces()
	for _, key := range slices.Sorted(maps.Keys(d.in.Memory)) {
		name, ok := strings.CutPrefix(key, netnsMemory)
		if !ok || slices.Contains(used, name) {
			continue
		}
		var memory namespaceMemory
		d.in.Memory.Get(key, &memory)
		if memory.Made && h.spaces[name] != nil {
			d.step(backend.PhaseRemoveLink, backend.Op{Kind: opNamespace, From: &namespace{name}},
				backend.Change{Action: backend.Delete, Object: namespaceObject(name)})
		}
		d.steps = append(d.steps, backend.Remember(backend.PhaseForget, key, memory, nil))
	}
}

// namespaces lists the named namespaces of all targets, sorted.
func (w *wanted) namespaces() []string {
	var names []string
	for i := range w.targets {
		if w.targets[i].Netns != "" {
			names = append(names, w.targets[i].Netns)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
