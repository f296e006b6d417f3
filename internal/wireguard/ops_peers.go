package wireguard

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/vpnctl/vpnctl/internal/secret"
)

// What one message to the kernel holds. Beyond that wgctrl would send every peer on its
// own.
const (
	chunkPeers    = 32
	chunkPrefixes = 256
)

// lostAndFound is the key of a peer that exists for a moment, to take an allowed IP from
// another one: older kernels can only replace a peer's whole list, and packets to what
// stays on it would find nobody in between. Nobody has its private key.
var lostAndFound = publicKey{'v', 'p', 'n', 'c', 't', 'l', ' ', 'l', 'o', 's', 't', ' ', 'a', 'n', 'd', ' ', 'f', 'o', 'u', 'n', 'd'}

// applyPeers sets and removes peers of a link.
func (b *Backend) applyPeers(_ context.Context, from, to *peerSet) error {
	if from == nil && to == nil || from != nil && undoesFresh(from.Fresh, to) {
		return nil
	}
	return b.onLink(either(from, to).place, to == nil, func(d *device) error {
		if err := d.wireguard(b); err != nil {
			return err
		}
		gone, wanted := parts(from, to, func(s *peerSet) []peer { return s.List })
		if to != nil && to.Fresh {
			return b.changePeers(d, nil, nil, wanted)
		}
		return b.updatePeers(d, gone, wanted)
	})
}

// updatePeers reads the device and does what remains between the two sides.
func (b *Backend) updatePeers(d *device, from, to []peer) error {
	w, err := d.wg.Device(d.link.Name)
	if err != nil {
		return fmt.Errorf("reading device: %w", err)
	}
	var have observed
	have.addPeers(w.Peers, b.Secrets)
	return b.changePeers(d, &have, from, to)
}

// changePeers writes peers by difference; without an observation, as if there were none.
func (b *Backend) changePeers(d *device, have *observed, from, to []peer) error {
	c := peerChange{secrets: b, have: have, before: byKey(from), to: to}
	if err := c.compute(from); err != nil {
		return err
	}
	for _, peers := range pack(c.groups) {
		if err := d.wg.ConfigureDevice(d.link.Name, wgtypes.Config{Peers: peers}); err != nil {
			return fmt.Errorf("configuring peers: %w", err)
		}
	}
	return nil
}

// byKey indexes peers.
func byKey(peers []peer) map[publicKey]*peer {
	m := make(map[publicKey]*peer, len(peers))
	for i := range peers {
		m[peers[i].PublicKey] = &peers[i]
	}
	return m
}

// peerChange computes what is to be written to a device.
type peerChange struct {
	secrets interface {
		key(id secret.ID) (wgtypes.Key, error)
	}
	have   *observed // nil: nothing is there
	before map[publicKey]*peer
	to     []peer
	// groups are written in their order, each in one call: gains first, so that an
	// allowed IP which moves is taken from its old peer in the moment in which the new
	// one gets it; then losses; then whole peers.
	groups [][]wgtypes.PeerConfig
	lost   []netip.Prefix
}

func (c *peerChange) compute(from []peer) error {
	for i := range c.to {
		if err := c.set(&c.to[i]); err != nil {
			return fmt.Errorf("peer %s: %w", c.to[i].PublicKey, err)
		}
	}
	c.drop()
	wanted := byKey(c.to)
	for i := range from {
		if _, stays := wanted[from[i].PublicKey]; !stays {
			c.remove(from[i].PublicKey)
		}
	}
	c.remove(lostAndFound) // a change that was cut off may have left it
	return nil
}

func (c *peerChange) add(peers ...wgtypes.PeerConfig) { c.groups = append(c.groups, peers) }

// find returns what there is of a peer, nil for none.
func (c *peerChange) find(key publicKey) (*peer, liveness) {
	if c.have == nil {
		return nil, liveness{}
	}
	at, ok := c.have.peers[key]
	if !ok {
		return nil, liveness{}
	}
	return &c.have.Peers[at], c.have.live[at]
}

func (c *peerChange) remove(key publicKey) {
	if have, _ := c.find(key); have != nil {
		c.add(wgtypes.PeerConfig{PublicKey: wgtypes.Key(key), Remove: true, UpdateOnly: true})
	}
}

