package lockout

import (
	"fmt"
	"net/netip"
	"strings"
)

// leg is one part of a packet's way.
type leg struct {
	// id is the same where packets go the same way.
	id string
	// text is the leg in a message.
	text string
	// objects of ours make the leg what it is, the likeliest to be in a plan first.
	objects []string
	// carriers are what of the plan's sessions carries the packet, by session.
	carriers []carrier
	nowhere  bool
}

// carrier is what a session of a plan is compared with; empty fields match anything.
type carrier struct {
	protocol, name, peer string
	address              string
}

type way []leg

// nowhere reports whether the packet is lost.
func (w way) nowhere() bool { return len(w) == 0 || w[len(w)-1].nowhere }

func (w way) String() string {
	var words []string
	for _, l := range w {
		if l.text != "" {
			words = append(words, l.text)
		}
	}
	if w.nowhere() {
		return "nowhere: " + words[len(words)-1]
	}
	return strings.Join(words, ", ")
}

// depth bounds tunnels inside of tunnels; one that leads into itself is lost.
const depth = 4

// follow returns the way of a packet of the operator's connection.
func (v *view) follow(p packet) way {
	var w way
	if p.src.IsValid() {
		i := v.own(p.src)
		if i < 0 {
			return way{{id: "no address", text: "this host has no address " + p.src.String(), nowhere: true}}
		}
		w = way{{id: "from " + p.src.String(), objects: nonEmpty(v.addrs[i].object)}}
	}
	return append(w, v.leave(p, depth)...)
}

// leave returns the way of a packet out of this host.
func (v *view) leave(p packet, depth int) way {
	if depth == 0 {
		return way{{id: "loop", text: "a tunnel would lead into itself", nowhere: true}}
	}
	if i := v.own(p.dst); i >= 0 {
		return way{{id: "local", text: p.dst.String() + " would be this host itself", objects: nonEmpty(v.addrs[i].object), nowhere: true}}
	}
	r, found := v.lookup(p)
	if s := v.policy(p, r); s != nil {
		return v.protect(s, p)
	}
	if !found || r.Unreachable {
		return way{{id: "no route", text: "there is no route to " + p.dst.String(), objects: r.objects, nowhere: true}}
	}
	w := way{v.through(r)}
	if l, dropped := v.dropped(p, r.dev); dropped {
		return append(w, l)
	}
	if t := v.tunnel(r.dev); t != nil {
		return append(w, v.wrap(t, p, depth)...)
	}
	return w
}

// dropped is the leg of a packet that a filter does not let through.
func (v *view) dropped(p packet, dev string) (leg, bool) {
	for _, f := range v.filters {
		if f.drops(p, dev) {
			return leg{id: "drop", text: "it would be dropped", objects: nonEmpty(f.object), nowhere: true}, true
		}
	}
	return leg{}, false
}

// through is the leg of a route.
func (v *view) through(r route) leg {
	l := leg{id: "through " + r.dev, text: "through " + r.dev, objects: r.objects}
	if r.Gateway.IsValid() {
		l.id += " via " + r.Gateway.String()
		l.text = l.id
	}
	for _, name := range v.sessions[r.dev] {
		l.carriers = append(l.carriers, carrier{protocol: "ipsec", name: name})
	}
	if strings.HasPrefix(r.dev, "ppp") && r.Dst.IsSingleIP() {
		l.carriers = append(l.carriers, carrier{address: r.Dst.Addr().String()})
	}
	return l
}

// protect is the way of a packet that a policy takes. What it becomes asks no policy again.
func (v *view) protect(s *Policy, p packet) way {
	l := leg{id: "policy", text: "into IPsec"}
	if s.Connection != "" {
		object := "ipsec/" + s.Connection
		l.id = object + "/child/" + s.Child
		l.text += " " + s.Connection
		l.objects = []string{l.id, object}
		l.carriers = []carrier{{protocol: "ipsec", name: s.Connection, peer: s.Connection},
			{protocol: "ipsec", name: s.Connection, address: p.dst.String()}}
	}
	if !s.Remote.IsValid() {
		return way{l}
	}
	l.id += " to " + s.Remote.String()
	outer, found := v.lookup(packet{dst: s.Remote, proto: "esp"})
	if !found {
		return way{l, {id: "no route", text: "there is no route to " + s.Remote.String(), nowhere: true}}
	}
	if d, dropped := v.dropped(packet{dst: s.Remote, proto: "esp"}, outer.dev); dropped {
		return way{l, v.through(outer), d}
	}
	return way{l, v.through(outer)}
}

// wrap is the way of a packet that WireGuard sends on.
func (v *view) wrap(t *Tunnel, p packet, depth int) way {
	peer := t.carrier(p.dst)
	if peer == nil {
		return way{{id: "no peer", text: fmt.Sprintf("%s has no peer for %s", t.Name, p.dst), nowhere: true,
			objects: []string{"wireguard/" + t.Name}}}
	}
	name := peer.Name
	if name == "" {
		name = peer.Key
	}
	l := leg{
		id:       fmt.Sprintf("peer %s %d %s %s at %s", t.Key, t.Port, peer.Key, peer.Preshared, peer.Endpoint),
		text:     "to peer " + name,
		objects:  []string{"wireguard/" + t.Name + "/peer/" + name, "wireguard/" + t.Name},
		carriers: []carrier{{protocol: "wireguard", name: t.Name, peer: name}},
	}
	if !peer.Endpoint.IsValid() {
		l.text, l.nowhere = fmt.Sprintf("nobody knows where peer %s of %s is", name, t.Name), true
		return way{l}
	}
	l.text += " at " + peer.Endpoint.String()
	return append(way{l}, v.leave(packet{
		dst: peer.Endpoint.Addr(), proto: "udp", sport: uint16(t.Port), dport: peer.Endpoint.Port(), mark: t.Mark,
	}, depth-1)...)
}

// carrier is the peer with the longest allowed IP that holds an address.
func (t *Tunnel) carrier(dst netip.Addr) *Peer {
	var best *Peer
	bits := -1
	for i := range t.Peers {
		for _, a := range t.Peers[i].AllowedIPs {
			if a.Bits() > bits && a.Contains(dst) {
				best, bits = &t.Peers[i], a.Bits()
			}
		}
	}
	return best
}

func (v *view) tunnel(name string) *Tunnel {
	for i := range v.tunnels {
		if v.tunnels[i].Name == name {
			return &v.tunnels[i]
		}
	}
	return nil
}

// own finds an address of this host, -1 for another's.
func (v *view) own(a netip.Addr) int {
	for i := range v.addrs {
		if v.addrs[i].Addr == a {
			return i
		}
	}
	return -1
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}
