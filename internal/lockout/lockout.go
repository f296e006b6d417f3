package lockout

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/management"
)

// Question is what is asked of one plan.
type Question struct {
	// Want is the wanted state, Applied what was applied last, nil before the first time.
	Want, Applied *desired.State
	Memory        backend.Memory
	// Changes are the plan.
	Changes []backend.Change
}

// cure is what the operator does about a refusal.
const cure = "let it go back by itself with --confirm 2m, or say --allow-lockout if you have another way in"

// Analyse tells what of a plan would cut a connection off: at most one refusal for the way
// that it takes, and one for each session that carries it and is interrupted. A connection
// that has no way here now is somebody else's, and cannot be lost.
func Analyse(c management.Connection, o *Observed, q *Question) []*backend.Refusal {
	p := packet{
		src: c.Local.Addr().WithZone(""), dst: c.Remote.Addr().WithZone(""), proto: "tcp",
		sport: c.Local.Port(), dport: c.Remote.Port(),
	}
	if !p.dst.IsValid() || p.dst.IsLoopback() || p.dst.IsLinkLocalUnicast() {
		return nil // it never leaves its link
	}
	b := newBuilder(o, q)
	now := b.now().follow(p)
	if now.nowhere() {
		return nil
	}
	then := b.then().follow(p)
	var found []*backend.Refusal
	if i := firstDifference(now, then); i >= 0 {
		found = append(found, backend.Refuse(q.culprit(now, then, i), cure,
			"the management connection with %s goes %s, and would go %s", p.dst, now, then))
	}
	for _, change := range q.Changes {
		known := slices.ContainsFunc(found, func(r *backend.Refusal) bool { return r.Object == change.Object })
		if !known && slices.ContainsFunc(change.Impact.Sessions, func(s backend.Session) bool { return now.rides(s, p.dst) }) {
			found = append(found, backend.Refuse(change.Object, cure,
				"the management connection with %s goes %s, and this %s", p.dst, now, change.Impact.What))
		}
	}
	return found
}

// firstDifference is the first leg in which two ways differ, -1 where they are the same.
func firstDifference(a, b way) int {
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i].id != b[i].id {
			return i
		}
	}
	return -1
}

// culprit names the object that makes the ways differ from the i-th leg on: what captures,
// else what is taken away. Of several it is the one that the plan has.
func (q *Question) culprit(now, then way, i int) string {
	var candidates []string
	for _, w := range []way{then, now} {
		for _, l := range w[min(i, len(w)):] {
			candidates = append(candidates, l.objects...)
		}
	}
	for _, object := range candidates {
		if q.plans(object) {
			return object
		}
	}
	if len(candidates) > 0 {
		return candidates[0]
	}
	return fmt.Sprintf("site/%s", q.Want.Site)
}

// plans reports whether the plan changes an object.
func (q *Question) plans(object string) bool {
	return slices.ContainsFunc(q.Changes, func(c backend.Change) bool { return c.Object == object })
}

// rides reports whether a packet's way is by a session.
func (w way) rides(s backend.Session, dst netip.Addr) bool {
	for _, l := range w {
		for _, c := range l.carriers {
			if (c.protocol == "" || c.protocol == string(s.Protocol)) && (c.name == "" || c.name == s.Name) &&
				(c.peer == "" || c.peer == s.Peer) && (c.address == "" || c.address == s.Address) {
				return true
			}
		}
	}
	// A user of a server, whatever the protocol, is the operator himself.
	return s.Address == dst.String()
}
