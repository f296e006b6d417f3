package sysctl

import "github.com/vpnctl/vpnctl/internal/host"

// beside reads what a write of key would change along with it.
func beside(s host.Settings, key string) (map[string]string, error) {
	e, ok := effects[key]
	if !ok {
		return nil, nil
	}
	ifaces, err := s.List(e.folder)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, iface := range ifaces {
		for _, name := range []string{e.kept, e.moved} {
			k := e.folder + "/" + iface + "/" + name
			if name == "" || k == key || aliases[k] == key {
				continue
			}
			v, ok, err := get(s, k)
			if err != nil {
				return nil, err
			}
			if ok {
				out[k] = v
			}
		}
	}
	return out, nil
}

// have is the value of a key once the steps so far are done: after a cut-off apply it is not
// what is there now.
func (d *differ) have(key string) (string, bool, error) {
	now, ok, err := get(d.settings, key)
	if v, expected := d.expect[key]; ok && expected {
		now = v
	}
	return now, ok, err
}

// expectAfter notes what a step will leave beside its key: what it writes there, and the
// key's own value in the rest.
func (d *differ) expectAfter(from, to *setting) {
	if from == nil {
		return
	}
	for k := range from.Beside {
		v, ok := to.Beside[k]
		if !ok {
			v = to.Value
		}
		d.expect[k] = v
	}
}

// original is the owner's value of a key that is now have: another, where a write of
// forwarding has changed it along.
func (d *differ) original(key, have string) string {
	for cause, e := range effects {
		known := d.recall(cause)
		if known == nil {
			continue
		}
		if v, ok := known.Beside[key]; ok && !e.keeps(key) && have == known.Set {
			return v
		}
	}
	return have
}

// besideSet is what shall stand beside a key once it is set: what the owner had in those
// that nobody meant to change, and what is wanted in the others.
func (d *differ) besideSet(key string, now, pending map[string]string) map[string]string {
	e, ok := effects[key]
	if !ok {
		return nil
	}
	out := map[string]string{}
	for k, v := range now {
		if p, ok := pending[k]; ok {
			v = p
		}
		if w, ok := d.want[k]; e.keeps(k) {
			out[k] = v
		} else if ok {
			out[k] = w
		}
	}
	if len(out) == 0 {
		return nil // so that nothing is pending
	}
	return out
}

// moved is the value that a key gets from another one that is wanted: with nothing said of
// an interface, it forwards as the host does.
func (d *differ) moved(key string) (string, bool) {
	folder, _, name, _ := confOf(key)
	for cause, e := range effects {
		if v, ok := d.want[cause]; ok && folder == e.folder && name == e.moved && key != cause {
			return v, true
		}
	}
	return "", false
}

// besideRestored is what shall stand beside a key once it is put back: what the owner has
// there now, and where the key's own value went along, what he had before. What is wanted
// stays.
func (d *differ) besideRestored(key string, known *record, now map[string]string) map[string]string {
	e, ok := effects[key]
	if !ok {
		return nil
	}
	out := map[string]string{}
	for k, v := range now {
		before, remembered := known.Beside[k]
		pending, cutOff := known.Pending[k]
		want, wanted := d.want[k]
		switch {
		case wanted:
			out[k] = want
		case cutOff:
			out[k] = pending
		case e.keeps(k), v != known.Set:
			out[k] = v
		case remembered:
			out[k] = before
		}
		// An interface that came later gets what the kernel gives it.
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
