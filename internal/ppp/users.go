package ppp

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
)

// planSecrets plans both files of secrets, and the end of the sessions that must not go on.
func (d *differ) planSecrets() error {
	changes := map[string]*backend.Change{}
	var steps []backend.Step
	for _, path := range []string{chapSecrets, papSecrets} {
		s, err := d.b.observeSecrets(path)
		if err != nil {
			return err
		}
		if s.want, err = wantedEntries(&d.in.Want.PPP, d.in.Secrets.Value, path == papSecrets); err != nil {
			return err
		}
		planned := s.steps(d.in)
		if at := slices.IndexFunc(planned, func(s backend.Step) bool { return s.Op.Kind == opSecrets }); at >= 0 {
			planned[at].Changes = d.userChanges(s, changes)
		}
		steps = append(steps, planned...)
	}
	ending := d.endings()
	for _, e := range ending {
		d.cost(steps, changes, e)
	}
	d.steps = append(d.steps, steps...)
	d.endSessions(ending)
	return nil
}

// userChanges tells what becomes of whom in one file; who is in seen has been told of.
func (d *differ) userChanges(s *secretsState, seen map[string]*backend.Change) []backend.Change {
	links := d.linkObjects()
	have, want := byObject(s.have, links), byObject(s.want, links)
	var out []backend.Change
	for _, object := range objects(have, want) {
		h, w := have[object], want[object]
		if seen[object] != nil {
			continue
		}
		c, differs := entryChange(object, h, w)
		if !differs {
			continue
		}
		seen[object] = &c
		out = append(out, c)
	}
	if len(out) == 0 && len(seen) == 0 {
		out = append(out, backend.Change{Action: backend.Update, Object: string(backend.File) + s.path,
			Fields: []backend.Field{{Name: "content", Have: backend.Secret(), Want: backend.Secret()}}})
	}
	return out
}

// linkObjects are the links of before and after, whose users show as properties of theirs.
func (d *differ) linkObjects() map[string]bool {
	out := map[string]bool{}
	add := func(s *desired.State) {
		for i := range s.PPP.Links {
			out[s.PPP.Links[i].Object()] = true
		}
	}
	add(d.in.Want)
	if d.in.Applied != nil {
		add(d.in.Applied)
	}
	return out
}

func byObject(entries []entry, links map[string]bool) map[string]*entry {
	out := map[string]*entry{}
	for i := range entries {
		if object := entries[i].object(links); object != "" {
			out[object] = &entries[i]
		}
	}
	return out
}

