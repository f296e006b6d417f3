package wireguard

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// checker collects what stands in the way of the wanted state. It reads no more than it
// must: where the last apply had the same port or route, nobody else has it now.
type checker struct {
	*Backend
	in    backend.Input
	links map[string][]rtnl.Link // by namespace; none of one that is not there
	errs  []error
}

// Check implements backend.Backend.
func (b *Backend) Check(ctx context.Context, in backend.Input) error {
	if err := b.checkSite(in); err != nil {
		return err
	}
	if len(in.Want.Interfaces) == 0 && (in.Applied == nil || len(in.Applied.Interfaces) == 0) {
		return nil
	}
	if !b.Probe.Privileged() {
		return backend.Refuse("wireguard", "run as root", "no permission to configure the network (CAP_NET_ADMIN)")
	}
	c := &checker{Backend: b, in: in, links: map[string][]rtnl.Link{}}
	if err := c.list(); err != nil {
		return err
	}
	for i := range in.Want.Interfaces {
		want := &in.Want.Interfaces[i]
		c.checkLink(want)
		c.checkSettings(want)
		c.checkDNS(ctx, want)
	}
	if err := c.checkPorts(); err != nil {
		return err
	}
	if err := c.checkRoutes(); err != nil {
		return err
	}
	return errors.Join(c.errs...)
}

func (c *checker) refuse(object, cure, format string, args ...any) {
	c.errs = append(c.errs, backend.Refuse(object, cure, format, args...))
}

func (c *checker) list() error {
	for _, netns := range namespacesOf(c.in) {
		n, err := c.Network(netns)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return inNetns(netns, err)
		}
		links, err := n.Links()
		_ = n.Close()
		if err != nil {
			return inNetns(netns, err)
		}
		c.links[netns] = links
	}
	return nil
}

// find finds a link by its place.
func (c *checker) find(p place) (rtnl.Link, bool) {
	at := slices.IndexFunc(c.links[p.Netns], func(l rtnl.Link) bool { return l.Name == p.Name })
	if at < 0 {
		return rtnl.Link{}, false
	}
	return c.links[p.Netns][at], true
}

// ours reports whether the link is there and is ours.
func (c *checker) ours(p place) bool {
	l, ok := c.find(p)
	return ok && l.Alias == aliasOf(c.in.Want.Site)
}

// checkLink looks for a foreign link of the name, and for what could carry a new one.
func (c *checker) checkLink(want *desired.Interface) {
	p := place{want.Name, want.Netns}
	l, there := c.find(p)
	site := otherSite(l, c.in.Want.Site)
	switch {
	case !there:
		c.checkBirth(want)
	case l.Alias == aliasOf(c.in.Want.Site), begun(c.in, l):
	case site != "":
		c.refuse(object(want.Name), "rename it in the topology, or `vpnctl destroy` that site first",
			"an interface of that name exists and belongs to site %s", site)
	case !c.in.Options.Adopt:
		c.refuse(object(want.Name), "rename it in the topology, remove it, or `apply --adopt`",
			"an interface of that name exists and is not vpnctl's")
	case !c.answers(p, l):
		c.refuse(object(want.Name), "rename it in the topology, or remove it",
			"an interface of that name exists and is not WireGuard's")
	}
}

// answers reports whether a link that is to be taken over is a WireGuard device.
func (c *checker) answers(p place, l rtnl.Link) bool {
	if !isWireGuard(l) {
		return false
	}
	d, err := c.open(p)
	if err != nil {
		return false
	}
	defer d.close()
	if d.wireguard(c.Backend) != nil {
		return false
	}
	_, err = d.wg.Device(p.Name)
	return err == nil
}

