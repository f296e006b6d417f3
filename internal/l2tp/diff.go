package l2tp

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/ppp"
)

// daemonMemory keeps how vpnctl made xl2tpd run.
const daemonMemory = "l2tp/daemon"

const daemonObject = "daemon/" + program

// setup is xl2tpd as vpnctl made it run, and how that is taken back.
type setup struct {
	Systemd bool `json:"systemd,omitempty"` // by its unit; else as a process of its own
	// Kept says that it ran before: it goes on, with its old file, when vpnctl is gone.
	Kept bool `json:"kept,omitempty"`
}

// differ compares what is wanted with the host.
type differ struct {
	in    backend.Input
	want  []Section
	h     *observed
	steps []backend.Step
}

// units plans the drop-ins. Systemd is told when they are there, or gone; and, by undo,
// which does the steps backwards, when they are as before.
func (d *differ) units(files []backend.Step) {
	if len(files) == 0 {
		return
	}
	tell := backend.Step{Phase: backend.PhaseFile, Op: backend.Op{Kind: reloadOp}}
	if len(d.want) == 0 {
		tell.Phase = backend.PhaseRemoveFile
	}
	d.steps = slices.Concat(d.steps, []backend.Step{tell}, files, []backend.Step{tell})
}

// daemon plans what becomes of xl2tpd.
func (d *differ) daemon() {
	before := d.setup()
	switch {
	case len(d.want) == 0:
		d.stop(before)
	case !d.h.Running:
		d.start(before)
	case !d.h.ours():
		d.restart(before)
	default:
		d.remember(before)
		d.converge()
	}
}

// setup is what the memory has, nil for nothing.
func (d *differ) setup() *setup {
	var s *setup
	d.in.Memory.Get(daemonMemory, &s)
	return s
}

func (d *differ) step(phase backend.Phase, op backend.Op, changes ...backend.Change) {
	d.steps = append(d.steps, backend.Step{Phase: phase, Op: op, Changes: changes})
}

// remember keeps how xl2tpd came to run, the first time.
func (d *differ) remember(before *setup) *setup {
	if before != nil {
		return before
	}
	s := &setup{Systemd: d.h.Systemd, Kept: d.h.Running && !d.h.ours()}
	d.steps = append(d.steps, backend.Remember(backend.PhaseMemory, daemonMemory, nil, s))
	return s
}

// start plans the start of an xl2tpd that does not run. At boot its own unit starts it,
// after this.
func (d *differ) start(before *setup) {
	if d.in.Options.Boot && d.h.Systemd {
		return
	}
	s := d.remember(before)
	by := "vpnctl"
	if s.Systemd {
		by = service
	}
	d.step(backend.PhaseDaemon, backend.Op{Kind: daemonOp, To: s}, append([]backend.Change{{
		Action: backend.Create, Object: daemonObject,
		Fields: []backend.Field{{Name: "started_by", Want: backend.Text(by)}},
	}}, d.changes()...)...)
}

// restart plans what it takes where an xl2tpd runs that has read somebody else's file. It
// has no inverse where somebody is on it, and then comes last. Undo restarts it once the
// file from before is back.
func (d *differ) restart(before *setup) {
	s := d.remember(before)
	phase, impact := backend.PhaseDaemon, backend.Impact{Level: backend.Reload, What: "restarts xl2tpd"}
	if len(d.h.sessions) > 0 {
		phase, impact = backend.PhaseSession, drops("restarts xl2tpd: ", d.h.sessions)
	}
	d.steps = append([]backend.Step{{Phase: backend.PhaseFile, Op: backend.Op{Kind: backOp, From: s}}}, d.steps...)
	d.step(phase, backend.Op{Kind: restartOp, To: s}, append([]backend.Change{{
		Action: backend.Update, Object: daemonObject, Impact: impact,
		Fields: []backend.Field{{Name: "file", Have: backend.Text(cmp.Or(d.h.Config, "another")), Want: backend.Text(ConfPath)}},
	}}, d.changes()...)...)
}

