package wireguard

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/vpnctl/vpnctl/internal/desired"
)

// The bounds of looking up all endpoints: a name that does not resolve is no error, and
// must not hold up those that do.
const (
	resolveTimeout = 5 * time.Second
	resolveWorkers = 16
)

// resolve looks names up in parallel. Those without an answer are missing in the result.
func (b *Backend) resolve(ctx context.Context, names []string) map[string][]netip.Addr {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	resolved := make(map[string][]netip.Addr, len(names))
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, resolveWorkers)
	for _, name := range names {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			addrs, err := b.Resolve(ctx, name)
			if err != nil {
				return // it is set when it resolves; see contract, section 5
			}
			for i := range addrs {
				addrs[i] = addrs[i].Unmap()
			}
			mu.Lock()
			defer mu.Unlock()
			resolved[name] = addrs
		})
	}
	wg.Wait()
	return resolved
}

// unresolved lists the names, each once, on which a decision depends. A peer that shook
// hands and was not touched needs no lookup: its query could itself go through a tunnel
// that is to stay silent.
func (w *wanted) unresolved() []string {
	var names []string
	seen := map[string]bool{}
	for i := range w.targets {
		t := &w.targets[i]
		for j := range t.desired.Peers {
			e := t.desired.Peers[j].Endpoint
			if _, err := netip.ParseAddr(e.Host); e.IsZero() || err == nil || seen[e.Host] || t.keepsEndpoint(j) {
				continue
			}
			seen[e.Host] = true
			names = append(names, e.Host)
		}
	}
	return names
}

// keepsEndpoint reports whether the endpoint of the j-th peer is its own business: it
// shook hands, so another address than the topology's is one to which it roamed, unless
// the topology is what changed.
func (t *target) keepsEndpoint(j int) bool {
	have, live := t.peer(j)
	if have == nil || live.handshake.IsZero() {
		return false
	}
	before := t.applied.peer(have.PublicKey)
	return before == nil || before.Endpoint == t.desired.Peers[j].Endpoint
}

// settleEndpoints decides the endpoint of every peer; where it is not to change, it is
// the one that the peer has.
func (t *target) settleEndpoints(resolved map[string][]netip.Addr) {
	for j := range t.Peers {
		t.Peers[j].Endpoint = t.endpoint(j, resolved)
	}
}

func (t *target) endpoint(j int, resolved map[string][]netip.Addr) netip.AddrPort {
	want := t.desired.Peers[j].Endpoint
	addrs := addresses(want, resolved)
	have, _ := t.peer(j)
	if have == nil {
		if len(addrs) == 0 {
			return netip.AddrPort{}
		}
		return netip.AddrPortFrom(addrs[0], uint16(want.Port))
	}
	if len(addrs) == 0 {
		return have.Endpoint
	}
	for _, a := range addrs {
		if have.Endpoint == netip.AddrPortFrom(a, uint16(want.Port)) {
			return have.Endpoint
		}
	}
	if t.keepsEndpoint(j) {
		return have.Endpoint
	}
	return netip.AddrPortFrom(addrs[0], uint16(want.Port))
}

// addresses lists what an endpoint stands for, the best first.
func addresses(e desired.Endpoint, resolved map[string][]netip.Addr) []netip.Addr {
	if e.IsZero() {
		return nil
	}
	if a, err := netip.ParseAddr(e.Host); err == nil {
		return []netip.Addr{a.Unmap()}
	}
	return resolved[e.Host]
}
