package wireguard

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/resolver"
	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// protocol marks routes and rules as vpnctl's (contract, section 3).
const protocol = 118

// netnsMemory is the key of Memory below which the namespaces stand that interfaces of
// ours were moved to: their links are not to be seen from here.
const netnsMemory = "wireguard/netns/"

// begunMemory is the key of Memory below which interfaces stand, by name, whose making
// has begun: until it ends, one without a mark is ours.
const begunMemory = "wireguard/begun/"

// begun reports whether a link is what a cut-off apply has left without its mark.
func begun(in backend.Input, l rtnl.Link) bool {
	_, ok := in.Memory[begunMemory+l.Name]
	return ok && l.Alias == "" && isWireGuard(l)
}

// aliasOf marks a link as a site's.
func aliasOf(site string) string { return "vpnctl:" + site }

// snapshot is what was observed.
type snapshot struct {
	spaces map[string]*space // by name of the namespace, "" for the host's own
	ours   []observed        // sorted by name
}

// space is one network namespace.
type space struct {
	links []rtnl.Link
	rules []rtnl.Rule // ours
}

// observed is an interface of ours as it is, and what is known of it beyond that.
type observed struct {
	link
	index int
	peers map[publicKey]int // where a peer stands in link.Peers
	live  []liveness        // beside link.Peers
	dns   resolver.Config
}

// liveness is the part of a peer that is no configuration.
type liveness struct {
	handshake time.Time
	rx, tx    int64
}

// find returns the interface of that name in that namespace.
func (h *snapshot) find(p place) *observed {
	for i := range h.ours {
		if h.ours[i].place == p {
			return &h.ours[i]
		}
	}
	return nil
}

// observe reads everything on this host that is ours, in every namespace that we use.
func (b *Backend) observe(ctx context.Context, in backend.Input) (*snapshot, error) {
	h := &snapshot{spaces: map[string]*space{}}
	for _, ns := range namespacesOf(in) {
		if err := b.observeSpace(h, ns, in); err != nil {
			return nil, inNetns(ns, err)
		}
	}
	if err := b.observeDNS(ctx, h, in); err != nil {
		return nil, err
	}
	slices.SortFunc(h.ours, func(a, b observed) int { return strings.Compare(a.Name, b.Name) })
	return h, nil
}

// inNetns says where it went wrong, if not in the host's own namespace.
func inNetns(netns string, err error) error {
	if netns == "" || err == nil {
		return err
	}
	return fmt.Errorf("network namespace %s: %w", netns, err)
}

// namespacesOf lists the namespaces that can hold interfaces of ours.
func namespacesOf(in backend.Input) []string {
	names := []string{""}
	for _, i := range in.Want.Interfaces {
		names = append(names, i.Netns)
	}
	for key := range in.Memory {
		if name, ok := strings.CutPrefix(key, netnsMemory); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (b *Backend) observeSpace(h *snapshot, netns string, in backend.Input) error {
	n, err := b.Network(netns)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // not made yet, or gone with all that was in it
	}
	if err != nil {
		return err
	}
	defer func() { _ = n.Close() }()
	s := &space{}
	h.spaces[netns] = s
	if s.links, err = n.Links(); err != nil {
		return err
	}
	rules, err := n.Rules()
	if err != nil {
		return err
	}
	s.rules = slices.DeleteFunc(rules, func(r rtnl.Rule) bool { return r.Protocol != protocol })
	return b.observeLinks(h, s, n, netns, in)
}

func (b *Backend) observeLinks(h *snapshot, s *space, n Network, netns string, in backend.Input) error {
	var devices Devices
	for _, l := range s.links {
		if !isWireGuard(l) || l.Alias != aliasOf(in.Want.Site) && !begun(in, l) && !adopts(in, netns, l) {
			continue
		}
		if devices == nil {
			d, err := b.Devices(netns)
			if err != nil {
				return fmt.Errorf("opening WireGuard: %w", err)
			}
			devices = d
			defer func() { _ = d.Close() }()
		}
		o, err := observeLink(n, devices, l, in.Secrets)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it went away in between, or is a tun device of somebody else
		}
		if err != nil {
			return fmt.Errorf("reading interface %s: %w", l.Name, err)
		}
		o.Netns = netns
		h.ours = append(h.ours, o)
	}
	return nil
}

// isWireGuard reports whether a link can be WireGuard's; a tun device is userspace's.
func isWireGuard(l rtnl.Link) bool { return l.Kind == "wireguard" || l.Kind == "tun" }

// observeLink reads one interface with all that is on it.
func observeLink(n Network, devices Devices, l rtnl.Link, secrets backend.Secrets) (observed, error) {
	o := observed{index: l.Index}
	d, err := devices.Device(l.Name)
	if err != nil {
		return o, err
	}
	o.link = link{
		place: place{Name: l.Name}, Alias: l.Alias, Userspace: l.Kind == "tun", MTU: l.MTU, Up: l.Up,
		ListenPort: d.ListenPort, FirewallMark: d.FirewallMark,
	}
	if d.PrivateKey != (wgtypes.Key{}) {
		o.PrivateKey = secrets.ID(keyText(d.PrivateKey))
	}
	addrs, err := n.Addrs(l.Index)
	if err != nil {
		return o, err
	}
	o.Addresses = assigned(addrs)
	if o.Routes, err = linkRoutes(n, l.Index); err != nil {
		return o, err
	}
	o.addPeers(d.Peers, secrets)
	return o, nil
}

// linkRoutes lists the routes through a link that somebody put there.
func linkRoutes(n Routing, index int) ([]rtnl.Route, error) {
	routes, err := n.Routes(rtnl.RouteFilter{Index: index})
	if err != nil {
		return nil, err
	}
	routes = slices.DeleteFunc(routes, func(r rtnl.Route) bool { return r.Protocol == unix.RTPROT_KERNEL })
	slices.SortFunc(routes, compareRoutes)
	return routes, nil
}

// addPeers takes over what wgctrl read. All allowed IPs share one array: there may be
// ten thousand peers with one each.
func (o *observed) addPeers(peers []wgtypes.Peer, secrets backend.Secrets) {
	count := 0
	for i := range peers {
		count += len(peers[i].AllowedIPs)
	}
	prefixes := make([]netip.Prefix, 0, count)
	o.Peers = make([]peer, len(peers))
	o.live = make([]liveness, len(peers))
	o.peers = make(map[publicKey]int, len(peers))
	for i := range peers {
		p := &peers[i]
		at := len(prefixes)
		for _, n := range p.AllowedIPs {
			prefixes = append(prefixes, toPrefix(n))
		}
		o.Peers[i] = peer{
			PublicKey:  publicKey(p.PublicKey),
			Endpoint:   toAddrPort(p.Endpoint),
			Keepalive:  p.PersistentKeepaliveInterval,
			AllowedIPs: sortPrefixes(prefixes[at:len(prefixes):len(prefixes)]),
		}
		if p.PresharedKey != (wgtypes.Key{}) {
			o.Peers[i].PresharedKey = secrets.ID(keyText(p.PresharedKey))
		}
		o.live[i] = liveness{p.LastHandshakeTime, p.ReceiveBytes, p.TransmitBytes}
		o.peers[publicKey(p.PublicKey)] = i
	}
}
