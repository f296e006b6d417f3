package wireguard

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/resolver"
)

// The keys of Memory below which interfaces stand, by name, whose hooks are due: one that
// has come up, and one that is going.
const (
	upMemory   = "wireguard/up/"
	downMemory = "wireguard/down/"
)

// bringUp plans what comes once an interface is up and has its routes.
func (d *differ) bringUp(t *target) {
	d.updateDNS(t)
	hooks := &t.desired.Hooks
	key := upMemory + t.Name
	_, cutOff := d.in.Memory[key]
	if !t.comesUp() && !cutOff {
		return
	}
	if len(hooks.PostUp)+len(hooks.PreDown) > 0 {
		// Whoever finds it up cannot see whether they have run.
		if !cutOff {
			d.steps = append(d.steps, backend.Remember(backend.PhaseMemory, key, nil, true))
		}
		d.hooks(backend.PhaseRoute, t.desired, hooks.PostUp, hooks.PreDown)
		cutOff = true
	}
	if cutOff {
		d.steps = append(d.steps, backend.Remember(backend.PhaseRoute, key, true, nil))
	}
}

// takeDown plans the hooks that run once an interface is gone. They are remembered for as
// long as that takes: a process can end in between, and the interface tells nothing then.
func (d *differ) takeDown(phase backend.Phase, i *desired.Interface) {
	set := &hookSet{i.Name, i.Hooks.PreUp, i.Hooks.PostDown}
	if len(set.Up)+len(set.Down) == 0 {
		return
	}
	key := downMemory + i.Name
	if _, ok := d.in.Memory[key]; !ok {
		d.steps = append(d.steps, backend.Remember(backend.PhaseMemory, key, nil, set))
	}
	d.afterDown(phase, key, set)
}

func (d *differ) afterDown(phase backend.Phase, key string, set *hookSet) {
	d.step(phase, backend.Op{Kind: opHooks, From: set})
	d.steps = append(d.steps, backend.Remember(phase, key, set, nil))
}

// cutOff plans what a process that was killed owes: the hooks of interfaces that went with
// it. What it remembered and did not begin is forgotten.
func (d *differ) cutOff(want *wanted, h *snapshot) {
	for _, key := range slices.Sorted(maps.Keys(d.in.Memory)) {
		if name, is := strings.CutPrefix(key, upMemory); is && !slices.ContainsFunc(want.targets, func(t target) bool { return t.Name == name }) {
			d.steps = append(d.steps, backend.Remember(backend.PhaseForget, key, true, nil))
		}
		name, is := strings.CutPrefix(key, downMemory)
		var set *hookSet
		if !is || !d.in.Memory.Get(key, &set) || set == nil {
			continue
		}
		i := slices.IndexFunc(h.ours, func(o observed) bool { return o.Name == name })
		switch {
		case i < 0:
			d.afterDown(backend.PhaseFree, key, set)
		case want.find(h.ours[i].place) != nil:
			d.steps = append(d.steps, backend.Remember(backend.PhaseForget, key, set, nil))
		}
	}
}

// hooks plans lines that run as an interface comes up, and those that take them back.
func (d *differ) hooks(phase backend.Phase, i *desired.Interface, up, down []string) {
	if len(up)+len(down) > 0 {
		d.step(phase, backend.Op{Kind: opHooks, To: &hookSet{i.Name, up, down}})
	}
}

// hooksDown is the opposite of hooks.
func (d *differ) hooksDown(phase backend.Phase, i *desired.Interface, up, down []string) {
	if len(up)+len(down) > 0 {
		d.step(phase, backend.Op{Kind: opHooks, From: &hookSet{i.Name, up, down}})
	}
}

// updateDNS plans what the interface tells the host's resolver.
func (d *differ) updateDNS(t *target) {
	var have resolver.Config
	action := backend.Create
	if t.have != nil {
		have, action = t.have.dns, backend.Update
	}
	if have.Equal(t.dns) {
		return
	}
	op := backend.Op{Kind: opDNS}
	if !have.IsZero() {
		op.From = &dnsSet{t.place, have}
	}
	if !t.dns.IsZero() {
		op.To = &dnsSet{t.place, t.dns}
	}
	d.step(backend.PhaseRoute, op, backend.Change{Action: action, Object: object(t.Name), Fields: []backend.Field{
		{Name: "dns", Have: textValue(dnsText(have)), Want: textValue(dnsText(t.dns))},
	}})
}

// dnsOf is what an interface shall tell the host's resolver.
func dnsOf(i *desired.Interface) resolver.Config {
	c := resolver.Config{Search: i.Search}
	for _, s := range i.DNS {
		// The topology's parser takes nothing but addresses.
		if a, err := netip.ParseAddr(s); err == nil {
			c.Servers = append(c.Servers, a)
		}
	}
	return c
}

// dnsText lists servers and search domains as wg-quick(8) does.
func dnsText(c resolver.Config) string {
	var words []string
	for _, s := range c.Servers {
		words = append(words, s.String())
	}
	return strings.Join(append(words, c.Search...), ", ")
}
