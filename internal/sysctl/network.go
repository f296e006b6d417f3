package sysctl

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// kernelNetwork is the Network of the real host.
type kernelNetwork struct{}

// Advertised implements Network.
func (kernelNetwork) Advertised() (names []string, err error) {
	c, err := rtnl.Open("")
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	routes, err := c.Routes(rtnl.RouteFilter{Protocol: unix.RTPROT_RA})
	if err != nil {
		return nil, err
	}
	routes = slices.DeleteFunc(routes, func(r rtnl.Route) bool { return r.Dst.Bits() != 0 })
	if len(routes) == 0 {
		return nil, nil
	}
	links, err := c.Links()
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		if slices.ContainsFunc(routes, func(r rtnl.Route) bool { return r.Index == l.Index }) {
			names = append(names, l.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Shared implements Network. A link between two has a peer, and one of WireGuard no
// neighbours.
func (kernelNetwork) Shared() (names []string, err error) {
	c, err := rtnl.Open("")
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	links, err := c.Links()
	if err != nil {
		return nil, err
	}
	addrs, err := c.Addrs(0)
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		if !l.Loopback && l.Kind != "wireguard" && l.Kind != "xfrm" && slices.ContainsFunc(addrs, func(a rtnl.Addr) bool {
			return a.Index == l.Index && a.Prefix.Addr().Is4() && !a.Peer.IsValid()
		}) {
			names = append(names, l.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}