// stop plans the end of an xl2tpd that nobody needs any more. It comes while IPsec still
// carries its farewell and while what is in clear is still dropped.
func (d *differ) stop(before *setup) {
	if before == nil {
		return
	}
	if d.h.Running {
		c := backend.Change{Action: backend.Delete, Object: daemonObject, Impact: drops("stops xl2tpd: ", d.h.sessions)}
		if before.Kept {
			c.Action, c.Impact.What = backend.Update, strings.Replace(c.Impact.What, "stops", "restarts", 1)
			c.Fields = []backend.Field{{Name: "file", Have: backend.Text(ConfPath), Want: backend.Text("the one from before")}}
		}
		d.step(backend.PhaseRemoveDaemon, backend.Op{Kind: daemonOp, From: before}, append(d.changes(), c)...)
	}
	d.steps = append(d.steps, backend.Remember(backend.PhaseForget, daemonMemory, before, nil))
	if before.Kept {
		d.step(backend.PhaseSession, backend.Op{Kind: daemonOp, To: before}) // with the file of then
	}
}

// converge plans the sections of a running xl2tpd, one by one.
func (d *differ) converge() {
	for i := range d.want {
		s := &d.want[i]
		if d.loaded(s) {
			continue
		}
		op := backend.Op{Kind: sectionOp, To: s}
		c := d.change(s)
		if from := d.replaced(s); from != nil {
			op.From = from
			if s.Kind == kindLAC {
				c.Impact = drops("dials again: ", d.on(s))
			}
		}
		d.step(backend.PhaseDaemon, op, c)
	}
	for _, s := range d.surplus() {
		verb := "ends the link: "
		if s.Kind == kindLNS {
			verb = "ends the server: "
		}
		c := backend.Change{Action: backend.Delete, Object: s.object(), Impact: drops(verb, d.on(s))}
		d.step(backend.PhaseRemoveDaemon, backend.Op{Kind: sectionOp, From: s}, c)
	}
}

// loaded reports whether xl2tpd has a section that is wanted. What somebody wrote into the
// file under that name it may have read.
func (d *differ) loaded(s *Section) bool {
	edited := slices.ContainsFunc(d.h.filed, func(f Section) bool { return f.Name == s.Name && f.edited() })
	return !edited && d.h.loaded.has(s)
}

// replaced is the section that another one takes the place of, nil for none.
func (d *differ) replaced(s *Section) *Section {
	names := d.h.loaded.names(s.Kind, s.Tunnel)
	if len(names) == 0 {
		return nil
	}
	return d.section(s.Kind, s.Tunnel, names[0])
}

// section is a loaded one, with what the file says is in it: undo adds that.
func (d *differ) section(kind, tunnel, name string) *Section {
	_, base, _ := nameOf(name)
	s := &Section{Kind: kind, Tunnel: tunnel, Name: base}
	if f := d.onFile(s); f != nil && f.Name == base {
		s.Options = f.Options
	}
	return s
}

// surplus are the tunnels that xl2tpd has and nobody wants, each once.
func (d *differ) surplus() []*Section {
	var out []*Section
	seen := map[string]bool{}
	for _, of := range []struct {
		kind  string
		names []string
	}{{kindLNS, d.h.loaded.LNS}, {kindLAC, d.h.loaded.LAC}} {
		for _, name := range of.names {
			tunnel, _, ours := nameOf(name)
			wanted := slices.ContainsFunc(d.want, func(s Section) bool { return s.Kind == of.kind && s.Tunnel == tunnel })
			if ours && !wanted && !seen[of.kind+tunnel] {
				seen[of.kind+tunnel] = true
				out = append(out, d.section(of.kind, tunnel, name))
			}
		}
	}
	return out
}

