package wireguard

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"slices"

	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// applyAddresses gives a link addresses and takes others.
func (b *Backend) applyAddresses(_ context.Context, from, to *addressSet) error {
	if from == nil && to == nil || from != nil && undoesFresh(from.Fresh, to) {
		return nil
	}
	return b.onLink(either(from, to).place, to == nil, func(d *device) error {
		if to != nil && to.Fresh {
			err := d.Do(addAddrs(d.index, to.List)...)
			if !errors.Is(err, fs.ErrExist) {
				return err
			}
		}
		return raced(func() error { return d.updateAddresses(from, to) })
	})
}

func (d *device) updateAddresses(from, to *addressSet) error {
	gone, wanted := parts(from, to, func(s *addressSet) []netip.Prefix { return s.List })
	have, err := d.addresses()
	if err != nil {
		return err
	}
	wanted = sorted(wanted)
	target := union(without(have, without(sorted(gone), wanted)), wanted)
	if err := d.changeAddresses(have, target); err != nil {
		return err
	}
	if to == nil || len(to.Routes) == 0 {
		return nil
	}
	return d.addMissing(to.Routes)
}

// addresses lists what somebody gave the link, sorted.
func (d *device) addresses() ([]netip.Prefix, error) {
	addrs, err := d.Addrs(d.index)
	return assigned(addrs), err
}

// assigned leaves out the addresses that the kernel gave the link by itself.
func assigned(addrs []rtnl.Addr) []netip.Prefix {
	var prefixes []netip.Prefix
	for _, a := range addrs {
		if !a.Kernel {
			prefixes = append(prefixes, a.Prefix)
		}
	}
	return sortPrefixes(prefixes)
}

// changeAddresses brings the link from the addresses it has to others. With an IPv4
// address the kernel may remove all others of its subnet, as secondary to it: what went
// along is given back.
func (d *device) changeAddresses(have, want []netip.Prefix) error {
	gone := without(have, want)
	if err := d.Do(append(addAddrs(d.index, without(want, have)), delAddrs(d.index, gone)...)...); err != nil {
		return err
	}
	if len(gone) == 0 {
		return nil
	}
	left, err := d.addresses()
	if err != nil {
		return err
	}
	return d.Do(addAddrs(d.index, without(want, left))...)
}

func addAddrs(index int, prefixes []netip.Prefix) []rtnl.Request {
	requests := make([]rtnl.Request, len(prefixes))
	for i, p := range prefixes {
		requests[i] = rtnl.AddAddr{Index: index, Prefix: p}
	}
	return requests
}

func delAddrs(index int, prefixes []netip.Prefix) []rtnl.Request {
	requests := make([]rtnl.Request, len(prefixes))
	for i, p := range prefixes {
		requests[i] = rtnl.DelAddr{Index: index, Prefix: p}
	}
	return requests
}

// union joins two sorted lists.
func union(a, b []netip.Prefix) []netip.Prefix {
	return slices.Compact(sortPrefixes(slices.Concat(a, b)))
}
