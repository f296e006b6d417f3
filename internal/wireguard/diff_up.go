package wireguard

import (
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
)

// bringUp plans what comes once an interface is up and has its routes.
func (d *differ) bringUp(t *target) {
	d.updateDNS(t)
	if t.comesUp() {
		d.hooks(backend.PhaseRoute, t.desired, t.desired.Hooks.PostUp, t.desired.Hooks.PreDown)
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
	var have DNS
	action := backend.Create
	if t.have != nil {
		have, action = t.have.dns, backend.Update
	}
	if have.equal(t.dns) {
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
		{Name: "dns", Have: textValue(have.String()), Want: textValue(t.dns.String())},
	}})
}

// dnsOf is what an interface shall tell the host's resolver.
func dnsOf(i *desired.Interface) DNS {
	c := DNS{Search: i.Search}
	for _, s := range i.DNS {
		c.Servers = append(c.Servers, parseServer(s)...)
	}
	return c
}

// IsZero reports whether there is nothing.
func (c DNS) IsZero() bool { return len(c.Servers)+len(c.Search) == 0 }

// String lists servers and search domains as wg-quick(8) does.
func (c DNS) String() string {
	var words []string
	for _, s := range c.Servers {
		words = append(words, s.String())
	}
	return strings.Join(append(words, c.Search...), ", ")
}

// equal compares in order: resolvers ask in it.
func (c DNS) equal(o DNS) bool {
	return slices.Equal(c.Servers, o.Servers) && slices.Equal(c.Search, o.Search)
}
