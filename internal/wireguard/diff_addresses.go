package wireguard

import (
	"net/netip"
	"slices"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// With an IPv4 address, others of its subnet may leave the link, and with the last one
// all IPv4 routes. Therefore an operation that removes some, or removes them when it is
// undone, holds all addresses and routes that must be there before and after it.

// addAddresses is the operation that gives the link addresses.
func (t *target) addAddresses(add []netip.Prefix) backend.Op {
	if !slices.ContainsFunc(add, is4) {
		return backend.Op{Kind: opAddresses, To: &addressSet{place: t.place, List: add}}
	}
	addrs, routes := t.have.Addresses, t.have.Routes
	if t.removesFirst() {
		addrs, routes = t.kept()
	}
	return t.addressOp(addrs, union(addrs, add), routes)
}

// removeAddresses is the operation that takes addresses from the link.
func (t *target) removeAddresses(del []netip.Prefix) backend.Op {
	if !slices.ContainsFunc(del, is4) {
		return backend.Op{Kind: opAddresses, From: &addressSet{place: t.place, List: del}}
	}
	addrs, routes := t.Addresses, t.Routes // which have come by then
	if t.removesFirst() {
		addrs, routes = t.kept()
	}
	return t.addressOp(union(addrs, del), addrs, routes)
}

// kept is what the link has and keeps.
func (t *target) kept() ([]netip.Prefix, []rtnl.Route) {
	have := &t.have.link
	return without(have.Addresses, without(have.Addresses, t.Addresses)),
		compareRouteLists(have.Routes, compareRouteLists(have.Routes, t.Routes).del).del
}

func (t *target) addressOp(from, to []netip.Prefix, routes []rtnl.Route) backend.Op {
	routes = slices.DeleteFunc(slices.Clone(routes), func(r rtnl.Route) bool { return is6(r.Dst) })
	return backend.Op{
		Kind: opAddresses,
		From: &addressSet{place: t.place, List: from, Routes: routes},
		To:   &addressSet{place: t.place, List: to, Routes: routes},
	}
}
