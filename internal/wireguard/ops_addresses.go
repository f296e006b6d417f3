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
			err := d.Do(addAddrs(d.link.Index, to.List)...)
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
	addrs, err := d.Addrs(d.link.Index)
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
func (d *device) changeAddresses(have, want []netip.Prefix) (err error) {
	for range raceTries {
		add, gone := without(want, have), without(have, want)
		if len(add)+len(gone) == 0 {
			return nil
		}
		err = d.Do(append(addAddrs(d.link.Index, add), delAddrs(d.link.Index, gone)...)...)
		if err != nil && !errors.Is(err, fs.ErrNotExist) || len(gone) == 0 {
			return err
		}
		if have, err = d.addresses(); err != nil {
			return err
		}
	}
	return err
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
