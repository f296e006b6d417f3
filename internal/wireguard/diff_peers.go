package wireguard

import (
	"net/netip"
	"slices"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
)

func peerObject(iface, peer string) string { return object(iface) + "/peer/" + peer }

// peerFields compares a peer; a nil have is a new one.
func peerFields(have, want *peer) []backend.Field {
	if have == nil {
		have = &peer{}
	}
	var f fields
	f.prefixes("allowed_ips", have.AllowedIPs, want.AllowedIPs)
	if have.Endpoint != want.Endpoint {
		f.add("endpoint", endpointValue(have.Endpoint), endpointValue(want.Endpoint))
	}
	if have.Keepalive != want.Keepalive {
		f.add("persistent_keepalive", durationValue(have.Keepalive), durationValue(want.Keepalive))
	}
	if have.PresharedKey != want.PresharedKey {
		f.add("preshared_key", secretValue(have.PresharedKey != ""), secretValue(want.PresharedKey != ""))
	}
	return f
}

func endpointValue(e netip.AddrPort) backend.Value {
	if !e.IsValid() {
		return backend.Value{}
	}
	return backend.Text(e.String())
}

func durationValue(d time.Duration) backend.Value {
	if d == 0 {
		return backend.Value{}
	}
	return backend.Text(d.String())
}

// same reports whether a peer needs no change; on most runs it is asked once a peer.
func same(have, want *peer) bool {
	return have.PresharedKey == want.PresharedKey && have.Endpoint == want.Endpoint &&
		have.Keepalive == want.Keepalive && slices.Equal(have.AllowedIPs, want.AllowedIPs)
}

func (d *differ) createdPeer(iface string, p *peer) backend.Change {
	return backend.Change{Action: backend.Create, Object: peerObject(iface, p.Name), Fields: peerFields(nil, p)}
}

// peerDiff is the difference between the peers of one interface.
type peerDiff struct {
	d       *differ
	t       *target
	from    []peer // of the peers that are set: those of them that are there
	to      []peer
	strays  []int // in have.Peers: to be removed
	changes []backend.Change
	created map[string]created // by the name of the peer
}

// created is where a new peer stands in to and changes.
type created struct{ to, change int }

// updatePeers plans new and changed peers, and later the removal of others. An allowed
// IP that moves is simply given to its new peer: the kernel takes it from the old one
// in the same moment, so that no packet finds nobody. Therefore the old one belongs to
// the same operation even if it is to go: undo has to give it back.
func (d *differ) updatePeers(t *target) {
	p := &peerDiff{d: d, t: t, created: map[string]created{}}
	wanted := p.set()
	p.findStrays(wanted)
	lost := p.robbed()
	if len(p.to) > 0 || len(p.changes) > 0 {
		op := backend.Op{Kind: opPeers, From: p.peers(p.from), To: p.peers(p.to)}
		d.step(backend.PhasePeer, op, p.changes...)
	}
	p.remove(lost)
}

func (p *peerDiff) peers(list []peer) any {
	if len(list) == 0 {
		return nil
	}
	return &peerSet{p.t.place, false, list}
}

// set collects peers that are new or differ, and reports which of have.Peers are wanted.
func (p *peerDiff) set() []bool {
	t := p.t
	wanted := make([]bool, len(t.have.Peers))
	for i := range t.Peers {
		want := &t.Peers[i]
		at, ok := t.have.peers[want.PublicKey]
		switch {
		case !ok:
			p.created[want.Name] = created{len(p.to), len(p.changes)}
			p.to = append(p.to, *want)
			p.changes = append(p.changes, p.d.createdPeer(t.Name, want))
			continue
		case !same(&t.have.Peers[at], want):
			p.from = append(p.from, t.have.Peers[at])
			p.to = append(p.to, *want)
			p.changes = append(p.changes, p.d.updatedPeer(t, &t.have.Peers[at], want))
		}
		wanted[at] = true
	}
	return wanted
}

func (d *differ) updatedPeer(t *target, have, want *peer) backend.Change {
	c := backend.Change{Action: backend.Update, Object: peerObject(t.Name, want.Name), Fields: peerFields(have, want)}
	if have.PresharedKey != want.PresharedKey {
		c.Note = otherEnd
	}
	return c
}

func (p *peerDiff) findStrays(wanted []bool) {
	for i, ok := range wanted {
		if !ok {
			p.strays = append(p.strays, i)
		}
	}
}

// robbed adds the strays that lose allowed IPs to the peers that are set, and returns
// what each stray is left with.
func (p *peerDiff) robbed() map[int][]netip.Prefix {
	if len(p.strays) == 0 || len(p.to) == 0 {
		return nil
	}
	taken := map[netip.Prefix]bool{}
	for i := range p.to {
		for _, a := range p.to[i].AllowedIPs {
			taken[a] = true
		}
	}
	lost := map[int][]netip.Prefix{}
	for _, i := range p.strays {
		stray := p.t.have.Peers[i]
		left := slices.DeleteFunc(slices.Clone(stray.AllowedIPs), func(a netip.Prefix) bool { return taken[a] })
		if len(left) == len(stray.AllowedIPs) {
			continue
		}
		p.from = append(p.from, stray)
		lost[i] = left
		stray.AllowedIPs = left
		p.to = append(p.to, stray)
	}
	return lost
}

// remove plans the removal of the strays. One that goes because its peer has a new key
// has its line already.
func (p *peerDiff) remove(lost map[int][]netip.Prefix) {
	if len(p.strays) == 0 {
		return
	}
	var gone []peer
	var changes []backend.Change
	for _, i := range p.strays {
		stray := p.t.have.Peers[i]
		changes = append(changes, p.removed(&stray, p.t.have.live[i])...)
		if left, ok := lost[i]; ok {
			stray.AllowedIPs = left
		}
		gone = append(gone, stray)
	}
	p.d.step(backend.PhaseRemovePeer, backend.Op{Kind: opPeers, From: p.peers(gone)}, changes...)
}

// removed is the line of one stray.
func (p *peerDiff) removed(stray *peer, l liveness) []backend.Change {
	name := peerName(p.t.applied, stray.PublicKey)
	var sessions []backend.Session
	if p.d.alive(l) {
		sessions = []backend.Session{session(p.t.Name, name, stray.Endpoint)}
	}
	if at, ok := p.created[name]; ok {
		p.rekey(at, stray, sessions)
		return nil
	}
	return []backend.Change{{
		Action: backend.Delete, Object: peerObject(p.t.Name, name), Impact: impact("removes the peer", sessions),
	}}
}

// rekey turns the creation of a peer into the change of its key.
func (p *peerDiff) rekey(at created, stray *peer, sessions []backend.Session) {
	c, want := &p.changes[at.change], &p.to[at.to]
	c.Action = backend.Update
	c.Fields = backend.SortFields(append(peerFields(stray, want), backend.Field{
		Name: "public_key", Have: backend.Text(stray.PublicKey.String()), Want: backend.Text(want.PublicKey.String()),
	}))
	c.Note = otherEnd
	c.Impact = impact("changes the public key", sessions)
}
