package pptp

import (
	"context"
	"errors"
	"slices"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
)

// Check implements backend.Backend. What pppd needs is checked by its own backend.
func (b *Backend) Check(ctx context.Context, in backend.Input) error {
	w := want(in.Want)
	if w.empty() {
		return nil
	}
	h, err := b.observe(ctx)
	if err != nil {
		return err
	}
	units, err := b.unitFiles(w, h)
	if err != nil {
		return err
	}
	errs := []error{b.confs().Check(in, w.confFiles()), b.units().Check(in, units)}
	if w.server != nil {
		errs = append(errs, b.checkServer(in, &w, h))
	}
	if len(w.links) > 0 && !b.Installed("pptp") {
		errs = append(errs, backend.Refuse(w.links[0].Object(), "apt install pptp-linux", "the program pptp is missing"))
	}
	return errors.Join(errs...)
}

func (b *Backend) checkServer(in backend.Input, w *wanted, h *observed) error {
	var errs []error
	if !b.Installed(pptpd) {
		errs = append(errs, backend.Refuse(w.server.Object(), "apt install pptpd", "the program pptpd is missing"))
	}
	if h.taken != "" {
		errs = append(errs, backend.Refuse(w.server.Object(), "stop it", "TCP port %d is taken by %s", port, h.taken))
	}
	if other := h.otherConfig(); other != "" && !in.Options.Adopt {
		errs = append(errs, backend.Refuse(daemonObject, "stop it, or run apply --adopt",
			"a pptpd that reads %s and is not vpnctl's runs on this host", other))
	}
	var served []desired.AddrRange
	for _, r := range w.server.Slots() {
		served = append(served, split(r)...)
	}
	if !slices.Equal(served, configOf(w.server).pool) {
		errs = append(errs, backend.Refuse(w.server.Object(), "use fewer pools, or ranges that begin and end with a /24",
			"pptpd.conf cannot carry the pools: they are too many for its one line of %d bytes", maxLine))
	}
	return errors.Join(errs...)
}

// otherConfig is the file that somebody else's pptpd reads, where that is not the usual one.
func (h *observed) otherConfig() string {
	for _, p := range h.parents {
		for i, word := range p.Args[:max(len(p.Args)-1, 0)] {
			if word == "-c" || word == "--conf" {
				if next := p.Args[i+1]; next != ConfPath && next != LoadedPath {
					return next
				}
			}
		}
	}
	return ""
}
