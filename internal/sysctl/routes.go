package sysctl

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// kernelRoutes is the Routes of the real host.
type kernelRoutes struct{}

func (kernelRoutes) Advertised() (names []string, err error) {
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
