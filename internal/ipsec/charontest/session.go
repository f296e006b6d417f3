package charontest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/strongswan/govici/vici"

	"github.com/vpnctl/vpnctl/internal/ipsec"
)

// session is a conversation with one run of charon.
type session struct {
	*Charon
	start int
}

var _ ipsec.Session = (*session)(nil)

// PID implements ipsec.Session.
func (s *session) PID() int { return 1000 + s.start }

// Run implements ipsec.Session.
func (s *session) Run() (string, error) { return fmt.Sprintf("run %d", s.start), nil }

// Close implements ipsec.Session.
func (s *session) Close() error { return nil }

// errGone is what a session hears of a charon that has ended.
var errGone = errors.New("broken pipe")

// Call implements ipsec.Session.
func (s *session) Call(_ context.Context, command string, in *vici.Message) (*vici.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running || s.start != s.starts {
		return nil, errGone
	}
	switch command {
	case "stats":
		return message("plugins", s.plugins), nil
	case "get-shared":
		return message("keys", sorted(s.shared)), nil
	case "get-keys":
		return message("keys", sorted(s.keys)), nil
	case "get-pools":
		return s.listPools(), nil
	case "get-algorithms":
		return algorithms(), nil
	}
	if command == "initiate" {
		// Asked for, and not waited for: what becomes of it is for who listens.
		_ = s.initiate(in, func(*vici.Message) {})
		return message("success", "yes"), nil
	}
	what := label(command, in)
	if command == "terminate" {
		what = "terminate " + s.names(in)
	}
	if err := s.fault(what); err != nil {
		return nil, err
	}
	s.calls = append(s.calls, what)
	if answer := s.write(command, in); answer != "" {
		return nil, &ipsec.CommandError{Command: command, Message: answer}
	}
	return message("success", "yes"), nil
}

// label names a write: "load-conn net".
func label(command string, in *vici.Message) string {
	for _, key := range []string{"id", "name"} {
		if name := text(in, key); name != "" {
			return command + " " + name
		}
	}
	if command == "load-cert" || command == "load-key" {
		return command + " " + fingerprint(text(in, "data"))
	}
	return command + " " + strings.Join(in.Keys(), " ")
}

// names tells an SA by names instead of its number.
func (c *Charon) names(in *vici.Message) string {
	for _, sa := range c.sas {
		if strconv.Itoa(sa.ID) == text(in, "ike-id") {
			return strings.TrimSpace(sa.Conn + " " + sa.User)
		}
		for _, child := range sa.Children {
			if strconv.Itoa(child.ID) == text(in, "child-id") {
				return sa.Conn + "/" + child.Name
			}
		}
	}
	return "nothing"
}

func fingerprint(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:4])
}

// write does a command, and returns what charon says against it.
func (c *Charon) write(command string, in *vici.Message) string {
	name := text(in, "name")
	switch command {
	case "load-conn":
		c.loadConn(in)
	case "unload-conn":
		if c.conns[name] == nil {
			return "unload: connection '" + name + "' not found"
		}
		delete(c.conns, name) // its SAs stay
	case "load-pool":
		return c.loadPool(in)
	case "unload-pool":
		switch {
		case c.pools[name] == nil:
			return name + " not found"
		case c.online(name) > 0:
			return name + " has online leases, unable to unload"
		}
		delete(c.pools, name)
	case "load-shared":
		c.shared[text(in, "id")] = in
	case "unload-shared":
		delete(c.shared, text(in, "id"))
	case "load-cert":
		c.certs[fingerprint(text(in, "data"))] = true
	case "load-key":
		return c.loadKey(in)
	case "unload-key":
		if _, ok := c.keys[text(in, "id")]; !ok {
			return "key not found"
		}
		delete(c.keys, text(in, "id"))
	case "terminate":
		return c.terminate(in)
	default:
		return "unknown command"
	}
	return ""
}

// loadConn replaces a connection. Children that charon holds as trap or none keep their
// SAs, with the settings from before (measured); vpnctl holds none as start.
func (c *Charon) loadConn(in *vici.Message) {
	for _, name := range in.Keys() {
		m, _ := in.Get(name).(*vici.Message)
		for _, child := range sub(m, "children").Keys() {
			if strings.Contains(text(sub(m, "children", child), "start_action"), "start") {
				panic("a child is held as start: " + name + "/" + child)
			}
		}
		c.conns[name] = m
	}
}

func (c *Charon) loadPool(in *vici.Message) string {
	for _, name := range in.Keys() {
		m, _ := in.Get(name).(*vici.Message)
		have := c.pools[name]
		if have != nil && have.String() != m.String() && c.online(name) > 0 {
			return "vici pool " + name + " has online leases, unable to replace"
		}
		c.pools[name] = m
	}
	return ""
}

func (c *Charon) loadKey(in *vici.Message) string {
	data := text(in, "data")
	id := ipsec.KeyID([]byte(data), nil)
	if id == "" {
		return "parsing any private key failed"
	}
	c.keys[id] = data
	return ""
}

func (c *Charon) terminate(in *vici.Message) string {
	ike, _ := strconv.Atoi(text(in, "ike-id"))
	child, _ := strconv.Atoi(text(in, "child-id"))
	found := false
	c.sas = slices.DeleteFunc(c.sas, func(sa *SA) bool {
		if ike != 0 && sa.ID == ike {
			found = true
			return true
		}
		before := len(sa.Children)
		sa.Children = slices.DeleteFunc(sa.Children, func(c Child) bool { return child != 0 && c.ID == child })
		found = found || len(sa.Children) < before
		return false
	})
	if !found {
		return "no matching SAs to terminate found"
	}
	return ""
}

