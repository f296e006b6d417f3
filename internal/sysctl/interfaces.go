package sysctl

import (
	"fmt"
	"strings"
)

// addAcceptRA adds what IPv6 forwarding needs on this host: a router ignores router
// advertisements at accept_ra=1, and loses the default route that it has from one. At 0
// somebody else reads them (NetworkManager, networkd), at 2 the owner has seen to it.
func (d *differ) addAcceptRA(n Network) error {
	if d.want[forward6] != "1" {
		return nil
	}
	names, err := n.Advertised()
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
	return d.keep(acceptRA, d.addWant)
}

// addSendRedirects adds what a host needs that sends no redirects. An interface has its own
// word on it once it has an address, beside that of all of them: the kernel sends where
// either says so.
func (d *differ) addSendRedirects(n Network) error {
	if d.want[sendRedirects("default")] != "0" {
		return nil
	}
	names, err := n.Shared()
	if err != nil {
		return fmt.Errorf("reading interfaces: %w", err)
	}
	off := func(key string) {
		if _, ok := d.want[key]; !ok {
			d.want[key], d.now[key] = "0", true
		}
	}
	for _, name := range names {
		key := sendRedirects(name)
		if v, ok, err := get(d.settings, key); err != nil {
			return err
		} else if ok && v == "1" && !d.ofOurLink(key) {
			off(key)
		}
	}
	return d.keep(sendRedirects, off)
}

// keep wants again what is remembered of interfaces that are there.
func (d *differ) keep(of func(iface string) string, want func(key string)) error {
	for name := range d.in.Memory {
		key, ok := strings.CutPrefix(name, recordPrefix)
		_, iface, _, _ := confOf(key)
		if !ok || !ofInterface(key) || key != of(iface) {
			continue
		}
		if _, ok, err := get(d.settings, key); err != nil {
			return err
		} else if ok {
			want(key)
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

func sendRedirects(iface string) string { return "net/ipv4/conf/" + iface + "/send_redirects" }
