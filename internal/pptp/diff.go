package pptp

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/ppp"
)

// The names of processes in plans and messages.
const (
	daemonObject = "daemon/" + pptpd
	linkObject   = "daemon/" + linkPrefix
)

// The keys of the memory.
const (
	serverKey = "pptp/server" // the pptpd from before the first apply: a server
	linkKey   = "pptp/link/"  // with a name: a link that vpnctl dials
)

// linksOf are the links that the memory knows.
func linksOf(m backend.Memory) []string {
	var out []string
	for key := range m {
		if name, ok := strings.CutPrefix(key, linkKey); ok {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// differ plans.
type differ struct {
	b  *Backend
	in backend.Input
	w  wanted
	h  *observed
	// first are steps that do nothing but when they are undone: then they come last, when
	// the files are those from before.
	first []backend.Step
	steps []backend.Step
	// last are the ends of users' sessions, behind everything that may fail.
	last []backend.Step
}

func (d *differ) add(phase backend.Phase, op backend.Op, changes ...backend.Change) {
	d.steps = append(d.steps, backend.Step{Phase: phase, Changes: changes, Op: op})
}

// undone adds what has to be done behind the undo of all files, pppd's too.
func (d *differ) undone(kind string, from any) {
	d.first = append(d.first, backend.Step{Phase: backend.PhaseMemory, Op: backend.Op{Kind: kind, From: from}})
}

// plan is all of it, in its order.
func (d *differ) plan(ctx context.Context) ([]backend.Step, error) {
	if err := d.files(); err != nil {
		return nil, err
	}
	d.server()
	for _, l := range d.w.links {
		if err := d.link(ctx, &l); err != nil {
			return nil, err
		}
	}
	for _, name := range linksOf(d.in.Memory) {
		if err := d.removeLink(ctx, name); err != nil {
			return nil, err
		}
	}
	return slices.Concat(d.first, d.steps, d.last), nil
}

func (d *differ) files() error {
	confs, err := d.b.confs().Plan(d.in, d.w.confFiles())
	if err != nil {
		return err
	}
	files, err := d.b.unitFiles(d.w, d.h)
	if err != nil {
		return err
	}
	units, err := d.b.units().Plan(d.in, files)
	if err != nil {
		return err
	}
	d.steps = append(confs, units...)
	if len(units) > 0 {
		// systemd has to hear of them when they come, when they go, and when either is undone.
		reload := backend.Op{Kind: opReload, From: &reloading{}, To: &reloading{}}
		d.first = append(d.first, backend.Step{Phase: backend.PhaseFile, Op: reload})
		d.add(backend.PhaseFile, reload)
		d.add(backend.PhaseRemoveFile, reload)
	}
	return nil
}

// have is the pptpd that there is.
func (h *observed) have() server {
	s := server{Running: len(h.parents) > 0, Unit: h.unit != "", Enabled: h.unit == enabled}
	for _, p := range h.parents {
		s.Ours = s.Ours || p.runs(ServerCommand) || slices.Contains(p.Args, LoadedPath)
	}
	if s.Running && !s.Ours && !h.active {
		s.Args = h.parents[0].Args
	}
	return s
}

// server plans pptpd.
func (d *differ) server() {
	var before *server
	d.in.Memory.Get(serverKey, &before)
	have := d.h.have()
	if d.w.server == nil {
		if before != nil {
			d.removeServer(&have, before)
		}
		return
	}
	if before == nil {
		d.steps = append(d.steps, backend.Remember(backend.PhaseMemory, serverKey, nil, &have))
	} else {
		d.endSessions() // of one of another name
	}
	goal := &server{Ours: true, Running: true, Unit: have.Unit, Enabled: have.Unit}
	if d.in.Options.Boot && goal.Unit {
		return // its own unit starts it, after this
	}
	if d.serves(goal) && have.Enabled == goal.Enabled {
		return
	}
	phase := backend.PhaseDaemon
	if !have.Running {
		phase = backend.PhaseStart
	}
	d.undone(opServer, &have)
	op := backend.Op{Kind: opServer, To: goal}
	if !have.Ours {
		// Undone in two, as the removal is: ours must end while systemd still knows the
		// drop-in that spares the sessions, the other one start without it.
		op.From = &server{Unit: have.Unit, Enabled: have.Enabled}
	}
	d.add(phase, op, d.serverChange(&have, goal))
}

// serves reports whether there is nothing to start.
func (d *differ) serves(goal *server) bool {
	if d.h.listener == 0 && len(d.h.parents) == 0 || goal.Unit && !d.h.active {
		// Nobody could log in: old sessions have all addresses. Whoever supervises pptpd
		// starts it as soon as one is free.
		return d.h.free(d.w.conf) == 0 && string(d.h.conf) == string(d.w.conf)
	}
	return d.h.given() == digest(d.w.conf)
}

func (d *differ) serverChange(have, goal *server) backend.Change {
	if !have.Running {
		by := "vpnctl"
		if goal.Unit {
			by = service
		}
		return backend.Change{Action: backend.Create, Object: daemonObject, Fields: []backend.Field{
			{Name: "started_by", Want: backend.Text(by)},
		}}
	}
	c := backend.Change{Action: backend.Update, Object: daemonObject}
	if have.Enabled != goal.Enabled {
		c.Fields = append(c.Fields, backend.Field{Name: "at_boot", Have: backend.Text("no"), Want: backend.Text("yes")})
	}
	if given, want := d.h.given(), digest(d.w.conf); given != want {
		f := backend.Field{Name: "config", Want: backend.Text(brief(want))}
		if given != "" {
			f.Have = backend.Text(brief(given))
		}
		c.Fields = append(c.Fields, f)
		c.Impact = backend.Impact{Level: backend.Reload, What: "restarts pptpd's parent: sessions go on"}
	}
	return c
}

// brief is a digest as plans show it.
func brief(digest string) string { return "sha256 " + digest[:12] }

// removeServer plans the end of ours, and the start of the one from before.
func (d *differ) removeServer(have, before *server) {
	stopped := &server{Unit: have.Unit, Enabled: before.Enabled && have.Unit}
	c := backend.Change{Action: backend.Delete, Object: daemonObject}
	if before.Running {
		c = backend.Change{Action: backend.Update, Object: daemonObject, Fields: []backend.Field{
			{Name: "started_by", Have: backend.Text("vpnctl"), Want: backend.Text("its owner")},
		}}
	}
	d.undone(opServer, have)
	op := backend.Op{Kind: opServer, To: stopped}
	if have.Running || have.Enabled != stopped.Enabled {
		d.add(backend.PhaseRemoveDaemon, op, c)
	} else {
		d.add(backend.PhaseRemoveDaemon, op) // only files in /run are left
	}
	if before.Running {
		before.Unit = before.Unit && have.Unit
		d.add(backend.PhaseSession, backend.Op{Kind: opServer, To: before})
	}
	d.endSessions()
	// Behind that, which has to be done by the next apply where this one is cut off.
	d.last = append(d.last, backend.Remember(backend.PhaseSession, serverKey, before, nil))
}

// endSessions plans the end of all sessions of servers that are wanted no more: those that
// pptpd has begun outlive it.
func (d *differ) endSessions() {
	for _, name := range d.h.servers() {
		if d.w.server != nil && d.w.server.Name == name {
			continue
		}
		c := backend.Change{Action: backend.Delete, Object: tunnel(name).Object()}
		for i := range d.h.sessions {
			if s := &d.h.sessions[i]; !s.Link && s.Protocol == desired.PPTP && s.Name == name {
				c.Impact.Sessions = append(c.Impact.Sessions, row(s, s.Remote))
			}
		}
		c.Impact.Level, c.Impact.What = backend.Disrupt, fmt.Sprintf("ends %d sessions", len(c.Impact.Sessions))
		if len(c.Impact.Sessions) == 1 {
			c.Impact.What = "ends 1 session"
		}
		d.last = append(d.last, backend.Step{
			Phase: backend.PhaseSession, Changes: []backend.Change{c}, Op: backend.Op{Kind: opEnd, From: &ended{Server: name}},
		})
	}
}

// link plans one link.
func (d *differ) link(ctx context.Context, l *desired.PPPLink) error {
	have, err := d.b.observeLink(ctx, d.h, l.Name)
	if err != nil {
		return err
	}
	known := d.in.Memory[linkKey+l.Name] != nil
	if !known {
		d.steps = append(d.steps, backend.Remember(backend.PhaseMemory, linkKey+l.Name, nil, true))
	}
	goal := &link{Name: l.Name, Unit: d.h.booted, Enabled: d.h.booted, Running: true}
	if d.in.Options.Boot && goal.Unit {
		return nil // its own unit starts it, after this
	}
	if !have.running || have.enabled != goal.Enabled {
		op := backend.Op{Kind: opLink, To: goal}
		if known {
			op.From = &link{Name: l.Name, Unit: d.h.booted, Enabled: have.enabled, Running: have.running}
		}
		d.add(backend.PhaseDaemon, op, linkChange(l.Name, known, have, goal))
	}
	d.redial(l, have)
	return nil
}

func linkChange(name string, known bool, have linkState, goal *link) backend.Change {
	c := backend.Change{Action: backend.Create, Object: linkObject + name, Fields: []backend.Field{
		{Name: "started_by", Want: backend.Text("vpnctl")},
	}}
	if goal.Unit {
		c.Fields[0].Want = backend.Text(linkUnit(name))
	}
	if !known {
		return c
	}
	c.Action, c.Fields = backend.Update, nil
	if have.enabled != goal.Enabled {
		c.Fields = append(c.Fields, backend.Field{Name: "at_boot", Have: backend.Text("no"), Want: backend.Text("yes")})
	}
	if !have.running {
		c.Fields = append(c.Fields, backend.Field{Name: "running", Have: backend.Text("no"), Want: backend.Text("yes")})
	}
	return c
}

// redial ends a pppd that has read other options: the next one reads those of now.
func (d *differ) redial(l *desired.PPPLink, have linkState) {
	if have.pppd == 0 || have.options == optionsDigest(ppp.RenderPeer(l)) {
		return
	}
	this := &link{Name: l.Name}
	d.undone(opRedial, this)
	c := backend.Change{Action: backend.Update, Object: linkObject + l.Name, Fields: []backend.Field{
		{Name: "options", Have: backend.Text("of an earlier time"), Want: backend.Text("of now")},
	}}
	if s := d.session(l.Name); s != nil {
		c.Impact = cost("dials again: interrupts 1 session", s)
	}
	d.add(backend.PhaseSession, backend.Op{Kind: opRedial, To: this}, c)
}

// session is that of a link, nil where it is down.
func (d *differ) session(name string) *ppp.Session {
	for i := range d.h.sessions {
		if s := &d.h.sessions[i]; s.Link && s.Protocol == desired.PPTP && s.Name == name {
			return s
		}
	}
	return nil
}

func cost(what string, s *ppp.Session) backend.Impact {
	return backend.Impact{Level: backend.Disrupt, What: what, Sessions: []backend.Session{row(s, s.Local)}}
}

// row is a session as plans name it, by the address that the client has.
func row(s *ppp.Session, client netip.Addr) backend.Session {
	out := backend.Session{Protocol: backend.PPTP, Name: s.Name, User: s.User}
	if client.IsValid() {
		out.Address = client.String()
	}
	if s.User == "" {
		out.Peer = s.Outer
	}
	return out
}

// removeLink plans the end of a link that is wanted no more.
func (d *differ) removeLink(ctx context.Context, name string) error {
	if slices.ContainsFunc(d.w.links, func(l desired.PPPLink) bool { return l.Name == name }) {
		return nil
	}
	have, err := d.b.observeLink(ctx, d.h, name)
	if err != nil {
		return err
	}
	from := &link{Name: name, Unit: d.h.booted, Enabled: have.enabled, Running: have.running}
	c := backend.Change{Action: backend.Delete, Object: linkObject + name}
	if s := d.session(name); s != nil {
		c.Impact = cost("ends 1 session", s)
	}
	op := backend.Op{Kind: opLink, From: from}
	if have.running || have.enabled || have.pppd != 0 {
		d.add(backend.PhaseRemoveDaemon, op, c)
	} else {
		d.add(backend.PhaseRemoveDaemon, op) // only why it was down is left
	}
	d.steps = append(d.steps, backend.Remember(backend.PhaseForget, linkKey+name, true, nil))
	return nil
}
