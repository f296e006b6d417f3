package wireguard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
)

// Pace is how patiently Watch works. Fields that are zero get what is due.
type Pace struct {
	Look  time.Duration // between two looks at the peers
	Stale time.Duration // what a handshake is at least, to be worth a lookup
	First time.Duration // between the first lookup of a name and the second
	Most  time.Duration // between two lookups at most
}

func (p Pace) orDefault() Pace {
	return Pace{
		Look: cmp.Or(p.Look, 5*time.Second), Stale: cmp.Or(p.Stale, backend.HandshakeLifetime),
		First: cmp.Or(p.First, 5*time.Second), Most: cmp.Or(p.Most, time.Minute),
	}
}

// Watch implements backend.Watcher: it looks the name of an endpoint up again where the
// peer has been silent for too long, and sets the endpoint where the name has moved, or
// has come to resolve at all.
func (b *Backend) Watch(ctx context.Context, s *backend.Shift) error {
	w := &watch{Backend: b, Shift: s, lookups: map[namedPeer]*lookup{}}
	if !w.named() {
		return nil
	}
	tick := time.NewTicker(b.Pace.Look)
	defer tick.Stop()
	for {
		if err := w.look(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// watch is one call of Watch.
type watch struct {
	*Backend
	*backend.Shift
	lookups map[namedPeer]*lookup
}

// namedPeer is a peer whose endpoint is a name.
type namedPeer struct {
	at  *desired.Interface
	key publicKey
}

// lookup is how far the search for a silent peer is.
type lookup struct {
	next  time.Time
	pause time.Duration
	told  bool // that the name does not resolve
}

// named reports whether any endpoint is a name.
func (w *watch) named() bool {
	return slices.ContainsFunc(w.Want.Interfaces, func(i desired.Interface) bool { return hasName(&i) })
}

func hasName(at *desired.Interface) bool {
	return slices.ContainsFunc(at.Peers, func(p desired.Peer) bool { return p.Endpoint.IsName() })
}

// look goes through all interfaces once.
func (w *watch) look(ctx context.Context) error {
	for i := range w.Want.Interfaces {
		at := &w.Want.Interfaces[i]
		if !hasName(at) {
			continue // it may have ten thousand peers to read
		}
		silent, err := w.silent(at)
		if err != nil {
			return fmt.Errorf("reading interface %s: %w", at.Name, err)
		}
		if err := w.find(ctx, at, silent); err != nil {
			return err
		}
	}
	return nil
}

// silent lists the peers of an interface that are to be looked up now.
func (w *watch) silent(at *desired.Interface) ([]*desired.Peer, error) {
	var silent []*desired.Peer
	live, err := w.peers(at)
	for i := range at.Peers {
		p := &at.Peers[i]
		have, there := live[publicKey(p.PublicKey)]
		who := namedPeer{at, publicKey(p.PublicKey)}
		switch l := w.lookups[who]; {
		case !p.Endpoint.IsName():
		case !there || !w.stale(&have):
			delete(w.lookups, who)
		case l == nil || !w.Now().Before(l.next):
			silent = append(silent, p)
		}
	}
	return silent, err
}

// stale reports whether a peer has been silent for too long.
func (w *watch) stale(p *wgtypes.Peer) bool {
	return p.LastHandshakeTime.IsZero() || w.Now().Sub(p.LastHandshakeTime) >= w.Pace.Stale
}

// peers reads an interface's peers; one that is not there has none, which is diff's
// matter.
func (w *watch) peers(at *desired.Interface) (map[publicKey]wgtypes.Peer, error) {
	devices, err := w.Devices(at.Netns)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = devices.Close() }()
	d, err := devices.Device(at.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	peers := make(map[publicKey]wgtypes.Peer, len(d.Peers))
	for _, p := range d.Peers {
		peers[publicKey(p.PublicKey)] = p
	}
	return peers, nil
}

// find looks silent peers up, all at once, and sets the endpoints that have moved.
func (w *watch) find(ctx context.Context, at *desired.Interface, silent []*desired.Peer) error {
	if len(silent) == 0 {
		return nil
	}
	var names []string
	for _, p := range silent {
		names = append(names, p.Endpoint.Host)
	}
	slices.Sort(names)
	resolved := w.resolve(ctx, slices.Compact(names))
	if ctx.Err() != nil {
		return nil // that a lookup was cut off says nothing about the name
	}
	for _, p := range silent {
		w.tried(at, p, len(resolved[p.Endpoint.Host]) > 0)
	}
	err := w.set(ctx, at, silent, resolved)
	if errors.Is(err, backend.ErrBusy) {
		return nil
	}
	return err
}

// tried notes a lookup, and says once that it failed.
func (w *watch) tried(at *desired.Interface, p *desired.Peer, found bool) {
	who := namedPeer{at, publicKey(p.PublicKey)}
	l := w.lookups[who]
	if l == nil {
		l = &lookup{pause: w.Pace.First}
		w.lookups[who] = l
	}
	l.next = w.Now().Add(l.pause)
	l.pause = min(2*l.pause, w.Pace.Most)
	if !found && !l.told {
		w.Say("%s: %s does not resolve; trying again", peerObject(at.Name, p.Name), p.Endpoint.Host)
	}
	l.told = !found
}

// set gives peers the endpoints that their names stand for now, unless one of them is
// what they have.
func (w *watch) set(ctx context.Context, at *desired.Interface, silent []*desired.Peer, resolved map[string][]netip.Addr) error {
	live, err := w.peers(at)
	if err != nil || len(w.moved(live, silent, resolved)) == 0 {
		return err
	}
	return w.Change(ctx, func() error {
		// The lookup took its time: who has called meanwhile is where he called from.
		live, err := w.peers(at)
		moved := w.moved(live, silent, resolved)
		if err != nil || len(moved) == 0 || !w.owns(at) {
			return err
		}
		if err := w.configure(at, moved); err != nil {
			return fmt.Errorf("setting endpoints on %s: %w", at.Name, err)
		}
		for _, p := range silent {
			if to, ok := moved[publicKey(p.PublicKey)]; ok {
				have := live[publicKey(p.PublicKey)]
				w.Say("%s: endpoint %s -> %s (%s)", peerObject(at.Name, p.Name), endpointOrNone(&have), to, p.Endpoint.Host)
			}
		}
		return nil
	})
}

// moved are the endpoints to set.
func (w *watch) moved(live map[publicKey]wgtypes.Peer, silent []*desired.Peer, resolved map[string][]netip.Addr) map[publicKey]netip.AddrPort {
	moved := map[publicKey]netip.AddrPort{}
	for _, p := range silent {
		key, addrs := publicKey(p.PublicKey), resolved[p.Endpoint.Host]
		have, there := live[key]
		if !there || len(addrs) == 0 || !w.stale(&have) {
			continue
		}
		holds := false
		for _, a := range addrs {
			holds = holds || toAddrPort(have.Endpoint) == netip.AddrPortFrom(a, uint16(p.Endpoint.Port))
		}
		if !holds {
			moved[key] = netip.AddrPortFrom(addrs[0], uint16(p.Endpoint.Port))
		}
	}
	return moved
}

// owns reports whether the interface is still ours: somebody may have made another of
// that name.
func (w *watch) owns(at *desired.Interface) bool {
	n, err := w.Network(at.Netns)
	if err != nil {
		return false
	}
	defer func() { _ = n.Close() }()
	l, err := n.Link(at.Name)
	return err == nil && l.Alias == aliasOf(w.Want.Site)
}

func (w *watch) configure(at *desired.Interface, moved map[publicKey]netip.AddrPort) error {
	devices, err := w.Devices(at.Netns)
	if err != nil {
		return err
	}
	defer func() { _ = devices.Close() }()
	var cfg wgtypes.Config
	for key, to := range moved {
		cfg.Peers = append(cfg.Peers, wgtypes.PeerConfig{
			PublicKey: wgtypes.Key(key), UpdateOnly: true, Endpoint: net.UDPAddrFromAddrPort(to),
		})
	}
	return devices.ConfigureDevice(at.Name, cfg)
}

func endpointOrNone(p *wgtypes.Peer) string {
	if p.Endpoint == nil {
		return "(none)"
	}
	return toAddrPort(p.Endpoint).String()
}
