package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Link is one line of a lab's description.
//
// The end of a link is written "HOST:INTERFACE [ADDRESS/BITS]... [via GATEWAY]...":
// the host is made where it is first named, the interface gets the addresses,
// and a gateway makes a default route.
type Link struct {
	lan   string
	ends  []string
	hosts []string
}

// Wire connects two interfaces back to back.
func Wire(a, b string) Link {
	return Link{ends: []string{a, b}}
}

// LAN connects any number of interfaces by a switch. The switch is a host
// itself, named like the LAN: it holds the bridge "br0" with one port per
// host, named like the host. Capturing there shows the real wire, and setting
// a port down pulls its cable.
func LAN(name string, ends ...string) Link {
	return Link{lan: name, ends: ends}
}

// Alone makes hosts that need no link.
func Alone(hosts ...string) Link {
	return Link{hosts: hosts}
}

// port is one parsed end of a link.
type port struct {
	host  string
	name  string
	addrs []netip.Prefix
	via   []netip.Addr
}

// plan is a parsed description.
type plan struct {
	hosts []string // in order of appearance, switches included
	lans  []string
	wires [][2]port // a port of a switch has the switch as its host
}

// parse reads a description, without touching the machine.
func parse(links []Link) (plan, error) {
	var p plan
	for _, l := range links {
		if err := p.add(l); err != nil {
			return plan{}, err
		}
	}
	if len(p.hosts) == 0 {
		return plan{}, errors.New("describing lab: no hosts")
	}
	return p, nil
}

// add reads one link into the plan.
func (p *plan) add(l Link) error {
	var ports []port
	for _, end := range l.ends {
		e, err := parseEnd(end)
		if err != nil {
			return fmt.Errorf("describing link %q: %w", end, err)
		}
		ports = append(ports, e)
		l.hosts = append(l.hosts, e.host)
	}
	if l.lan != "" {
		l.hosts = append(l.hosts, l.lan)
		p.lans = append(p.lans, l.lan)
		for _, e := range ports {
			p.wires = append(p.wires, [2]port{{host: l.lan, name: e.host}, e})
		}
	} else if len(ports) == 2 {
		p.wires = append(p.wires, [2]port{ports[0], ports[1]})
	}
	return p.addHosts(l.hosts)
}

// addHosts notes hosts not seen before.
func (p *plan) addHosts(names []string) error {
	for _, name := range names {
		// A host's name is also the name of its port on a switch, hence
		// the kernel's limit for interfaces.
		if name == "" || len(name) > 15 || strings.ContainsAny(name, "/: ") {
			return fmt.Errorf("describing host %q: name is not 1 to 15 plain characters", name)
		}
		if !slices.Contains(p.hosts, name) {
			p.hosts = append(p.hosts, name)
		}
	}
	return nil
}

// parseEnd reads "HOST:INTERFACE [ADDRESS/BITS]... [via GATEWAY]...".
func parseEnd(s string) (port, error) {
	words := strings.Fields(s)
	if len(words) == 0 {
		return port{}, errors.New("reading end: empty")
	}
	var p port
	var ok bool
	if p.host, p.name, ok = strings.Cut(words[0], ":"); !ok || p.name == "" {
		return port{}, errors.New("reading end: no HOST:INTERFACE")
	}
	gateway := false
	for _, w := range words[1:] {
		switch {
		case w == "via":
			gateway = true
			continue
		case gateway:
			a, err := netip.ParseAddr(w)
			if err != nil {
				return port{}, fmt.Errorf("reading gateway: %w", err)
			}
			p.via = append(p.via, a)
		default:
			a, err := netip.ParsePrefix(w)
			if err != nil {
				return port{}, fmt.Errorf("reading address: %w", err)
			}
			p.addrs = append(p.addrs, a)
		}
		gateway = false
	}
	return p, nil
}
