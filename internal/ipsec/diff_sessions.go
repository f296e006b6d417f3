package ipsec

import (
	"fmt"
	"slices"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
)

// close notes that SAs end, and returns whom it costs.
func (d *differ) close(what, verb string, c closing) backend.Impact {
	if !d.h.running {
		return backend.Impact{}
	}
	d.closing = append(d.closing, c)
	var sessions []backend.Session
	for i := range d.h.sas {
		sa := &d.h.sas[i]
		whole, targets := c.within(sa)
		if !sa.established() || !whole && len(targets) == 0 {
			continue
		}
		sessions = append(sessions, sessionOf(sa))
		d.noteAgain(sa, targets, whole)
	}
	return impact(what, verb, sessions)
}

// noteAgain notes what an undo has to bring up again. Who dialled in comes back himself.
func (d *differ) noteAgain(sa *ikeSA, targets []target, whole bool) {
	conn := d.h.have.find(kindConn, sa.Name)
	if conn == nil || !dials(conn) {
		return
	}
	for _, c := range sa.Children {
		closed := whole || slices.ContainsFunc(targets, func(t target) bool { return t.id == c.ID })
		known := slices.ContainsFunc(d.again, func(a child) bool { return a.Connection == sa.Name && a.Child == c.Name })
		if closed && !known && c.installed() {
			d.again = append(d.again, child{
				Connection: sa.Name, Child: c.Name,
				IKE: conn.Section.Items("proposals"), ESP: conn.children().Sub(c.Name).Items("esp_proposals"),
			})
		}
	}
}

// sessionOf is a live SA as the plan names it: by its user, or by the connection.
func sessionOf(sa *ikeSA) backend.Session {
	s := backend.Session{Protocol: backend.IPsec, Name: sa.Name, User: sa.user(), Address: sa.RemoteHost}
	switch {
	case s.User != "":
	case len(sa.RemoteVIPs) > 0:
		s.Peer = sa.RemoteID // by a certificate: the connection is everybody's
	default:
		s.Peer = sa.Name
	}
	if len(sa.RemoteVIPs) > 0 {
		s.Address = sa.RemoteVIPs[0]
	}
	return s
}

// impact is what a change costs those whose SAs it ends; nothing if there are none.
func impact(what, verb string, sessions []backend.Session) backend.Impact {
	if len(sessions) == 0 {
		return backend.Impact{}
	}
	noun := "tunnel"
	if sessions[0].User != "" {
		noun = "session"
	}
	if len(sessions) > 1 {
		noun += "s"
	}
	return backend.Impact{
		Level: backend.Disrupt, Sessions: sessions,
		What: fmt.Sprintf("%s: %s %d %s", what, verb, len(sessions), noun),
	}
}

// clients plans the end of the SAs of nodes that dial in no more. Who has a certificate may
// dial again: only its issuer can end that.
func (d *differ) clients() {
	if d.in.Applied == nil {
		return
	}
	for i := range d.in.Applied.IPsec.Connections {
		before := &d.in.Applied.IPsec.Connections[i]
		now := d.connection(before.Name)
		if now == nil {
			continue // its SAs end with it
		}
		for _, client := range before.Clients {
			// Another node may be the same user.
			if slices.ContainsFunc(now.Clients, func(c desired.DialIn) bool { return c.ID == client.ID }) {
				continue
			}
			c := closing{Connection: before.Name, ID: client.ID}
			if cost := d.close("removes client "+client.Node, "ends", c); cost.Level != backend.None {
				d.ended = append(d.ended, backend.Change{
					Action: backend.Delete, Object: "ipsec/" + before.Name + "/client/" + client.Node, Impact: cost,
				})
			}
		}
	}
}

// sessions plans the ends and beginnings of SAs. What is to be closed is remembered first:
// the file and charon's settings do not tell whether an SA is from before.
func (d *differ) sessions() {
	var pending *closings
	d.in.Memory.Get(closingMemory, &pending)
	all := d.closing
	if pending != nil && d.h.running {
		all = d.addPending(all, pending.List)
	}
	var want *closings
	if due := (&closings{all}).due(false); len(due) > 0 {
		want = &closings{due}
	}
	switch restore := (backend.Op{Kind: opRestore, From: &children{d.again}}); {
	case len(d.again) == 0:
	case d.restarts:
		// Ahead of the step by whose undo charon starts anew.
		d.steps = slices.Insert(d.steps, 0, backend.Step{Phase: backend.PhaseMemory, Op: restore})
	default:
		d.step(backend.PhaseFree, restore)
	}
	d.steps = append(d.steps, remember(backend.PhaseMemory, closingMemory, pending, want, equalClosings(pending, want))...)
	if len(all) > 0 {
		// Before the pools, which they use.
		at := slices.IndexFunc(d.steps, func(s backend.Step) bool { return s.Phase == backend.PhaseSession })
		steps := []backend.Step{{Phase: backend.PhaseSession, Changes: d.ended, Op: backend.Op{Kind: opClose, From: &closings{all}}}}
		steps = append(steps, remember(backend.PhaseSession, closingMemory, want, nil, want == nil)...)
		if at < 0 {
			at = len(d.steps)
		}
		d.steps = slices.Insert(d.steps, at, steps...)
	}
}

// addPending adds what an apply that was cut off has left to close.
func (d *differ) addPending(all, pending []closing) []closing {
	for _, c := range pending {
		if slices.Contains(all, c) {
			continue
		}
		all = append(all, c)
		if o := d.w.objects.find(kindConn, c.Connection); o != nil {
			names := o.children().Names()
			if c.Child != "" {
				names = []string{c.Child}
			}
			d.bringUp(o, names...)
		}
	}
	return all
}

func equalClosings(a, b *closings) bool {
	if a == nil || b == nil {
		return a == b
	}
	return slices.Equal(a.List, b.List)
}

// records plans what is remembered of charon's content.
func (d *differ) records() {
	before := recordOf(d.in.Memory)
	if len(d.touched) == 0 {
		if before != nil && d.w.empty() && len(d.w.leftover) == 0 {
			d.steps = append(d.steps, backend.Remember(backend.PhaseForget, loadedMemory, before, nil))
		}
		return
	}
	between := &record{Charon: d.h.run, Items: map[string]string{}}
	after := &record{Charon: d.h.run, Items: map[string]string{}}
	for key, print := range d.h.known {
		if !d.touched[key] {
			between.Items[key] = print
			after.Items[key] = print
		}
	}
	for key := range d.touched {
		between.Items[key] = inDoubt
	}
	for key, o := range d.w.objects {
		after.Items[key] = o.fingerprint()
	}
	if len(after.Items) == 0 {
		after = nil
	}
	d.steps = append(d.steps, remember(backend.PhaseMemory, loadedMemory, before, between, before.equal(between))...)
	// Not before the last object is where it belongs.
	d.steps = append(d.steps, remember(backend.PhaseSession, loadedMemory, between, after, false)...)
}
