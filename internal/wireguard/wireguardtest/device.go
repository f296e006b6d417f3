package wireguardtest

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// firstPort is below the ports that the host chooses by itself.
const firstPort = 40000

// device is the WireGuard part of a link.
type device struct {
	key     wgtypes.Key
	public  wgtypes.Key // of key
	port    int
	mark    int
	peers   map[wgtypes.Key]*peer
	allowed map[netip.Prefix]*peer // each has one owner
}

// peer is one peer of a device.
type peer struct {
	wgtypes.Peer
	seq     int // the kernel lists peers by age
	allowed map[netip.Prefix]bool
}

func newDevice() *device {
	return &device{peers: map[wgtypes.Key]*peer{}, allowed: map[netip.Prefix]*peer{}}
}

// devices is a handle on the devices of a namespace.
type devices struct {
	h *Host
	s *space
}

func (d *devices) Close() error { return nil }

func (d *devices) find(name string) (*link, error) {
	if l := d.s.find(name); l != nil && l.wg != nil {
		return l, nil
	}
	return nil, fmt.Errorf("device %s: %w", name, fs.ErrNotExist)
}

func (d *devices) Device(name string) (*wgtypes.Device, error) {
	l, err := d.find(name)
	if err != nil {
		return nil, err
	}
	w := l.wg
	out := &wgtypes.Device{Name: name, PrivateKey: w.key, PublicKey: w.public, ListenPort: w.port, FirewallMark: w.mark}
	for _, p := range w.sorted() {
		q := p.Peer
		q.AllowedIPs = make([]net.IPNet, 0, len(p.allowed))
		for a := range p.allowed {
			q.AllowedIPs = append(q.AllowedIPs, net.IPNet{IP: a.Addr().AsSlice(), Mask: net.CIDRMask(a.Bits(), a.Addr().BitLen())})
		}
		out.Peers = append(out.Peers, q)
	}
	return out, nil
}

func (w *device) sorted() []*peer {
	return slices.SortedFunc(maps.Values(w.peers), func(a, b *peer) int { return cmp.Compare(a.seq, b.seq) })
}

// ConfigureDevice stops at the first error and keeps what it has done until then.
func (d *devices) ConfigureDevice(name string, cfg wgtypes.Config) error {
	l, err := d.find(name)
	if err != nil {
		return err
	}
	if cfg.ReplacePeers {
		panic("peers replaced: every session is lost")
	}
	d.h.Messages += messages(cfg.Peers)
	begun := false
	fault := func(write string) error {
		err := d.h.fault(write)
		if begun && errors.Is(err, ErrKilled) {
			return nil
		}
		begun = true
		return err
	}
	if cfg.PrivateKey != nil || cfg.ListenPort != nil || cfg.FirewallMark != nil {
		if err := fault("setting device " + name); err != nil {
			return err
		}
		if err := d.h.setDevice(l, cfg); err != nil {
			return err
		}
	}
	for _, p := range cfg.Peers {
		if err := fault("setting peer " + name + " " + p.PublicKey.String()); err != nil {
			return err
		}
		d.h.setPeer(l.wg, p)
	}
	return nil
}

// messages is how many wgctrl makes of that: one, or one a peer where they are too many.
func messages(peers []wgtypes.PeerConfig) int {
	prefixes := 0
	for i := range peers {
		prefixes += len(peers[i].AllowedIPs)
	}
	if len(peers) > 32 || prefixes > 256 {
		return len(peers)
	}
	return 1
}

func (h *Host) setDevice(l *link, cfg wgtypes.Config) error {
	w := l.wg
	if cfg.ListenPort != nil {
		if l.Up {
			if code := h.bind(l, *cfg.ListenPort); code != 0 {
				return code
			}
		} else {
			w.port = *cfg.ListenPort
		}
	}
	if cfg.FirewallMark != nil {
		w.mark = *cfg.FirewallMark
	}
	if cfg.PrivateKey != nil {
		w.key, w.public = *cfg.PrivateKey, cfg.PrivateKey.PublicKey()
		w.remove(w.public) // nobody is his own peer
	}
	return nil
}

// bind opens the socket of a link that is or comes up. Wherever the link is, that is in
// the namespace in which it was made.
func (h *Host) bind(l *link, port int) unix.Errno {
	if port == 0 {
		h.port++
		port = h.port
	}
	if h.Used[port] {
		return unix.EADDRINUSE
	}
	for _, s := range h.spaces {
		for _, o := range s.links {
			if o != l && o.wg != nil && o.Up && o.wg.port == port {
				return unix.EADDRINUSE
			}
		}
	}
	l.wg.port = port
	return 0
}

func (h *Host) setPeer(w *device, c wgtypes.PeerConfig) {
	p := w.peers[c.PublicKey]
	switch {
	case c.Remove:
		w.remove(c.PublicKey)
		return
	case p == nil && (c.UpdateOnly || c.PublicKey == w.public):
		return // silently, as the kernel does
	case p == nil:
		h.seq++
		p = &peer{Peer: wgtypes.Peer{PublicKey: c.PublicKey}, seq: h.seq, allowed: map[netip.Prefix]bool{}}
		w.peers[c.PublicKey] = p
	}
	if c.PresharedKey != nil {
		p.PresharedKey = *c.PresharedKey
	}
	if c.Endpoint != nil {
		p.Endpoint = c.Endpoint
	}
	if c.PersistentKeepaliveInterval != nil {
		p.PersistentKeepaliveInterval = *c.PersistentKeepaliveInterval
	}
	if c.ReplaceAllowedIPs {
		panic("allowed IPs replaced: packets to those that stay would find nobody")
	}
	for _, n := range c.AllowedIPs {
		a, _ := netip.AddrFromSlice(n.IP)
		bits, _ := n.Mask.Size()
		w.allow(p, netip.PrefixFrom(a, bits).Masked())
	}
}

// allow gives an allowed IP to a peer, and takes it from who has it.
func (w *device) allow(p *peer, a netip.Prefix) {
	if owner := w.allowed[a]; owner != nil {
		delete(owner.allowed, a)
	}
	w.allowed[a] = p
	p.allowed[a] = true
}

func (w *device) remove(key wgtypes.Key) {
	p := w.peers[key]
	if p == nil {
		return
	}
	for a := range p.allowed {
		delete(w.allowed, a)
	}
	delete(w.peers, key)
}

// Configure configures a device as somebody else would: past Fault.
func (h *Host) Configure(netns, name string, cfg wgtypes.Config) {
	fault := h.Fault
	defer func() { h.Fault = fault }()
	h.Fault = nil
	if err := (&devices{h, h.spaces[netns]}).ConfigureDevice(name, cfg); err != nil {
		panic(err)
	}
}

// Handshake lets a peer shake hands from an address; it is followed there.
func (h *Host) Handshake(netns, name string, key wgtypes.Key, from netip.AddrPort, at time.Time) {
	p := h.spaces[netns].find(name).wg.peers[key]
	p.Endpoint = net.UDPAddrFromAddrPort(from)
	p.LastHandshakeTime = at
	p.ReceiveBytes += 92
	p.TransmitBytes += 148
}
