package wireguard

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
)

// differ collects the steps between what is wanted and what there is.
type differ struct {
	in    backend.Input
	now   time.Time
	freed freed
	made  []string // names of new interfaces
	steps []backend.Step
}

// diff compares; it reads nothing but its arguments, and equal ones give no steps.
// Steps of one phase come in the order in which they shall be done.
func diff(want *wanted, h *snapshot, in backend.Input, now time.Time) []backend.Step {
	d := &differ{in: in, now: now}
	d.cutOff(want, h)
	d.addNamespaces(want, h)
	d.free(want, h)
	for i := range want.targets {
		t := &want.targets[i]
		d.remember(t)
		if t.have == nil {
			d.create(t)
		} else {
			d.update(t)
		}
	}
	d.rules(want, h)
	for i := range want.targets {
		d.bringUp(&want.targets[i])
	}
	for i := range h.ours {
		d.remove(want, &h.ours[i])
	}
	d.removeNamespaces(want, h)
	d.forgetBegun()
	return d.steps
}

// begin remembers that an interface is being made. Between a link and its mark there is
// a moment, and a process can end in it.
func (d *differ) begin(name string) {
	if !d.begun(name) {
		d.made = append(d.made, name)
		d.steps = append(d.steps, backend.Remember(backend.PhaseMemory, begunMemory+name, nil, true))
	}
}

func (d *differ) begun(name string) bool {
	_, ok := d.in.Memory[begunMemory+name]
	return ok
}

// forgetBegun forgets what is made, by this plan or by one that was cut off.
func (d *differ) forgetBegun() {
	keys := slices.Sorted(maps.Keys(d.in.Memory))
	for _, name := range d.made {
		keys = append(keys, begunMemory+name)
	}
	for _, key := range keys {
		if strings.HasPrefix(key, begunMemory) {
			d.steps = append(d.steps, backend.Remember(backend.PhaseForget, key, true, nil))
		}
	}
}

func (d *differ) step(phase backend.Phase, op backend.Op, changes ...backend.Change) {
	d.steps = append(d.steps, backend.Step{Phase: phase, Changes: changes, Op: op})
}

// object is the path of an interface.
func object(name string) string { return "wireguard/" + name }

// create makes an interface that is not there. Everything on it is Fresh: deleting the
// link undoes it, so the journal need not hold it twice.
func (d *differ) create(t *target) {
	d.begin(t.Name)
	bare := t.link
	bare.Addresses, bare.Peers, bare.Routes = nil, nil, nil
	bare.Userspace = bare.Userspace || d.in.Options.Userspace
	d.hooks(backend.PhaseLink, t.desired, t.desired.Hooks.PreUp, t.desired.Hooks.PostDown)
	d.step(backend.PhaseLink, backend.Op{Kind: opLink, To: &bare}, backend.Change{
		Action: backend.Create, Object: object(t.Name), Fields: t.fields(),
	})
	if len(t.Addresses) > 0 {
		d.step(backend.PhaseAddress, backend.Op{Kind: opAddresses, To: &addressSet{place: t.place, Fresh: true, List: t.Addresses}})
	}
	if len(t.Peers) > 0 {
		changes := make([]backend.Change, len(t.Peers))
		for i := range t.Peers {
			changes[i] = d.createdPeer(t.Name, &t.Peers[i])
		}
		d.step(backend.PhasePeer, backend.Op{Kind: opPeers, To: &peerSet{t.place, true, t.Peers}}, changes...)
	}
	if len(t.Routes) > 0 {
		d.step(backend.PhaseRoute, backend.Op{Kind: opRoutes, To: &routeSet{t.place, true, t.Routes}},
			routeChanges(backend.Create, t.place, t.Routes)...)
	}
}

// fields is all of a new interface.
func (t *target) fields() []backend.Field {
	var none link
	return linkFields(&none, &t.link)
}

// linkFields compares everything but peers and routes, which are objects of their own.
func linkFields(have, want *link) []backend.Field {
	var f fields
	if have.Name != "" {
		f.text("alias", have.Alias, want.Alias)
	}
	f.prefixes("addresses", have.Addresses, want.Addresses)
	f.number("fwmark", have.FirewallMark, want.FirewallMark)
	f.number("listen_port", have.ListenPort, want.ListenPort)
	f.number("mtu", have.MTU, want.MTU)
	f.text("netns", have.Netns, want.Netns)
	if have.PrivateKey != want.PrivateKey {
		f.add("private_key", secretValue(have.PrivateKey != ""), secretValue(want.PrivateKey != ""))
	}
	if have.Name != "" && have.Up != want.Up {
		f.add("up", backend.Text(strconv.FormatBool(have.Up)), backend.Text(strconv.FormatBool(want.Up)))
	}
	return backend.SortFields(f)
}

