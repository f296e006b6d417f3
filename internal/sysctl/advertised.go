package sysctl

import (
	"fmt"
	"strings"
)

// addAcceptRA adds what IPv6 forwarding needs on this host: a router ignores router
// advertisements at accept_ra=1, and loses the default route that it has from one. At 0
// somebody else reads them (NetworkManager, networkd), at 2 the owner has seen to it.
func (d *differ) addAcceptRA(r Routes) error {
	if d.want[forward6] != "1" {
		return nil
	}
	names, err := r.Advertised()
	if err != nil {
		return fmt.Errorf("reading advertised routes: %w", err)
	}
	for _, name := range names {
		key := acceptRA(name)
		if v, ok, err := get(d.settings, key); err != nil {
			return err
		} else if ok && v == "1" {
			d.addWant(key)
		}
	}
	// What was set earlier stays: the router may be away for a while.
	for name := range d.in.Memory {
		key, ok := strings.CutPrefix(name, recordPrefix)
		_, iface, _, conf := confOf(key)
		if !ok || !conf || key != acceptRA(iface) {
			continue
		}
		// Of an interface that is gone there is nothing to want.
		if _, ok, err := get(d.settings, key); err != nil {
			return err
		} else if ok {
			d.addWant(key)
		}
	}
	return nil
}

// addWant wants a router's accept_ra, unless the topology has its own word on it.
func (d *differ) addWant(key string) {
	if _, ok := d.want[key]; !ok {
		d.want[key] = "2"
	}
}

func acceptRA(iface string) string { return "net/ipv6/conf/" + iface + "/accept_ra" }