// Stream implements ipsec.Session.
func (s *session) Stream(_ context.Context, command, event string, in *vici.Message, fn func(*vici.Message)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running || s.start != s.starts {
		return errGone
	}
	switch command + " " + event {
	case "list-conns list-conn":
		for _, name := range sorted(s.conns) {
			fn(message(name, listed(s.conns[name])))
		}
		return nil
	case "list-sas list-sa":
		for _, sa := range s.sas {
			fn(message(sa.Conn, s.listSA(sa)))
		}
		return nil
	case "initiate control-log":
		return s.initiate(in, fn)
	}
	return fmt.Errorf("nobody streams %s for %s", event, command)
}

func (s *session) initiate(in *vici.Message, fn func(*vici.Message)) error {
	conn, child := text(in, "ike"), text(in, "child")
	if err := s.fault("initiate " + conn + "/" + child); err != nil {
		return err
	}
	s.calls = append(s.calls, "initiate "+conn+"/"+child)
	no := func(answer string) error { return &ipsec.CommandError{Command: "initiate", Message: answer} }
	if sub(s.conns[conn], "children", child) == nil {
		return no("CHILD_SA config '" + child + "' not found")
	}
	if r, ok := s.Refusals[conn+"/"+child]; ok {
		for _, line := range r.Log {
			s.say(ipsec.Event{Connection: conn, Line: line})
			fn(message("group", "IKE", "level", "1", "msg", line))
		}
		return no(r.Answer)
	}
	s.comeUp(conn, child)
	return nil
}

// comeUp makes a CHILD_SA, in the IKE_SA that there is.
func (c *Charon) comeUp(conn, child string) {
	defer c.say(ipsec.Event{Connection: conn, Up: true, Children: []string{child}})
	for _, sa := range c.sas {
		if sa.Conn == conn {
			c.addChild(sa, child)
			return
		}
	}
	c.addChild(c.newSA(conn), child)
}

// listed is a connection as list-conns tells it: without proposals and start actions.
func listed(m *vici.Message) *vici.Message {
	version := map[string]string{"1": "IKEv1", "2": "IKEv2"}[text(m, "version")]
	out := message("version", version)
	for _, key := range []string{"local_addrs", "remote_addrs"} {
		addrs, _ := m.Get(key).([]string)
		if len(addrs) == 0 {
			addrs = []string{"%any"}
		}
		_ = out.Set(key, addrs)
	}
	children := vici.NewMessage()
	for _, name := range sub(m, "children").Keys() {
		mode := text(sub(m, "children", name), "mode")
		_ = children.Set(name, message("mode", strings.ToUpper(mode)))
	}
	_ = out.Set("children", children)
	for _, key := range m.Keys() {
		if s := sub(m, key); s != nil && strings.HasPrefix(key, "remote") && strings.HasPrefix(text(s, "auth"), "eap") {
			_ = out.Set("remote-1", message("class", "EAP"))
		}
	}
	return out
}

func (s *session) listSA(sa *SA) *vici.Message {
	children := vici.NewMessage()
	for _, c := range sa.Children {
		var ts []string
		if m := sub(s.conns[sa.Conn], "children", c.Name); m != nil {
			ts, _ = m.Get("remote_ts").([]string)
		}
		_ = children.Set(fmt.Sprintf("%s-%d", c.Name, c.ID), message(
			"name", c.Name, "uniqueid", strconv.Itoa(c.ID), "state", "INSTALLED", "protocol", "ESP",
			"spi-in", fmt.Sprintf("c%07x", c.ID), "spi-out", fmt.Sprintf("%08x", spiOut(c.ID)),
			"encr-alg", "AES_CBC", "encr-keysize", "128", "integ-alg", "HMAC_SHA2_256_128",
			"bytes-in", "840", "bytes-out", "1680", "install-time", "60", "rekey-time", "3000", "remote-ts", ts))
	}
	out := message("uniqueid", strconv.Itoa(sa.ID), "version", "2", "state", "ESTABLISHED",
		"local-host", "192.168.10.10", "local-port", "4500", "remote-host", sa.Remote, "remote-port", "4500",
		"remote-id", cmp.Or(sa.Identity, sa.Remote), "encr-alg", "AES_CBC", "encr-keysize", "128", "integ-alg", "HMAC_SHA2_256_128",
		"prf-alg", "PRF_HMAC_SHA2_256", "dh-group", "MODP_2048", "child-sas", children)
	// Of a user who is his own id, it is told but once.
	if sa.User != "" && sa.User != sa.Identity {
		_ = out.Set("remote-eap-id", sa.User)
	}
	if sa.Pool != "" {
		_ = out.Set("remote-vips", []string{fmt.Sprintf("10.99.0.%d", sa.ID)})
	}
	return out
}

func (s *session) listPools() *vici.Message {
	out := vici.NewMessage()
	for _, name := range sorted(s.pools) {
		_ = out.Set(name, message("base", text(s.pools[name], "addrs"), "size", "254", "online", s.online(name), "offline", 0))
	}
	return out
}

// algorithms are those of a charon without its extra plugins.
func algorithms() *vici.Message {
	with := func(names ...string) *vici.Message {
		m := vici.NewMessage()
		for _, name := range names {
			_ = m.Set(name, "openssl")
		}
		return m
	}
	return message(
		"encryption", with("AES_CBC", "3DES_CBC"), "integrity", with("HMAC_SHA1_96", "HMAC_SHA2_256_128", "HMAC_SHA2_384_192"),
		"aead", with("AES_GCM_16"), "dh", with("MODP_1024", "MODP_2048", "ECP_256"), "prf", with("PRF_HMAC_SHA2_256"))
}
