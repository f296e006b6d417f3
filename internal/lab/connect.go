package lab

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// bridge is the name of the bridge in each switch.
const bridge = "br0"

// connect makes the links between running hosts.
func (l *Lab) connect(p plan) error {
	for _, lan := range p.lans {
		if err := l.hosts[lan].Do(addBridge); err != nil {
			return fmt.Errorf("adding lan %q: %w", lan, err)
		}
	}
	for _, w := range p.wires {
		if err := l.addWire(w[0], w[1]); err != nil {
			return fmt.Errorf("linking %s:%s and %s:%s: %w", w[0].host, w[0].name, w[1].host, w[1].name, err)
		}
	}
	// Routes come last: a gateway is reachable once all links are up.
	for _, w := range p.wires {
		for _, e := range w {
			if err := l.hosts[e.host].Do(e.addRoutes); err != nil {
				return fmt.Errorf("routing %s:%s: %w", e.host, e.name, err)
			}
			if err := l.hosts[e.host].Do(e.awaitCarrier); err != nil {
				return fmt.Errorf("starting %s:%s: %w", e.host, e.name, err)
			}
		}
	}
	return nil
}

// addBridge makes the bridge of a switch.
func addBridge() error {
	off := false
	br := &netlink.Bridge{
		LinkAttrs: netlink.LinkAttrs{Name: bridge},
		// Snooping would hold multicast back until a querier speaks.
		MulticastSnooping: &off,
	}
	if err := netlink.LinkAdd(br); err != nil {
		return err
	}
	return netlink.LinkSetUp(br)
}

// addWire makes a pair of interfaces, each at once in its own host: nothing of
// the lab ever shows in the machine's own network namespace.
func (l *Lab) addWire(a, b port) error {
	peer := l.hosts[b.host]
	err := l.hosts[a.host].Do(func() error {
		veth := &netlink.Veth{
			LinkAttrs:     netlink.LinkAttrs{Name: a.name},
			PeerName:      b.name,
			PeerNamespace: netlink.NsPid(peer.pid),
		}
		if err := netlink.LinkAdd(veth); err != nil {
			return err
		}
		return a.configure()
	})
	if err != nil {
		return err
	}
	return peer.Do(b.configure)
}

// configure sets up one end of a wire, inside its host.
func (p port) configure() error {
	link, err := netlink.LinkByName(p.name)
	if err != nil {
		return err
	}
	if br, err := netlink.LinkByName(bridge); err == nil && len(p.addrs) == 0 {
		if err := netlink.LinkSetMaster(link, br); err != nil {
			return fmt.Errorf("joining bridge: %w", err)
		}
	}
	for _, a := range p.addrs {
		if err := netlink.AddrAdd(link, address(a)); err != nil {
			return fmt.Errorf("adding address %s: %w", a, err)
		}
	}
	return netlink.LinkSetUp(link)
}

// address translates a prefix for the kernel.
func address(p netip.Prefix) *netlink.Addr {
	a := &netlink.Addr{IPNet: &net.IPNet{
		IP:   p.Addr().AsSlice(),
		Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
	}}
	if p.Addr().Is6() {
		// See setDefaults.
		a.Flags = unix.IFA_F_NODAD
	}
	return a
}

// addRoutes makes the default routes of one end, inside its host.
func (p port) addRoutes() error {
	for _, gw := range p.via {
		link, err := netlink.LinkByName(p.name)
		if err != nil {
			return err
		}
		r := &netlink.Route{LinkIndex: link.Attrs().Index, Gw: gw.AsSlice()}
		if err := netlink.RouteAdd(r); err != nil {
			return fmt.Errorf("adding default route via %s: %w", gw, err)
		}
	}
	return nil
}

// awaitCarrier waits until the kernel has noticed, in its own time, that the
// other end is up: a test may compare links before and after.
func (p port) awaitCarrier() error {
	return Await(5*time.Second, func() error {
		link, err := netlink.LinkByName(p.name)
		if err != nil {
			return err
		}
		if state := link.Attrs().OperState; state != netlink.OperUp {
			return fmt.Errorf("state is %s", state)
		}
		return nil
	})
}