func (c *checker) checkBirth(want *desired.Interface) {
	if want.Netns != "" {
		if l, there := c.find(place{Name: want.Name}); there && l.Alias != aliasOf(c.in.Want.Site) && !begun(c.in, l) {
			c.refuse(object(want.Name), "rename it in the topology, or remove the other",
				"an interface of that name exists outside network namespace %s, where this one would be made", want.Netns)
		}
	}
	kernel := !c.in.Options.Userspace && c.Probe.Kernel()
	switch userspace := c.Userspace != nil; {
	case kernel, userspace && c.Probe.Tun():
	case !userspace:
		c.refuse(object(want.Name), "load the module wireguard", "this kernel has no WireGuard")
	case c.in.Options.Userspace:
		c.refuse(object(want.Name), "load the module tun", "userspace WireGuard needs /dev/net/tun")
	default:
		c.refuse(object(want.Name), "load the module wireguard, or tun for userspace WireGuard",
			"this kernel has no WireGuard, and there is no /dev/net/tun")
	}
}

// checkSettings looks at what no kernel would take.
func (c *checker) checkSettings(want *desired.Interface) {
	if _, err := c.Secrets.Value(want.PrivateKey); want.PrivateKey == "" || err != nil {
		c.refuse(object(want.Name), "put it where the topology says, or `vpnctl keygen` a new one", "the private key is missing")
	}
	if want.MTU != 0 && want.MTU < minMTU6 && slices.ContainsFunc(want.Addresses, is6) {
		c.refuse(object(want.Name), "raise mtu to 1280, or remove the IPv6 addresses",
			"IPv6 needs an MTU of 1280, not %d", want.MTU)
	}
}

func (c *checker) checkDNS(ctx context.Context, want *desired.Interface) {
	switch {
	case !hasDNS(want):
		return
	case want.Netns != "":
		c.refuse(object(want.Name), "write /etc/netns/"+want.Netns+"/resolv.conf instead of dns",
			"the host's resolver does not reach into network namespace %s", want.Netns)
		return
	case c.Resolver != nil:
		l, _ := c.find(place{Name: want.Name})
		if _, err := c.Resolver.Get(ctx, want.Name, l.Index); !errors.Is(err, errors.ErrUnsupported) {
			return
		}
	}
	c.refuse(object(want.Name), "install systemd-resolved or openresolv", "nothing on this host takes the DNS servers of an interface")
}

// checkPorts looks for listen ports that somebody else has. Between interfaces of ours
// they may change hands.
func (c *checker) checkPorts() error {
	var used, own map[int]bool
	for i := range c.in.Want.Interfaces {
		want := &c.in.Want.Interfaces[i]
		before := appliedTo(c.in.Applied, want.Name).iface
		if want.ListenPort == 0 ||
			before != nil && before.ListenPort == want.ListenPort && c.ours(place{want.Name, want.Netns}) {
			continue
		}
		if used == nil {
			var err error
			if used, err = c.Probe.Ports(); err != nil {
				return err
			}
		}
		if !used[want.ListenPort] {
			continue
		}
		if own == nil {
			var err error
			if own, err = c.ownPorts(); err != nil {
				return err
			}
		}
		if !own[want.ListenPort] {
			c.refuse(object(want.Name), "choose another listen_port, or stop what uses it",
				"UDP port %d is in use", want.ListenPort)
		}
	}
	return nil
}

// ownPorts lists the ports of our interfaces and of those that are taken over.
func (c *checker) ownPorts() (map[int]bool, error) {
	ports := map[int]bool{}
	for netns, links := range c.links {
		for _, l := range links {
			if !isWireGuard(l) || l.Alias != aliasOf(c.in.Want.Site) && !adopts(c.in, netns, l) {
				continue
			}
			port, err := c.port(place{l.Name, netns})
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, within(place{l.Name, netns}, err)
			}
			ports[port] = true
		}
	}
	return ports, nil
}

func (c *checker) port(p place) (int, error) {
	d, err := c.open(p)
	if err != nil {
		return 0, err
	}
	defer d.close()
	if err := d.wireguard(c.Backend); err != nil {
		return 0, err
	}
	w, err := d.wg.Device(p.Name)
	if err != nil {
		return 0, err
	}
	return w.ListenPort, nil
}
