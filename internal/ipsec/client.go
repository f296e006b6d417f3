package ipsec

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/strongswan/govici/vici"
)

// client asks charon in the terms of this package.
type client struct{ Session }

// open opens a session; charon not running is ErrNotRunning.
func (b *Backend) open(ctx context.Context) (*client, error) {
	s, err := b.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return &client{s}, nil
}

// message builds a message of pairs; values are those that vici.Message.Set takes.
func message(pairs ...any) *vici.Message {
	m := vici.NewMessage()
	for i := 0; i < len(pairs); i += 2 {
		// Text, lists and messages always go in.
		_ = m.Set(pairs[i].(string), pairs[i+1])
	}
	return m
}

// do sends a command of which only success matters.
func (c *client) do(ctx context.Context, command string, in *vici.Message) error {
	_, err := c.Call(ctx, command, in)
	return err
}

// refused reports whether charon's own answer holds the words.
func refused(err error, words string) bool {
	var e *CommandError
	return errors.As(err, &e) && strings.Contains(e.Message, words)
}

// strings of a list in an answer.
func list(m *vici.Message, key string) []string {
	l, _ := m.Get(key).([]string)
	return l
}

// listOf asks for a list of names.
func (c *client) listOf(ctx context.Context, command, key string) ([]string, error) {
	m, err := c.Call(ctx, command, nil)
	if err != nil {
		return nil, err
	}
	return list(m, key), nil
}

// loadedConn is a connection as charon tells it; proposals, secrets and start actions it
// does not.
type loadedConn struct {
	Version  string                 `vici:"version"`
	Local    []string               `vici:"local_addrs"`
	Remote   []string               `vici:"remote_addrs"`
	Children map[string]loadedChild `vici:"children"`
	// Users says that peers log in by name.
	Users bool
}

// logsIn reports whether peers of a loaded connection log in by name.
func logsIn(m *vici.Message) bool {
	return slices.ContainsFunc(m.Keys(), func(key string) bool {
		auth, ok := m.Get(key).(*vici.Message)
		if !ok || !strings.HasPrefix(key, "remote-") {
			return false
		}
		class, _ := auth.Get("class").(string)
		return strings.HasPrefix(class, "EAP")
	})
}

type loadedChild struct {
	Mode string `vici:"mode"`
}

// conns lists the loaded connections by name.
func (c *client) conns(ctx context.Context) (map[string]loadedConn, error) {
	conns := map[string]loadedConn{}
	err := c.named(ctx, "list-conns", "list-conn", func(name string, m *vici.Message) error {
		var conn loadedConn
		err := vici.UnmarshalMessage(m, &conn)
		conn.Users = logsIn(m)
		conns[name] = conn
		return err
	})
	return conns, err
}

// named streams events that hold one section each, and hands that on by its name.
func (c *client) named(ctx context.Context, command, event string, fn func(name string, m *vici.Message) error) error {
	var failed error
	err := c.Stream(ctx, command, event, nil, func(m *vici.Message) {
		for _, name := range m.Keys() {
			if s, ok := m.Get(name).(*vici.Message); ok && failed == nil {
				failed = fn(name, s)
			}
		}
	})
	if err == nil && failed != nil {
		return fmt.Errorf("reading %s: %w", command, failed)
	}
	return err
}

// pool is a pool as charon tells it.
type pool struct {
	Base   string `vici:"base"`
	Size   int    `vici:"size"`
	Online int    `vici:"online"`
}

// pools lists the loaded pools by name.
func (c *client) pools(ctx context.Context) (map[string]pool, error) {
	m, err := c.Call(ctx, "get-pools", nil)
	if err != nil {
		return nil, err
	}
	pools := map[string]pool{}
	if err := vici.UnmarshalMessage(m, pools); err != nil {
		return nil, fmt.Errorf("reading get-pools: %w", err)
	}
	return pools, nil
}

