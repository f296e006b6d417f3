package ipsec

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/swanctl"
)

// differ collects the steps between what is wanted and what there is.
type differ struct {
	in    backend.Input
	w     *wanted
	h     *snapshot
	start bool // charon is started on the way
	// restarts says that it is restarted, which ends all SAs.
	restarts bool
	steps    []backend.Step

	touched map[string]bool // keys that are loaded or unloaded
	closing []closing
	ended   []backend.Change // lines of those who lose their SAs with nothing else
	up      []child          // to initiate once all is loaded
	again   []child          // to initiate when all is undone
}

// diff compares; it reads nothing but its arguments, and equal ones give no steps. Steps
// of one phase come in the order in which they shall be done.
func diff(w *wanted, h *snapshot, in backend.Input) []backend.Step {
	d := &differ{in: in, w: w, h: h, touched: map[string]bool{}}
	d.startDaemon()
	d.restartDaemon()
	d.links()
	for _, k := range kinds {
		for _, o := range w.objects.of(k) {
			d.load(o)
		}
	}
	for _, k := range slices.Backward(kinds) {
		for _, key := range d.surplus(k) {
			d.unload(key)
		}
	}
	d.clients()
	d.sessions()
	d.records()
	if len(d.up) > 0 {
		d.step(backend.PhaseSession, backend.Op{Kind: opInitiate, To: &children{d.up}})
	}
	d.stopDaemon()
	return d.steps
}

func (d *differ) step(phase backend.Phase, op backend.Op, changes ...backend.Change) {
	d.steps = append(d.steps, backend.Step{Phase: phase, Changes: changes, Op: op})
}

// objectOp is an operation on one object; nil is none.
func objectOp(from, to *object) backend.Op {
	op := backend.Op{Kind: opObject}
	if from != nil {
		op.From = from
	}
	if to != nil {
		op.To = to
	}
	return op
}

// load plans an object that charon has not, or has otherwise.
func (d *differ) load(o *object) {
	key := o.key()
	if !d.h.running && !d.start || d.h.running && d.h.known[key] == o.fingerprint() {
		return
	}
	d.touched[key] = true
	have := d.h.have[key]
	from := have
	if !d.loaded(key) {
		from = nil
	}
	d.step(backend.PhaseConnection, objectOp(from, o), d.changes(have, o)...)
}

// loaded reports whether charon has something of ours by that key.
func (d *differ) loaded(key string) bool {
	_, known := d.h.known[key]
	return known || d.h.running && d.h.have[key] != nil && d.h.visible(key)
}

// surplus lists what charon has of ours and nobody wants.
func (d *differ) surplus(k kind) []string {
	keys := map[string]bool{}
	for key := range d.h.known {
		keys[key] = true
	}
	for key := range d.h.have {
		keys[key] = keys[key] || d.loaded(key)
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(keys)), func(key string) bool {
		_, is := cutKind(key, k)
		return !is || !keys[key] || d.w.objects[key] != nil || d.w.leftover[key]
	})
}

// cutKind is the name in a key of that kind.
func cutKind(key string, k kind) (name string, ok bool) {
	return strings.CutPrefix(key, string(k)+"/")
}

// unload plans the end of an object. A pool goes last: it cannot while those whose SAs end
// with this plan have addresses of it.
func (d *differ) unload(key string) {
	d.touched[key] = true
	o := d.h.have[key]
	shown := o != nil
	if o == nil {
		k, name, _ := strings.Cut(key, "/")
		o = &object{Kind: kind(k), Name: name}
		if o.Kind == kindShared {
			o.Section = &swanctl.Section{}
		}
	}
	var changes []backend.Change
	if shown || o.Kind == kindConn {
		changes = d.removed(o)
	}
	phase := backend.PhaseRemoveConnection
	if o.Kind == kindPool {
		phase = backend.PhaseSession
	}
	d.step(phase, objectOp(o, nil), changes...)
}

// changes are the lines of a loaded object; have is what the file has of it.
func (d *differ) changes(have, want *object) []backend.Change {
	switch want.Kind {
	case kindConn:
		return d.connChanges(have, want)
	case kindPool:
		return d.one(have, want, "ipsec/"+d.connOfPool(want.Name)+"/pool/"+want.Name, objectFields(have, want))
	case kindShared:
		return d.sharedChanges(have, want)
	}
	if same(have, want) { // else the file's own line tells
		return d.one(have, want, "file"+cmp.Or(want.Path, want.Name), nil)
	}
	return nil
}

// one is the line of an object whose fields differ, or that merely is not loaded.
func (d *differ) one(have, want *object, name string, fields []backend.Field) []backend.Change {
	c := backend.Change{Action: backend.Update, Object: name, Fields: fields}
	switch {
	case have == nil:
		c.Action = backend.Create
	case len(fields) == 0:
		c.Fields = []backend.Field{{Name: "loaded", Have: backend.Text(d.loadedText(want.key())), Want: backend.Text("yes")}}
	}
	return []backend.Change{c}
}

