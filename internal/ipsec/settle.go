package ipsec

import (
	"context"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/rtnl"
	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/swanctl"
)

// wanted is what the host shall have, with nothing symbolic left in it.
type wanted struct {
	*desired.IPsec // with the names of pools as they shall be here
	objects        holding
	certs, secret  []desired.File
	// leftover are pools that are not wanted any more and cannot go while somebody has an
	// address of them.
	leftover map[string]bool
	// settings are what charon itself has to be told.
	settings *settings
}

// settle turns the desired state into one that can be compared with the host.
func (b *Backend) settle(ctx context.Context, in backend.Input, h *snapshot) (*wanted, error) {
	w := &wanted{IPsec: settlePools(b.waken(&in.Want.IPsec), h), leftover: map[string]bool{}}
	w.Connections = settleAddrs(w.Connections, h, in.Options.Boot)
	reveal := func(id secret.ID) ([]byte, error) {
		v, err := in.Secrets.Value(id)
		return v.Reveal(), err
	}
	creds, err := w.settleCredentials(reveal)
	if err != nil {
		return nil, err
	}
	root := &swanctl.Section{}
	if !w.empty() {
		text, err := swanctl.Render(w.IPsec, reveal)
		if err != nil {
			return nil, fmt.Errorf("rendering %s: %w", confFile, err)
		}
		w.secret = append(w.secret, desiredFile(confFile, text, true))
		// Read back, so that both sides of the comparison have come the same way.
		if root, err = swanctl.Parse(text); err != nil {
			return nil, fmt.Errorf("reading back %s: %w", confFile, err)
		}
	}
	w.objects = hold(root, creds, in.Secrets)
	w.findLeftover(h)
	b.settlePeers(ctx, in, w, h)
	b.settleSettings(in, w, h)
	return w, nil
}

// empty reports whether charon shall hold nothing of ours.
func (w *wanted) empty() bool { return w.IsZero() && len(w.Bypasses) == 0 }

// settleCredentials puts the copies of certificates and keys among the files, and returns
// their content by path.
func (w *wanted) settleCredentials(reveal func(secret.ID) ([]byte, error)) (map[string][]byte, error) {
	creds := map[string][]byte{}
	for _, c := range w.Credentials {
		data := c.Data
		if c.Secret != "" {
			var err error
			if data, err = reveal(c.Secret); err != nil {
				return nil, fmt.Errorf("reading %s: %w", path.Base(c.Path), err)
			}
		}
		creds[c.Path] = data
		f := desiredFile(c.Path, data, c.Secret != "")
		if c.Mode != 0 {
			f.Mode = c.Mode
		}
		if c.Secret != "" {
			w.secret = append(w.secret, f)
			continue
		}
		w.certs = append(w.certs, f)
	}
	return creds, nil
}

// settlePools gives a pool that changes while addresses of it are out another name:
// charon refuses to change that one. What the file has of the same content keeps its
// name, so that the next plan finds nothing.
func settlePools(i *desired.IPsec, h *snapshot) *desired.IPsec {
	out := *i
	out.Pools = slices.Clone(i.Pools)
	names := map[string]string{}
	for n := range out.Pools {
		p := &out.Pools[n]
		name := poolName(p, h)
		if name != p.Name {
			names[p.Name] = name
			p.Name = name
		}
	}
	if len(names) == 0 {
		return &out
	}
	out.Connections = slices.Clone(i.Connections)
	for n := range out.Connections {
		c := &out.Connections[n]
		c.Pools = slices.Clone(c.Pools)
		for k, name := range c.Pools {
			if other, ok := names[name]; ok {
				c.Pools[k] = other
			}
		}
	}
	return &out
}

// settleAddrs leaves of a connection's own addresses those that the host has. Where it has
// none of them, somebody translates them on the way, and it is any. At boot an address may
// come later: what the file has counts.
func settleAddrs(conns []desired.Connection, h *snapshot, boot bool) []desired.Connection {
	out := slices.Clone(conns)
	for i := range out {
		c := &out[i]
		if have := h.have.find(kindConn, c.Name); boot && have != nil {
			c.LocalAddrs = have.Section.Items("local_addrs")
			continue
		}
		c.LocalAddrs = slices.DeleteFunc(slices.Clone(c.LocalAddrs), func(text string) bool {
			a, err := netip.ParseAddr(text)
			return err == nil && !slices.ContainsFunc(h.addrs, func(have rtnl.Addr) bool { return have.Prefix.Addr() == a })
		})
	}
	return out
}

// poolTries bounds how many pools of one origin may have leases at once.
const poolTries = 32

// poolName is the name of a pool on this host: the first of NAME, NAME-2, … that the file
// has with this content, else the first that is free to hold it.
func poolName(p *desired.Pool, h *snapshot) string {
	candidate := func(n int) string {
		if n == 1 {
			return p.Name
		}
		return p.Name + "-" + strconv.Itoa(n)
	}
	for n := 1; n <= poolTries; n++ {
		if have := h.have.find(kindPool, candidate(n)); have != nil && holdsPool(have, p) {
			return candidate(n)
		}
	}
	for n := 1; n <= poolTries; n++ {
		if h.pools[candidate(n)].Online == 0 {
			return candidate(n)
		}
	}
	return p.Name
}

// holdsPool reports whether a pool of the file gives out what is wanted.
func holdsPool(have *object, want *desired.Pool) bool {
	dns := make([]string, len(want.DNS))
	for i, a := range want.DNS {
		dns[i] = a.String()
	}
	return have.Section.Values["addrs"] == want.Addrs && slices.Equal(have.Section.Items("dns"), dns)
}

// findLeftover finds pools of ours that nobody wants and somebody still uses. Their time
// comes when the last address is back.
func (w *wanted) findLeftover(h *snapshot) {
	for key := range h.known {
		if name, ok := cutKind(key, kindPool); ok && w.objects[key] == nil && h.pools[name].Online > 0 {
			w.leftover[key] = true
		}
	}
}

// remembersOther reports whether an object is ours by the memory alone.
func remembersOther(in backend.Input, key string) bool {
	r := recordOf(in.Memory)
	if r == nil {
		return false
	}
	_, ok := r.Items[key]
	return ok
}
