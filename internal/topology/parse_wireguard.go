package topology

import (
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// memberDefaults are what a network may say once for all of its members.
var memberDefaults = fields[Member]{
	"listen_port":          func(m *Member, v *value) { v.port(&m.ListenPort) },
	"mtu":                  func(m *Member, v *value) { v.mtu(&m.MTU) },
	"fwmark":               func(m *Member, v *value) { v.fwMark(&m.FwMark) },
	"table":                func(m *Member, v *value) { v.table(&m.Table) },
	"dns":                  func(m *Member, v *value) { v.dns(&m.DNS) },
	"netns":                func(m *Member, v *value) { v.nameOf(&m.NetNS, namespaceNames) },
	"hooks":                func(m *Member, v *value) { decode(v, hookFields, &m.Hooks) },
	"persistent_keepalive": func(m *Member, v *value) { v.keepalive(&m.PersistentKeepalive) },
	"private_key":          func(m *Member, v *value) { v.secret(&m.PrivateKey, tunnelKey) },
}

// memberFields are what each member says for itself, besides the defaults.
var memberFields = extend(memberDefaults, fields[Member]{
	"addresses":   func(m *Member, v *value) { m.Addresses = v.interfaceAddresses() },
	"public_key":  func(m *Member, v *value) { v.publicKey(&m.PublicKey) },
	"networks":    func(m *Member, v *value) { m.Networks = v.prefixes() },
	"allowed_ips": func(m *Member, v *value) { m.AllowedIPs = v.allowedIPs() },
	"endpoint":    func(m *Member, v *value) { v.endpoint(&m.Endpoint) },
})

var peerFields = fields[Peer]{
	"addresses":   func(p *Peer, v *value) { p.Addresses = v.interfaceAddresses() },
	"public_key":  func(p *Peer, v *value) { v.publicKey(&p.PublicKey) },
	"networks":    func(p *Peer, v *value) { p.Networks = v.prefixes() },
	"allowed_ips": func(p *Peer, v *value) { p.AllowedIPs = v.allowedIPs() },
	"endpoint":    func(p *Peer, v *value) { v.endpoint(&p.Endpoint) },
	"persistent_keepalive": func(p *Peer, v *value) {
		p.PersistentKeepalive = new(time.Duration)
		v.keepalive(p.PersistentKeepalive)
	},
	"preshared_key": func(p *Peer, v *value) { v.secret(&p.PresharedKey, preshared) },
	"via":           func(p *Peer, v *value) { p.ViaPos, p.Via = v.pos(), v.lines() },
}

var hookFields = fields[Hooks]{
	"pre_up":    func(h *Hooks, v *value) { h.PreUp = list(v, (*value).argument) },
	"post_up":   func(h *Hooks, v *value) { h.PostUp = list(v, (*value).argument) },
	"pre_down":  func(h *Hooks, v *value) { h.PreDown = list(v, (*value).argument) },
	"post_down": func(h *Hooks, v *value) { h.PostDown = list(v, (*value).argument) },
}

// rawNetwork is a network whose members wait for its defaults.
type rawNetwork struct {
	Network
	defaults Member
	members  *value
}

// networkFields leaves out private_key's twin: a network has no key of its own.
var networkFields = func() fields[rawNetwork] {
	f := fields[rawNetwork]{
		"hub":            func(n *rawNetwork, v *value) { n.HubPos = v.pos(); v.nameOf(&n.Hub, nodeNames) },
		"members":        func(n *rawNetwork, v *value) { n.members = v },
		"peers":          func(n *rawNetwork, v *value) { n.Peers = named(v, peerNames, readPeer) },
		"preshared_key":  func(n *rawNetwork, v *value) { v.secret(&n.PresharedKey, preshared) },
		"preshared_keys": func(n *rawNetwork, v *value) { n.PresharedKeys = list(v, (*value).pairKey) },
	}
	for name, read := range memberDefaults {
		f[name] = func(n *rawNetwork, v *value) { read(&n.defaults, v) }
	}
	return f
}()

func extend[T any](base, more fields[T]) fields[T] {
	all := make(fields[T], len(base)+len(more))
	for _, f := range []fields[T]{base, more} {
		for name, read := range f {
			all[name] = read
		}
	}
	return all
}

func readNetwork(v *value) Network {
	raw := rawNetwork{Network: Network{Name: v.name, Pos: v.keyPos()}}
	decode(v, networkFields, &raw)
	v.require("members", "the nodes that have this interface")
	if raw.members != nil {
		raw.Members = named(raw.members, nodeNames, func(v *value) Member { return readMember(v, raw.defaults) })
	}
	n := raw.Network
	slices.SortFunc(n.Members, func(a, b Member) int { return strings.Compare(a.Node, b.Node) })
	slices.SortFunc(n.Peers, func(a, b Peer) int { return strings.Compare(a.Name, b.Name) })
	slices.SortStableFunc(n.PresharedKeys, func(a, b PairKey) int { return slices.Compare(a.Between[:], b.Between[:]) })
	fillVia(&n)
	return n
}

// fillVia gives each peer that does not say it the members that have it.
func fillVia(n *Network) {
	var all []string
	if n.Hub != "" {
		all = []string{n.Hub}
	} else {
		for i := range n.Members {
			all = append(all, n.Members[i].Node)
		}
	}
	for i := range n.Peers {
		if n.Peers[i].ViaPos.Line == 0 {
			n.Peers[i].Via = all
		}
	}
}

func readMember(v *value, defaults Member) Member {
	m := defaults
	m.Node, m.Pos = v.name, v.keyPos()
	decode(v, memberFields, &m)
	if !v.draft {
		v.require("public_key", "the others need it; vpnctl keygen --topology FILE --node "+m.Node+" fills it in")
	}
	if m.PrivateKey == nil && !v.bad && !v.has("private_key") {
		v.warnf(v.keyPos(), "has no private_key: apply on node %s will be refused", m.Node)
	}
	return m
}

func readPeer(v *value) Peer {
	p := Peer{Name: v.name, Pos: v.keyPos()}
	decode(v, peerFields, &p)
	v.require("public_key", "a peer is known by it")
	return p
}

// pairKey reads a secret with the two whom it is for.
func (v *value) pairKey() (PairKey, bool) {
	pair, named := PairKey{Pos: v.pos()}, false
	ref, ok := v.secretWith(preshared, map[string]func(*value){
		"between": func(between *value) {
			names := between.lines()
			if named = len(names) == 2 && names[0] != names[1]; named {
				slices.Sort(names)
				pair.Between = [2]string(names)
			} else if !between.bad {
				between.fail("must name two members or peers, as in [a, b]")
			}
		},
	})
	v.require("between", "the two members or peers that share the key, as in [a, b]")
	pair.Key = ref
	return pair, ok && named
}

// allowedIPs reads a list, which every other member holds, or a mapping from
// single members to what they hold.
func (v *value) allowedIPs() []AllowedIPs {
	if v.node.Tag != "!!map" {
		if v.null() {
			v.fail("is empty; give a list, [] for none at all, or leave the key out")
		}
		return []AllowedIPs{{Prefixes: v.prefixes()}}
	}
	var all []AllowedIPs
	for member, entry := range v.entries() {
		all = append(all, AllowedIPs{On: member, Pos: entry.keyPos(), Prefixes: entry.prefixes()})
	}
	slices.SortFunc(all, func(a, b AllowedIPs) int { return strings.Compare(a.On, b.On) })
	return all
}

// mtu reads a number or auto.
func (v *value) mtu(into *int) {
	if v.node.Value == "auto" {
		*into = 0
	} else if n, ok := v.number(576, 65535); ok {
		*into = int(n)
	}
}

// fwMark reads a mark, off as wg(8) has it being none.
func (v *value) fwMark(into *uint32) {
	if v.node.Value == "off" {
		*into = 0
	} else if n, ok := v.number(0, math.MaxUint32); ok {
		*into = uint32(n)
	}
}

func (v *value) table(into *Table) {
	switch v.node.Value {
	case "auto":
		*into = Table{}
	case "off":
		*into = Table{Off: true}
	default:
		if n, ok := v.number(1, math.MaxUint32); ok {
			*into = Table{Number: uint32(n)}
		}
	}
}

// dns reads servers and search domains from one list, as wg-quick(8) does.
func (v *value) dns(into *DNS) {
	*into = DNS{}
	for item := range v.items() {
		s, ok := item.text()
		if !ok {
			continue
		}
		if a, err := netip.ParseAddr(s); err == nil {
			into.Servers = append(into.Servers, a)
		} else if domainNames.legal(s) {
			into.Search = append(into.Search, s)
		} else {
			item.fail("%q is neither the address of a DNS server nor a search domain", shorten(s))
		}
	}
}

// keepalive reads what the kernel keeps in 16 bits of seconds.
func (v *value) keepalive(into *time.Duration) {
	if v.node.Value == "off" || v.node.Value == "0" {
		*into = 0
		return
	}
	var d time.Duration
	if !v.duration(&d) {
		return
	}
	if d > math.MaxUint16*time.Second {
		v.fail("%q is not allowed: use at most 65535s", v.node.Value)
		return
	}
	*into = d
}