// ikeSA is an IKE_SA as list-sas tells it.
type ikeSA struct {
	Name          string
	ID            string   `vici:"uniqueid"`
	Version       string   `vici:"version"`
	State         string   `vici:"state"`
	LocalHost     string   `vici:"local-host"`
	LocalPort     string   `vici:"local-port"`
	RemoteHost    string   `vici:"remote-host"`
	RemotePort    string   `vici:"remote-port"`
	RemoteID      string   `vici:"remote-id"`
	EAPID         string   `vici:"remote-eap-id"`
	XAuthID       string   `vici:"remote-xauth-id"`
	Encryption    string   `vici:"encr-alg"`
	EncryptionKey string   `vici:"encr-keysize"`
	Integrity     string   `vici:"integ-alg"`
	PRF           string   `vici:"prf-alg"`
	Group         string   `vici:"dh-group"`
	Established   string   `vici:"established"`
	RemoteVIPs    []string `vici:"remote-vips"`
	LocalVIPs     []string `vici:"local-vips"`
	Children      []childSA
}

// childSA is a CHILD_SA as list-sas tells it.
type childSA struct {
	Name          string   `vici:"name"`
	ID            string   `vici:"uniqueid"`
	State         string   `vici:"state"`
	Protocol      string   `vici:"protocol"`
	SPIIn         string   `vici:"spi-in"`
	SPIOut        string   `vici:"spi-out"`
	Encryption    string   `vici:"encr-alg"`
	EncryptionKey string   `vici:"encr-keysize"`
	Integrity     string   `vici:"integ-alg"`
	Group         string   `vici:"dh-group"`
	BytesIn       string   `vici:"bytes-in"`
	BytesOut      string   `vici:"bytes-out"`
	RekeyTime     string   `vici:"rekey-time"`
	InstallTime   string   `vici:"install-time"`
	LocalTS       []string `vici:"local-ts"`
	RemoteTS      []string `vici:"remote-ts"`
}

// established reports whether the IKE_SA carries anything.
func (s *ikeSA) established() bool {
	return s.State == "ESTABLISHED" || strings.HasPrefix(s.State, "REK")
}

// negotiating reports whether it is about to.
func (s *ikeSA) negotiating() bool { return s.State == "CONNECTING" || s.State == "CREATED" }

// installed reports whether the CHILD_SA carries traffic.
func (c *childSA) installed() bool {
	return c.State == "INSTALLED" || c.State == "REKEYING" || c.State == "UPDATING"
}

// user is who is at the other end, "" where it is no person.
func (s *ikeSA) user() string {
	if s.EAPID != "" {
		return s.EAPID
	}
	return s.XAuthID
}

// sas lists the live SAs, in the order of their numbers.
func (c *client) sas(ctx context.Context) ([]ikeSA, error) {
	var sas []ikeSA
	err := c.named(ctx, "list-sas", "list-sa", func(name string, m *vici.Message) error {
		sa, err := parseSA(name, m)
		sas = append(sas, sa)
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(sas, func(a, b ikeSA) int { return compareNumbers(a.ID, b.ID) })
	return sas, c.nameUsers(ctx, sas)
}

// nameUsers fills in the names of those who have logged in by what is their id, too: there
// charon tells it but once.
func (c *client) nameUsers(ctx context.Context, sas []ikeSA) error {
	if !slices.ContainsFunc(sas, func(s ikeSA) bool { return s.user() == "" && len(s.RemoteVIPs) > 0 }) {
		return nil
	}
	conns, err := c.conns(ctx)
	for i := range sas {
		if s := &sas[i]; s.user() == "" && conns[s.Name].Users {
			s.EAPID = s.RemoteID
		}
	}
	return err
}

func parseSA(name string, m *vici.Message) (ikeSA, error) {
	sa := ikeSA{Name: name}
	if err := vici.UnmarshalMessage(m, &sa); err != nil {
		return sa, err
	}
	children, ok := m.Get("child-sas").(*vici.Message)
	if !ok {
		return sa, nil
	}
	for _, key := range children.Keys() {
		section, ok := children.Get(key).(*vici.Message)
		if !ok {
			continue
		}
		var child childSA
		if err := vici.UnmarshalMessage(section, &child); err != nil {
			return sa, err
		}
		sa.Children = append(sa.Children, child)
	}
	return sa, nil
}

// compareNumbers orders decimal numbers.
func compareNumbers(a, b string) int {
	x, _ := strconv.Atoi(a)
	y, _ := strconv.Atoi(b)
	return x - y
}
