package ipsec

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
)

// otherEnd is the remark on a change that both ends have to make.
const otherEnd = "takes effect once the other end applies too"

// mirrored are the settings that both ends must have, or have turned round.
var mirrored = []string{
	"version", "proposals", "esp_proposals", "ah_proposals", "local_ts", "remote_ts", "mode",
	"local_addrs", "remote_addrs", "auth", "id", "eap_id",
}

// needsOther reports whether changed fields count only once the other end has them too.
func needsOther(fields []backend.Field) bool {
	return slices.ContainsFunc(fields, func(f backend.Field) bool {
		return slices.Contains(mirrored, f.Name[strings.LastIndexByte(f.Name, '.')+1:])
	})
}

// connChanges are the lines of a connection and of its children. charon leaves their SAs
// standing, with the old settings, so those that no longer fit are closed.
func (d *differ) connChanges(have, want *object) []backend.Change {
	fields := connFields(have, want)
	c := backend.Change{Action: backend.Update, Object: "ipsec/" + want.Name, Fields: fields}
	conn := d.connection(want.Name)
	if have != nil && needsOther(fields) && !(conn != nil && conn.Server) {
		c.Note = otherEnd
	}
	switch {
	case have == nil:
		c.Action = backend.Create
		d.closing = append(d.closing, closing{Connection: want.Name, New: true})
	case replacesIKE(fields):
		c.Impact = d.close("replaces IKE_SA "+want.Name, "interrupts", closing{Connection: want.Name})
	}
	var changes []backend.Change
	if have == nil || len(fields) > 0 {
		changes = append(changes, c)
	}
	for _, name := range want.children().Names() {
		changes = append(changes, d.childChanges(have, want, name)...)
	}
	for _, name := range have.children().Names() {
		if want.children().Sections[name] == nil {
			changes = append(changes, d.removedChild(want.Name, name))
		}
	}
	if len(changes) == 0 {
		changes = d.one(have, want, c.Object, nil)
	}
	if have == nil || !d.loaded(want.key()) || replacesIKE(fields) {
		d.bringUp(want, want.children().Names()...)
	}
	return changes
}

// connFields are the settings of a connection's IKE part that differ.
func connFields(have, want *object) []backend.Field {
	var flat map[string]string
	if have != nil {
		flat = have.Section.Flatten("children")
	}
	fields := fieldsOf(flat, want.Section.Flatten("children"))
	if have != nil && !equalFiles(have.Files, want.Files) {
		fields = append(fields, backend.Field{
			Name: "certificates", Have: backend.Text(digest(have.Files)), Want: backend.Text(digest(want.Files)),
		})
	}
	return backend.SortFields(fields)
}

func digest(files map[string][]byte) string {
	h := sha256.New()
	for _, path := range sortedKeys(files) {
		h.Write(files[path])
	}
	return fmt.Sprintf("sha256 %x", h.Sum(nil)[:6])
}

// replacesIKE reports whether the IKE_SA does not fit any more. Another pool counts for
// new clients only.
func replacesIKE(fields []backend.Field) bool {
	return slices.ContainsFunc(fields, func(f backend.Field) bool { return f.Name != "pools" })
}

func (d *differ) childChanges(have, want *object, name string) []backend.Change {
	was, is := have.children().Sections[name], want.children().Sections[name]
	c := backend.Change{Action: backend.Update, Object: "ipsec/" + want.Name + "/child/" + name}
	if was == nil {
		c.Action, c.Fields = backend.Create, fieldsOf(nil, is.Flatten())
		if have != nil {
			d.closing = append(d.closing, closing{Connection: want.Name, Child: name, Gone: true, New: true})
			d.bringUp(want, name)
		}
		return []backend.Change{c}
	}
	if c.Fields = fieldsOf(was.Flatten(), is.Flatten()); len(c.Fields) == 0 {
		return nil
	}
	if conn := d.connection(want.Name); needsOther(c.Fields) && !(conn != nil && conn.Server) {
		c.Note = otherEnd
	}
	c.Impact = d.close("replaces CHILD_SA "+name, "interrupts", closing{Connection: want.Name, Child: name})
	d.bringUp(want, name)
	return []backend.Change{c}
}

func (d *differ) removedChild(conn, name string) backend.Change {
	return backend.Change{
		Action: backend.Delete, Object: "ipsec/" + conn + "/child/" + name,
		Impact: d.close("closes CHILD_SA "+name, "ends", closing{Connection: conn, Child: name, Gone: true}),
	}
}

// connection is a connection as it is wanted, nil for a pass shunt.
func (d *differ) connection(name string) *desired.Connection {
	for i := range d.w.Connections {
		if d.w.Connections[i].Name == name {
			return &d.w.Connections[i]
		}
	}
	return nil
}

// bringUp notes which of a connection's children are to be initiated: those that this
// node starts, and those that were up and lose their SA, where the peer has an address.
// One that the other end shall start has five seconds to do so, and then is watch's.
func (d *differ) bringUp(o *object, names ...string) {
	conn := d.connection(o.Name)
	if conn == nil {
		return
	}
	for i := range conn.Children {
		c := &conn.Children[i]
		noted := slices.ContainsFunc(d.up, func(u child) bool { return u.Connection == o.Name && u.Child == c.Name })
		if noted || !slices.Contains(names, c.Name) {
			continue
		}
		if c.Initiate == desired.InitiateFirst || d.live(o.Name, c.Name) && dials(o) {
			d.up = append(d.up, child{Connection: o.Name, Child: c.Name, IKE: conn.Proposals, ESP: c.Proposals})
		}
	}
}

// dials reports whether a connection knows where its peer is.
func dials(o *object) bool {
	return slices.ContainsFunc(o.Section.Items("remote_addrs"), func(a string) bool { return a != "%any" })
}

// live reports whether a child has an SA.
func (d *differ) live(conn, name string) bool {
	for i := range d.h.sas {
		if d.h.sas[i].Name != conn {
			continue
		}
		for _, c := range d.h.sas[i].Children {
			if c.Name == name && c.installed() {
				return true
			}
		}
	}
	return false
}