// update brings an interface that is there to what it shall be, each part by difference.
func (d *differ) update(t *target) {
	have := &t.have.link
	var changes []backend.Change
	if fields := linkFields(have, &t.link); len(fields) > 0 {
		changes = []backend.Change{d.updatedLink(t, fields)}
	}
	// The one line of the interface stands at the first step that changes it.
	show := func() []backend.Change { c := changes; changes = nil; return c }
	if t.comesUp() {
		d.hooks(backend.PhaseLink, t.desired, t.desired.Hooks.PreUp, t.desired.Hooks.PostDown)
	}
	from, to := d.givePort(t.have, show), settingsOf(&t.link)
	if from != to {
		d.step(backend.PhaseLink, backend.Op{Kind: opSettings, From: &from, To: &to}, show()...)
	}
	if add := without(t.Addresses, have.Addresses); len(add) > 0 {
		d.step(backend.PhaseAddress, t.addAddresses(add), show()...)
	}
	d.updatePeers(t)
	d.updateRoutes(t)
	if del := without(have.Addresses, t.Addresses); len(del) > 0 {
		d.step(t.removal(backend.PhaseRemoveAddress), t.removeAddresses(del), show()...)
	}
}

// removal is the phase in which something is taken from a link.
func (t *target) removal(phase backend.Phase) backend.Phase {
	if t.removesFirst() {
		return backend.PhaseFree
	}
	return phase
}

// removesFirst reports whether removals come before everything else: where the MTU falls
// below what IPv6 takes, undo could not give IPv6 addresses and routes back before it
// gives back the MTU.
func (t *target) removesFirst() bool { return t.have.MTU >= minMTU6 && t.MTU < minMTU6 }

// comesUp reports whether vpnctl brings the interface up.
func (t *target) comesUp() bool { return t.Up && (t.have == nil || !t.have.Up) }

func (d *differ) updatedLink(t *target, fields []backend.Field) backend.Change {
	c := backend.Change{Action: backend.Update, Object: object(t.Name), Fields: fields}
	have := &t.have.link
	if have.PrivateKey != t.PrivateKey {
		c.Note = otherEnd
	}
	switch {
	case have.PrivateKey != t.PrivateKey:
		c.Impact = impact("changes the private key", d.liveAll(t.have))
	case have.ListenPort != t.ListenPort:
		c.Impact = impact("changes the listen port", d.liveAll(t.have))
	}
	return c
}

// otherEnd is the remark on a change that both ends have to make.
const otherEnd = "takes effect once the other end applies too"

// remove deletes an interface of ours that is not wanted any more. All that was on it
// goes with the link and comes back with it on undo, so that one step does it.
func (d *differ) remove(want *wanted, o *observed) {
	if want.find(o.place) != nil {
		return
	}
	applied := appliedTo(d.in.Applied, o.Name)
	name := func(k publicKey) string { return peerName(applied, k) }
	changes := []backend.Change{{
		Action: backend.Delete, Object: object(o.Name),
		Impact: impact("deletes the interface", d.live(o, name)),
	}}
	for i := range o.Peers {
		changes = append(changes, backend.Change{Action: backend.Delete, Object: peerObject(o.Name, name(o.Peers[i].PublicKey))})
	}
	changes = append(changes, routeChanges(backend.Delete, o.place, o.Routes)...)
	hooks := &desired.Interface{Name: o.Name}
	if applied.iface != nil {
		hooks = applied.iface
	}
	phase, from := d.removal(o)
	d.hooksDown(phase, hooks, hooks.Hooks.PostUp, hooks.Hooks.PreDown)
	if !o.dns.IsZero() {
		d.step(phase, backend.Op{Kind: opDNS, From: &dnsSet{o.place, o.dns}})
	}
	d.step(phase, backend.Op{Kind: opLink, From: from}, changes...)
	d.takeDown(phase, hooks)
}

// impact is what a change costs the sessions it ends; nothing if there are none.
func impact(what string, sessions []backend.Session) backend.Impact {
	switch len(sessions) {
	case 0:
		return backend.Impact{}
	case 1:
		what += ": ends 1 session"
	default:
		what += fmt.Sprintf(": ends %d sessions", len(sessions))
	}
	return backend.Impact{Level: backend.Disrupt, What: what, Sessions: sessions}
}

// alive reports whether a handshake still proves its peer alive.
func (d *differ) alive(l liveness) bool {
	return !l.handshake.IsZero() && d.now.Sub(l.handshake) < backend.HandshakeLifetime
}

// live lists the sessions of an interface.
func (d *differ) live(o *observed, name func(publicKey) string) []backend.Session {
	var sessions []backend.Session
	for i := range o.Peers {
		if d.alive(o.live[i]) {
			sessions = append(sessions, session(o.Name, name(o.Peers[i].PublicKey), o.Peers[i].Endpoint))
		}
	}
	return sessions
}

func (d *differ) liveAll(o *observed) []backend.Session {
	applied := appliedTo(d.in.Applied, o.Name)
	return d.live(o, func(k publicKey) string { return peerName(applied, k) })
}

func session(iface, peer string, endpoint netip.AddrPort) backend.Session {
	s := backend.Session{Protocol: backend.WireGuard, Name: iface, Peer: peer}
	if endpoint.IsValid() {
		s.Address = endpoint.String()
	}
	return s
}

// peerName is what the last apply called a peer, else its public key.
func peerName(a *applied, key publicKey) string {
	if p := a.peer(key); p != nil {
		return p.Name
	}
	return key.String()
}