// on are the sessions of a server or link.
func (d *differ) on(s *Section) []ppp.Session {
	var out []ppp.Session
	for _, session := range d.h.sessions {
		if s.carries(&session) {
			out = append(out, session)
		}
	}
	return out
}

// onFile is the tunnel's section in the file, nil for none.
func (d *differ) onFile(s *Section) *Section {
	for i := range d.h.filed {
		if f := &d.h.filed[i]; f.Kind == s.Kind && f.Tunnel == s.Tunnel {
			return f
		}
	}
	return nil
}

// changes are those of all servers and links that the file does not have as wanted.
func (d *differ) changes() []backend.Change {
	var out []backend.Change
	for i := range d.want {
		if f := d.onFile(&d.want[i]); f == nil || !slices.Equal(f.Options, d.want[i].Options) {
			out = append(out, d.change(&d.want[i]))
		}
	}
	for i := range d.h.filed {
		f := &d.h.filed[i]
		if !slices.ContainsFunc(d.want, func(s Section) bool { return s.Kind == f.Kind && s.Tunnel == f.Tunnel }) {
			out = append(out, backend.Change{Action: backend.Delete, Object: f.object()})
		}
	}
	return out
}

// change is what happens to a server or link, as the file and xl2tpd have it.
func (d *differ) change(s *Section) backend.Change {
	c := backend.Change{Action: backend.Create, Object: s.object()}
	have := d.onFile(s)
	if have == nil {
		have = &Section{}
	} else {
		c.Action = backend.Update
	}
	before, after := have.fields(), s.fields()
	for _, name := range fieldNames(before, after) {
		b, a := before[name], after[name]
		if b != a && (c.Action == backend.Update || slices.Contains(shown, name)) {
			c.Fields = append(c.Fields, backend.Field{Name: name, Have: text(b), Want: text(a)})
		}
	}
	if len(c.Fields) == 0 {
		c.Fields = []backend.Field{{Name: "loaded", Have: backend.Text("no"), Want: backend.Text("yes")}}
	}
	c.Fields = backend.SortFields(c.Fields)
	return c
}

func text(s string) backend.Value {
	if s == "" {
		return backend.Value{}
	}
	return backend.Text(s)
}

// shown are the fields of what is new; the others are the same for all.
var shown = []string{"local_ip", "pools", "server"}

// words are the topology's for xl2tpd's.
var words = map[string]string{"ip range": "pools", "lns": "server"}

// fields are the options by the names that the plan has for them.
func (s *Section) fields() map[string]string {
	out := map[string]string{}
	for _, o := range s.Options {
		key, value, _ := strings.Cut(o, " = ")
		name := cmp.Or(words[key], strings.ReplaceAll(key, " ", "_"))
		if out[name] != "" {
			value = out[name] + ", " + value
		}
		out[name] = value
	}
	return out
}

func fieldNames(maps ...map[string]string) []string {
	var out []string
	for _, m := range maps {
		for name := range m {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (s *Section) object() string { return string(backend.L2TP) + "/" + s.Tunnel }

// carries reports whether a session is one of this server or link.
func (s *Section) carries(session *ppp.Session) bool {
	return session.Name == s.Tunnel && session.Link == (s.Kind == kindLAC)
}

// drops is the impact of what ends sessions; nothing where there are none.
func drops(what string, sessions []ppp.Session) backend.Impact {
	if len(sessions) == 0 {
		return backend.Impact{}
	}
	noun := "session"
	if len(sessions) > 1 {
		noun += "s"
	}
	i := backend.Impact{Level: backend.Disrupt, What: fmt.Sprintf("%sdrops %d %s", what, len(sessions), noun)}
	for _, s := range sessions {
		lost := backend.Session{Protocol: backend.L2TP, Name: s.Name, User: s.User, Address: s.Remote.String()}
		if s.Link {
			lost.Address = s.Local.String()
		}
		if lost.User == "" {
			lost.Peer = s.Outer
		}
		i.Sessions = append(i.Sessions, lost)
	}
	return i
}