// set writes one peer.
func (c *peerChange) set(want *peer) error {
	have, live := c.find(want.PublicKey)
	before := c.before[want.PublicKey]
	switch {
	case have == nil:
		return c.create(want)
	case withdrawn(before, have, want) && live.handshake.IsZero():
		// WireGuard cannot forget an endpoint. Who never shook hands loses
		// nothing by being made again.
		c.remove(want.PublicKey)
		return c.create(want)
	}
	return c.update(before, have, want)
}

// withdrawn reports whether the peer has an endpoint that an operation set which is now
// undone.
func withdrawn(before, have, want *peer) bool {
	return before != nil && before.Endpoint.IsValid() && have.Endpoint.IsValid() && !want.Endpoint.IsValid()
}

func (c *peerChange) create(want *peer) error {
	p := wgtypes.PeerConfig{PublicKey: wgtypes.Key(want.PublicKey), AllowedIPs: toIPNets(want.AllowedIPs)}
	if want.PresharedKey != "" {
		key, err := c.secrets.key(want.PresharedKey)
		if err != nil {
			return fmt.Errorf("preshared key: %w", err)
		}
		p.PresharedKey = &key
	}
	if want.Endpoint.IsValid() {
		p.Endpoint = net.UDPAddrFromAddrPort(want.Endpoint)
	}
	if want.Keepalive != 0 {
		p.PersistentKeepaliveInterval = &want.Keepalive
	}
	c.add(p)
	return nil
}

// update writes what differs. A key or an interval that is to go is written too, as the
// zero that clears it. The endpoint is left alone unless the operation is about it: the
// peer may have roamed since it was read.
func (c *peerChange) update(before, have, want *peer) error {
	p := wgtypes.PeerConfig{PublicKey: wgtypes.Key(want.PublicKey), UpdateOnly: true}
	differs := false
	if have.PresharedKey != want.PresharedKey {
		key, err := c.secrets.key(want.PresharedKey)
		if err != nil {
			return fmt.Errorf("preshared key: %w", err)
		}
		p.PresharedKey, differs = &key, true
	}
	about := before == nil || before.Endpoint != want.Endpoint
	if about && want.Endpoint.IsValid() && have.Endpoint != want.Endpoint {
		p.Endpoint, differs = net.UDPAddrFromAddrPort(want.Endpoint), true
	}
	if have.Keepalive != want.Keepalive {
		p.PersistentKeepaliveInterval, differs = &want.Keepalive, true
	}
	if gain := without(want.AllowedIPs, have.AllowedIPs); len(gain) > 0 {
		p.AllowedIPs, differs = toIPNets(gain), true
	}
	c.lost = append(c.lost, without(have.AllowedIPs, want.AllowedIPs)...)
	if differs {
		c.add(p)
	}
	return nil
}

// drop takes from their peers the allowed IPs that nobody else gets.
func (c *peerChange) drop() {
	if len(c.lost) == 0 {
		return
	}
	taken := map[netip.Prefix]bool{}
	for i := range c.to {
		for _, a := range c.to[i].AllowedIPs {
			taken[a] = true
		}
	}
	lost := slices.DeleteFunc(c.lost, func(a netip.Prefix) bool { return taken[a] })
	for part := range slices.Chunk(lost, chunkPrefixes) {
		key := wgtypes.Key(lostAndFound)
		c.add(wgtypes.PeerConfig{PublicKey: key, AllowedIPs: toIPNets(part)}, wgtypes.PeerConfig{PublicKey: key, Remove: true})
	}
}

// pack joins groups to calls of a size that wgctrl sends as one message.
func pack(groups [][]wgtypes.PeerConfig) [][]wgtypes.PeerConfig {
	var calls [][]wgtypes.PeerConfig
	var call []wgtypes.PeerConfig
	prefixes := 0
	for _, g := range groups {
		size := 0
		for i := range g {
			size += len(g[i].AllowedIPs)
		}
		if len(call) > 0 && (len(call)+len(g) > chunkPeers || prefixes+size > chunkPrefixes) {
			calls, call, prefixes = append(calls, call), nil, 0
		}
		call, prefixes = append(call, g...), prefixes+size
	}
	if len(call) > 0 {
		calls = append(calls, call)
	}
	return calls
}