// objects are the names of both sides, sorted.
func objects(have, want map[string]*entry) []string {
	var out []string
	for _, m := range []map[string]*entry{have, want} {
		for object := range m {
			out = append(out, object)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// entryChange is what a plan shows of one user.
func entryChange(object string, have, want *entry) (backend.Change, bool) {
	c := backend.Change{Action: backend.Update, Object: object}
	switch {
	case want == nil:
		c.Action = backend.Delete
		return c, true
	case have == nil:
		c.Action = backend.Create
		have = &entry{}
	}
	fresh := c.Action == backend.Create
	if shown := address(have.address) != address(want.address); shown {
		c.Fields = append(c.Fields, backend.Field{Name: "address", Have: address(have.address), Want: address(want.address)})
	}
	if fresh || !have.password.Equal(want.password) {
		f := backend.Field{Name: "password", Want: backend.Secret()}
		if !fresh {
			f.Have, c.Note = backend.Secret(), "counts at the next login"
		}
		c.Fields = append(c.Fields, f)
	}
	if have.user != want.user && !fresh {
		c.Fields = append(c.Fields, backend.Field{Name: "user", Have: backend.Text(have.user), Want: backend.Text(want.user)})
	}
	return c, fresh || len(c.Fields) > 0
}

// address is a user's own; absent for one of the pools.
func address(a string) backend.Value {
	if a == "*" || a == "" {
		return backend.Value{}
	}
	return backend.Text(a)
}

// ending is a session that must not go on.
type ending struct {
	session Session
	object  string // what the plan calls it by
}

// endings are the sessions of users who are gone, or have another address now.
//
// None is looked for behind an apply, which is when what was applied is the very state that
// is wanted: who was about to log in while his line went is up a moment later, and no
// reason to undo everything. The next plan has him.
func (d *differ) endings() []ending {
	if d.in.Applied == d.in.Want {
		return nil
	}
	var out []ending
	newest := map[string]*Session{}
	for i := range d.sessions {
		s := &d.sessions[i]
		if s.Name == "" {
			continue
		}
		object := s.Object()
		if !s.Link {
			object += "/user/" + s.User
		}
		switch server := d.in.Want.PPP.Server(s.Protocol); {
		case s.Link:
			if d.staleLink(s) {
				out = append(out, ending{*s, object})
			}
		case server == nil || server.Name != s.Name:
			// Who stops its daemon ends them.
		case d.staleUser(server, s):
			out = append(out, ending{*s, object})
		case server.OneLogin && s.User != "":
			older := s // unless there is none yet
			if n := newest[s.User]; n == nil || n.Since.Before(s.Since) {
				older, newest[s.User] = n, s
			}
			if older != nil {
				out = append(out, ending{*older, object})
			}
		}
	}
	return out
}

// staleUser reports whether a session is one that its user could not begin now.
func (d *differ) staleUser(server *desired.PPPServer, s *Session) bool {
	if len(server.Radius) > 0 || s.User == "" {
		return false // RADIUS knows, or nobody does
	}
	u, known := findUser(server, s.User)
	if !known {
		return true
	}
	if u.Address.IsValid() {
		return u.Address != s.Remote
	}
	return s.Remote.IsValid() && s.Remote == d.addressBefore(server.Protocol, s.User)
}

func findUser(server *desired.PPPServer, name string) (desired.PPPUser, bool) {
	i, ok := slices.BinarySearchFunc(server.Users, name, func(u desired.PPPUser, name string) int { return cmp.Compare(u.Name, name) })
	if !ok {
		return desired.PPPUser{}, false
	}
	return server.Users[i], true
}

// addressBefore is the address that the last apply gave a user for himself.
func (d *differ) addressBefore(t desired.Tunnelling, user string) netip.Addr {
	if d.in.Applied == nil {
		return netip.Addr{}
	}
	server := d.in.Applied.PPP.Server(t)
	if server == nil {
		return netip.Addr{}
	}
	u, _ := findUser(server, user)
	return u.Address
}

// staleLink reports whether a link's session is one of another user, or without the IPv6
// that is wanted: it dials anew then. PPTP's links see to that themselves.
func (d *differ) staleLink(s *Session) bool {
	l := findLink(&d.in.Want.PPP, s.Object())
	if s.Protocol != desired.L2TP || l == nil {
		return false
	}
	if d.in.Applied != nil {
		if before := findLink(&d.in.Applied.PPP, s.Object()); before != nil && before.IPv6 != l.IPv6 {
			return true
		}
	}
	return s.User != "" && s.User != l.User
}

func findLink(p *desired.PPP, object string) *desired.PPPLink {
	for i := range p.Links {
		if p.Links[i].Object() == object {
			return &p.Links[i]
		}
	}
	return nil
}

// cost adds what the end of a session costs to the change that brings it about.
func (d *differ) cost(steps []backend.Step, changes map[string]*backend.Change, e ending) {
	if changes[e.object] == nil {
		d.ended = addCost(d.ended, e)
		return
	}
	for i := range steps {
		for n := range steps[i].Changes {
			if c := &steps[i].Changes[n]; c.Object == e.object {
				c.Impact = impactOf(append(c.Impact.Sessions, e.session.row()))
				return
			}
		}
	}
}

// addCost is for a session whose end is all that happens to its object.
func addCost(ended []backend.Change, e ending) []backend.Change {
	for i := range ended {
		if c := &ended[i]; c.Object == e.object {
			c.Impact = impactOf(append(c.Impact.Sessions, e.session.row()))
			return ended
		}
	}
	return append(ended, backend.Change{Action: backend.Update, Object: e.object, Impact: impactOf([]backend.Session{e.session.row()})})
}

func impactOf(sessions []backend.Session) backend.Impact {
	noun := "session"
	if len(sessions) > 1 {
		noun += "s"
	}
	return backend.Impact{Level: backend.Disrupt, Sessions: sessions, What: fmt.Sprintf("ends %d %s", len(sessions), noun)}
}

// row is a session as plan and kick name it.
func (s *Session) row() backend.Session {
	out := backend.Session{Protocol: backend.Kind(s.Protocol), Name: s.Name, User: s.User}
	if s.Remote.IsValid() {
		out.Address = s.Remote.String()
	}
	if s.User == "" {
		out.Peer = s.Outer
	}
	return out
}

// endSessions plans the end of sessions, after everything that can be undone.
func (d *differ) endSessions(ending []ending) {
	if len(ending) == 0 {
		return
	}
	var list sessionList
	for _, e := range ending {
		list.Sessions = append(list.Sessions, sessionID{e.session.PID, e.session.Interface})
	}
	d.steps = append(d.steps, backend.Step{Phase: backend.PhaseSession, Changes: d.ended, Op: backend.Op{Kind: opEnd, From: &list}})
}
