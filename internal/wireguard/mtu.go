package wireguard

import (
	"errors"
	"io/fs"
	"net/netip"
	"slices"

	"github.com/vpnctl/vpnctl/internal/rtnl"
)

const (
	// overhead is what WireGuard puts around a packet, over IPv6: 40 bytes of IPv6, 8
	// of UDP, 16 of its own header and 16 of authentication.
	overhead = 80
	// minMTU6 is the least that IPv6 takes: below it the kernel removes the link's
	// IPv6 addresses.
	minMTU6 = 1280
	// defaultMTU is assumed where nothing says where the packets will go.
	defaultMTU = 1500
)

// settleMTU computes the MTU of every interface that leaves it open, as wg-quick(8)
// does: the largest that a way to an endpoint has, less the overhead. It looks from
// where the packets leave, the host's own namespace.
func (b *Backend) settleMTU(w *wanted, h *snapshot) error {
	open := func(t target) bool { return t.MTU == 0 }
	if !slices.ContainsFunc(w.targets, open) {
		return nil
	}
	n, err := b.Network("")
	if err != nil {
		return err
	}
	defer func() { _ = n.Close() }()
	for i := range w.targets {
		t := &w.targets[i]
		if t.MTU != 0 {
			continue
		}
		if t.MTU, err = t.pathMTU(n, h.spaces[""].links); err != nil {
			return err
		}
		if slices.ContainsFunc(t.Addresses, is6) {
			t.MTU = max(t.MTU, minMTU6)
		}
	}
	return nil
}

func is4(p netip.Prefix) bool { return p.Addr().Is4() }
func is6(p netip.Prefix) bool { return p.Addr().Is6() }

// pathMTU computes one interface's MTU. Where the only ways known lead through the
// interface itself, what it has stays: wg-quick(8) would never have seen that route.
func (t *target) pathMTU(n Routing, links []rtnl.Link) (int, error) {
	p := newPaths(links, t.Name)
	mtu, err := p.largest(n, t.queries())
	if err != nil {
		return 0, err
	}
	if mtu == 0 && p.self && t.have != nil {
		return t.have.MTU, nil
	}
	if mtu == 0 {
		mtu, err = p.largest(n, t.defaults())
		if err != nil {
			return 0, err
		}
	}
	if mtu == 0 && p.self && t.have != nil {
		return t.have.MTU, nil
	}
	if mtu == 0 {
		mtu = defaultMTU
	}
	return mtu - overhead, nil
}

// queries asks for the way to every endpoint that the topology names, each once. For a
// DNS name the address in use stands; where the topology names none, the peer calls.
func (t *target) queries() []rtnl.Query {
	seen := map[netip.Addr]bool{}
	var queries []rtnl.Query
	for j := range t.desired.Peers {
		e := t.desired.Peers[j].Endpoint
		if e.IsZero() {
			continue
		}
		a, err := netip.ParseAddr(e.Host)
		if err != nil {
			a = t.Peers[j].Endpoint.Addr()
		}
		if a = a.Unmap(); !a.IsValid() || seen[a] {
			continue
		}
		seen[a] = true
		queries = append(queries, rtnl.Query{Dst: a, Mark: t.FirewallMark})
	}
	return queries
}

// Addresses to which only a default route leads: they are reserved for documentation.
var (
	nobody4 = netip.MustParseAddr("192.0.2.1")
	nobody6 = netip.MustParseAddr("2001:db8::1")
)

// defaults asks for the default routes.
func (t *target) defaults() []rtnl.Query {
	return []rtnl.Query{{Dst: nobody4, Mark: t.FirewallMark}, {Dst: nobody6, Mark: t.FirewallMark}}
}

// paths finds the largest MTU among ways.
type paths struct {
	mtus map[int]int // by index of the link
	most int         // no way has more
	own  int         // index of the interface itself
	self bool        // a way led through it
}

func newPaths(links []rtnl.Link, own string) *paths {
	p := &paths{mtus: make(map[int]int, len(links))}
	for _, l := range links {
		p.mtus[l.Index] = l.MTU
		switch {
		case l.Name == own:
			p.own = l.Index
		case l.Up && !l.Loopback:
			p.most = max(p.most, l.MTU)
		}
	}
	return p
}

// largest asks in growing portions and stops when no answer can be larger any more: of
// ten thousand endpoints behind one Ethernet, a few tell.
func (p *paths) largest(n Routing, queries []rtnl.Query) (int, error) {
	mtu := 0
	for size := 8; len(queries) > 0 && (mtu == 0 || mtu < p.most); size *= 2 {
		size = min(size, len(queries))
		answers, err := n.Lookup(queries[:size]...)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
		for _, a := range answers {
			mtu = max(mtu, p.of(a))
		}
		queries = queries[size:]
	}
	return mtu, nil
}

// of is the MTU of one way, 0 for none.
func (p *paths) of(a rtnl.Path) int {
	switch {
	case a.Index == 0:
		return 0
	case a.Index == p.own:
		p.self = true
		return 0
	case a.MTU != 0:
		return a.MTU
	}
	return p.mtus[a.Index]
}
