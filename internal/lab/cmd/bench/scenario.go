package main

import "fmt"

// The files on the lab host.
const (
	folder   = "/etc/bench/"
	topology = folder + "site.yaml"
	hubs     = folder + "hub.yaml"
	keyFile  = folder + "wg0.key"
	setconf  = folder + "wg0.conf"
	routes   = folder + "routes"
	quick    = folder + "quick/wg0.conf"
)

// scenario is one comparison: command lines of vpnctl with those that others would use.
type scenario struct {
	peers         int
	name, against string
	aim           float64 // of the ratio; 0 for none
	pairs         int
	warm          bool // a pair that does not count comes first
	ours, theirs  [][]string
	// before is done on one host, on which all runs then are; without it, each run has
	// a host of its own. No interface is ever removed: the kernel takes milliseconds
	// for each of its peers, and more on an emulated processor.
	before [][]string
}

// The command lines of both sides.
var (
	apply    = [][]string{{"vpnctl", "apply", topology}}
	applyHub = [][]string{{"vpnctl", "apply", hubs}}
	byHand   = [][]string{
		{"ip", "link", "add", "wg0", "type", "wireguard"},
		{"wg", "setconf", "wg0", setconf},
		{"ip", "addr", "add", "10.255.0.1/32", "dev", "wg0"},
		{"ip", "link", "set", "wg0", "up"},
		{"ip", "-batch", routes},
	}
	look    = [][]string{{"wg", "show", "wg0", "dump"}, {"ip", "route", "show"}}
	quickUp = [][]string{{"wg-quick", "up", quick}}
)

// scenarios are the comparisons for one number of peers.
func scenarios(n int, o options) []scenario {
	s := scenario{peers: n, pairs: o.pairs, warm: true, ours: apply}
	if n >= 10000 {
		s.pairs = min(s.pairs, 3)
	}
	first, again := s, s
	first.name, first.against, first.aim, first.theirs = "apply, from nothing", "wg setconf + ip -batch", 1.0, byHand
	again.name, again.against, again.aim, again.theirs = "apply, nothing to do", "wg show dump + ip route show", 1.5, look
	again.before = apply
	all := []scenario{first, again}
	if n > 1000 {
		return all
	}
	// The tools set no sysctl and no rule of iptables: this says what those cost.
	hub := s
	hub.name, hub.against, hub.ours, hub.theirs = "apply of a hub, which forwards", "the same, without forwarding", applyHub, byHand
	all = append(all, hub)
	if o.wgQuick {
		up := s
		up.name, up.against, up.aim, up.theirs = first.name, "wg-quick up", 0.02, quickUp
		if n >= 1000 {
			up.pairs, up.warm = 1, false // it takes minutes
		}
		all = append(all, up)
	}
	return all
}

// measure runs the pairs.
func (s *scenario) measure(m *machine) (row, error) {
	r := row{scenario: *s}
	if err := m.prepare(s); err != nil {
		return r, err
	}
	if s.warm {
		if _, _, err := s.pair(m); err != nil {
			return r, err
		}
	}
	for range s.pairs {
		ours, theirs, err := s.pair(m)
		if err != nil {
			return r, err
		}
		r.add(ours, theirs)
	}
	return r, nil
}

func (s *scenario) pair(m *machine) (ours, theirs usage, err error) {
	if ours, err = m.run(s, s.ours); err != nil {
		return ours, theirs, err
	}
	theirs, err = m.run(s, s.theirs)
	return ours, theirs, err
}

// object names what a row is about, for messages.
func (s *scenario) object() string {
	return fmt.Sprintf("%s, %d peers, against %s", s.name, s.peers, s.against)
}
