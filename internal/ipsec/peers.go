package ipsec

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
)

// lookupTimeout bounds the lookup of all peers' names: one that does not resolve is no
// error.
const lookupTimeout = 3 * time.Second

// settlePeers gives the routes of tunnels whose peer is a name the peer's address: that of
// a live SA, else what the name resolves to. What has no address yet keeps its name.
func (b *Backend) settlePeers(ctx context.Context, in backend.Input, w *wanted, h *snapshot) {
	if len(w.Routes) == 0 {
		return
	}
	w.Routes = slices.Clone(w.Routes)
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	d := &differ{in: in, w: w, h: h}
	var before *routes
	in.Memory.Get(routesMemory, &before)
	own := d.ownRoutes(before)
	found := map[string]netip.Addr{}
	for i := range w.Routes {
		r := &w.Routes[i]
		if _, err := netip.ParseAddr(r.Peer); err == nil || d.reached(r.Dst, own) {
			continue // nobody has to be asked
		}
		a, asked := found[r.Peer]
		if !asked {
			a = b.addressOf(ctx, r.Peer, d)
			found[r.Peer] = a
		}
		if a.IsValid() {
			r.Peer = a.String()
		}
	}
}

// addressOf is where a peer is by name; not valid where nobody knows. Boot asks no DNS.
func (b *Backend) addressOf(ctx context.Context, name string, d *differ) netip.Addr {
	for i := range d.h.sas {
		sa := &d.h.sas[i]
		of := slices.ContainsFunc(d.w.Connections, func(c desired.Connection) bool {
			return c.Name == sa.Name && slices.Contains(c.RemoteAddrs, name)
		})
		if a, err := netip.ParseAddr(sa.RemoteHost); err == nil && of && sa.established() {
			return a
		}
	}
	if d.in.Options.Boot {
		return netip.Addr{}
	}
	addrs, err := b.Resolve(ctx, name)
	if err != nil {
		return netip.Addr{}
	}
	for _, a := range addrs {
		if _, link := d.way(a.Unmap()); link != "" {
			return a.Unmap()
		}
	}
	return netip.Addr{}
}
