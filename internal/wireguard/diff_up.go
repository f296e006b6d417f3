package wireguard

import (
	"net/netip"
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/resolver"
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