// loadedText is what is known of what charon has, where the file is as it shall be.
func (d *differ) loadedText(key string) string {
	if d.loaded(key) {
		return "outdated"
	}
	return "no"
}

// connOfPool is the connection that hands out a pool.
func (d *differ) connOfPool(name string) string {
	for _, set := range []holding{d.w.objects, d.h.have} {
		for _, o := range set.of(kindConn) {
			if slices.Contains(o.Section.Items("pools"), name) {
				return o.Name
			}
		}
	}
	return "pools"
}

func (d *differ) sharedChanges(have, want *object) []backend.Change {
	fields := objectFields(have, want)
	name := "psk"
	if want.user() != "" {
		name = "password"
	}
	for i := range fields {
		fields[i].Name = rename(fields[i].Name, want.user() != "")
	}
	if have == nil || have.Secret != want.Secret {
		f := backend.Field{Name: name, Want: backend.Secret()}
		if have != nil {
			f.Have = backend.Secret()
		}
		fields = append(fields, f)
	}
	changes := d.one(have, want, d.sharedObject(want), backend.SortFields(fields))
	if changes[0].Action == backend.Update && name == "psk" && len(fields) > 0 {
		changes[0].Note = otherEnd
	}
	if name == "psk" && changes[0].Action == backend.Create && d.w.objects.find(kindConn, connOfPSK(want.Name)) != nil &&
		d.h.have.find(kindConn, connOfPSK(want.Name)) != nil {
		changes[0].Action = backend.Update // of the connection, which there is
	}
	return changes
}

// rename is what the plan calls a field of a secret.
func rename(name string, user bool) string {
	if strings.HasPrefix(name, "id") {
		if user {
			return name
		}
		return "psk_" + name
	}
	return name
}

// connOfPSK is the connection that a PSK belongs to.
func connOfPSK(name string) string { return strings.TrimPrefix(name, "ike-") }

// sharedObject is where a plan tells of a secret: at its connection, or its user.
func (d *differ) sharedObject(o *object) string {
	user := o.user()
	if user == "" {
		return "ipsec/" + connOfPSK(o.Name)
	}
	rest := strings.TrimPrefix(o.Name, "eap-")
	for _, set := range []holding{d.w.objects, d.h.have} {
		for _, c := range set.of(kindConn) {
			if strings.HasPrefix(rest, c.Name+"-") || rest == c.Name {
				return "ipsec/" + c.Name + "/user/" + user
			}
		}
		for _, c := range set.of(kindConn) {
			if usesEAP(c.Section) {
				return "ipsec/" + c.Name + "/user/" + user
			}
		}
	}
	return "ipsec/user/" + user
}

func usesEAP(s *swanctl.Section) bool {
	return slices.ContainsFunc(s.Names(), func(name string) bool {
		return strings.HasPrefix(s.Sub(name).Values["auth"], "eap")
	})
}

// removed are the lines of an object that goes.
func (d *differ) removed(o *object) []backend.Change {
	c := backend.Change{Action: backend.Delete}
	switch o.Kind {
	case kindConn:
		c.Object = "ipsec/" + o.Name
		c.Impact = d.close("closes IKE_SA "+o.Name, "ends", closing{Connection: o.Name})
	case kindPool:
		c.Object = "ipsec/" + d.connOfPool(o.Name) + "/pool/" + o.Name
	case kindShared:
		if o.user() == "" {
			if d.w.objects.find(kindConn, connOfPSK(o.Name)) == nil {
				return nil // with its connection
			}
			c.Action, c.Fields = backend.Update, []backend.Field{{Name: "psk", Have: backend.Secret()}}
		} else if !d.wantsUser(o.user()) {
			c.Impact = d.close("removes user "+o.user(), "ends", closing{User: o.user()})
		}
		c.Object = d.sharedObject(o)
	default:
		return nil // the file's own line tells
	}
	return []backend.Change{c}
}

// wantsUser reports whether a user still has a password.
func (d *differ) wantsUser(user string) bool {
	return slices.ContainsFunc(d.w.objects.of(kindShared), func(o *object) bool { return o.user() == user })
}

// objectFields are the settings of an object that differ.
func objectFields(have, want *object) []backend.Field {
	var flat map[string]string
	if have != nil {
		flat = have.Section.Flatten()
	}
	return fieldsOf(flat, want.Section.Flatten())
}

// fieldsOf compares settings by their paths.
func fieldsOf(have, want map[string]string) []backend.Field {
	keys := map[string]bool{}
	for _, m := range []map[string]string{have, want} {
		for key := range m {
			keys[key] = true
		}
	}
	var fields []backend.Field
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		h, inHave := have[key]
		w, inWant := want[key]
		if h == w && inHave == inWant {
			continue
		}
		fields = append(fields, backend.Field{Name: key, Have: value(h, inHave), Want: value(w, inWant)})
	}
	return fields
}

func value(text string, present bool) backend.Value {
	if !present {
		return backend.Value{}
	}
	return backend.Text(text)
}
