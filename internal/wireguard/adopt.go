package wireguard

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// AdoptMemory is the key of Memory below which foreign interfaces stand, by name, as
// they were when vpnctl took them over.
const AdoptMemory = "wireguard/adopted/"

// otherSite returns the site whose a link is, "" where it is nobody's or ours.
func otherSite(l rtnl.Link, site string) string {
	s, ok := strings.CutPrefix(l.Alias, aliasOf(""))
	if !ok || s == site {
		return ""
	}
	return s
}

// adopts reports whether a foreign link is to be taken over.
func adopts(in backend.Input, netns string, l rtnl.Link) bool {
	return in.Options.Adopt && otherSite(l, in.Want.Site) == "" &&
		slices.ContainsFunc(in.Want.Interfaces, func(i desired.Interface) bool {
			return i.Name == l.Name && i.Netns == netns
		})
}

// remember keeps a foreign interface before it is taken over, and forgets it once it is
// given back.
func (d *differ) remember(t *target) {
	key := AdoptMemory + t.Name
	var before any
	var memory link
	if d.in.Memory.Get(key, &memory) {
		before = &memory
	}
	switch {
	case t.restored:
		d.steps = append(d.steps, backend.Remember(backend.PhaseForget, key, before, nil))
	case t.have != nil && t.have.Alias != t.Alias && !d.begun(t.Name):
		d.steps = append(d.steps, backend.Remember(backend.PhaseMemory, key, before, &t.have.link))
	}
}

// addRestored adds the interfaces that were taken over and are not wanted any more: they
// become again what they were.
func (w *wanted) addRestored(in backend.Input, h *snapshot) {
	for _, key := range slices.Sorted(maps.Keys(in.Memory)) {
		var l link
		if !strings.HasPrefix(key, AdoptMemory) || !in.Memory.Get(key, &l) || w.find(l.place) != nil {
			continue
		}
		t := target{link: l, restored: true, have: h.find(l.place), applied: appliedTo(in.Applied, l.Name)}
		t.desired = &desired.Interface{Name: l.Name, Netns: l.Netns}
		for i := range t.Peers {
			p := &t.Peers[i]
			p.Name = peerName(t.applied, p.PublicKey)
			t.desired.Peers = append(t.desired.Peers, desired.Peer{Endpoint: symbolic(p.Endpoint)})
		}
		w.targets = append(w.targets, t)
	}
}

// symbolic is an endpoint as a topology would give it.
func symbolic(e netip.AddrPort) desired.Endpoint {
	if !e.IsValid() {
		return desired.Endpoint{}
	}
	return desired.Endpoint{Host: e.Addr().String(), Port: int(e.Port())}
}

// find returns the target at a place, nil for none.
func (w *wanted) find(p place) *target {
	for i := range w.targets {
		if w.targets[i].place == p {
			return &w.targets[i]
		}
	}
	return nil
}
