package ipsec

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/reason"
)

// Status implements backend.Backend: one row a child, of a server one a client. That of
// what is below L2TP says so, and does not stand alone.
func (b *Backend) Status(ctx context.Context, in backend.Input) ([]backend.Tunnel, error) {
	if in.Want.IPsec.IsZero() {
		return nil, nil
	}
	s := &status{in: in, now: b.Now(), userspace: b.userspace(&in.Want.IPsec)}
	var err error
	if s.reasons, err = b.Reasons.All(); err != nil {
		return nil, err
	}
	if s.expired, err = b.expired(ctx, in, s.now); err != nil {
		return nil, err
	}
	if err := b.live(ctx, s); err != nil {
		return nil, err
	}
	var rows []backend.Tunnel
	want := b.waken(&in.Want.IPsec)
	for i := range want.Connections {
		rows = append(rows, s.rows(&want.Connections[i])...)
	}
	return rows, nil
}

// status is what rows are made of.
type status struct {
	in      backend.Input
	now     time.Time
	running bool
	// userspace says that charon encrypts itself.
	userspace bool
	conns     map[string]loadedConn
	sas       []ikeSA
	// expired tells of tunnels, by object, whose certificate is out of date: the peer says
	// no more than that it refuses.
	expired map[string]string
	reasons map[reason.Key]reason.Reason
}

// live asks charon, if there is one.
func (b *Backend) live(ctx context.Context, s *status) error {
	state, err := b.Daemon.State(ctx)
	if err != nil || !state.Running {
		return err
	}
	c, err := b.open(ctx)
	if errors.Is(err, ErrNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	plugins, err := c.plugins(ctx)
	if err != nil {
		return err
	}
	s.userspace = slices.Contains(plugins, pluginLibipsec)
	if s.conns, err = c.conns(ctx); err != nil {
		return err
	}
	s.sas, err = c.sas(ctx)
	s.running = err == nil
	return err
}

// rows are those of one connection.
func (s *status) rows(conn *desired.Connection) []backend.Tunnel {
	var rows []backend.Tunnel
	for i := range conn.Children {
		c := &conn.Children[i]
		found := false
		for n := range s.sas {
			sa := &s.sas[n]
			for m := range sa.Children {
				if child := &sa.Children[m]; sa.Name == conn.Name && child.Name == c.Name && child.installed() {
					rows = append(rows, s.up(conn, c, sa, child))
					found = true
				}
			}
		}
		if !found {
			rows = append(rows, s.down(conn, c))
		}
	}
	return rows
}

// bare is what a row says without an SA.
func (s *status) bare(conn *desired.Connection, c *desired.Child) backend.Tunnel {
	t := backend.Tunnel{
		Protocol: backend.IPsec, Name: conn.Name, Child: c.Name, Backend: "kernel", Addresses: c.RemoteTS,
	}
	if s.userspace {
		t.Backend, t.Interface = "libipsec", libipsecLink
	}
	if kind, name := whose(conn); kind != backend.IPsec {
		t.Carries = string(kind) + "/" + name
	}
	if conn.Remote.ID != "%any" {
		t.Peer = conn.Remote.ID
	}
	if len(conn.RemoteAddrs) > 0 && conn.RemoteAddrs[0] != "%any" {
		t.Endpoint = conn.RemoteAddrs[0]
	}
	return t
}

// whose is the kind and name of the tunnel that a connection is for: of itself, or of what
// runs inside.
func whose(conn *desired.Connection) (backend.Kind, string) {
	kind, name, _ := strings.Cut(conn.Origin, "/")
	return backend.Kind(kind), name
}

// up is the row of a live SA.
func (s *status) up(conn *desired.Connection, c *desired.Child, sa *ikeSA, child *childSA) backend.Tunnel {
	t := s.bare(conn, c)
	t.State, t.User, t.Peer = backend.Up, sa.user(), sa.RemoteID
	t.Local, t.Remote = endpoint(sa.LocalHost, sa.LocalPort), endpoint(sa.RemoteHost, sa.RemotePort)
	t.Addresses = child.RemoteTS
	switch {
	case len(sa.RemoteVIPs) > 0:
		t.Addresses = sa.RemoteVIPs
	case len(sa.LocalVIPs) > 0:
		t.Addresses = sa.LocalVIPs
	}
	t.RxBytes, t.TxBytes = counter(child.BytesIn), counter(child.BytesOut)
	if age, ok := seconds(child.InstallTime); ok {
		t.Since = s.now.Add(-age).Truncate(time.Second)
	}
	t.IPsec = &backend.IPsecDetail{
		IKE:   join(sized(sa.Encryption, sa.EncryptionKey), sa.Integrity, sa.PRF, sa.Group),
		Child: join(child.Protocol, sized(child.Encryption, child.EncryptionKey), child.Integrity, child.Group),
		SPIIn: child.SPIIn, SPIOut: child.SPIOut,
	}
	if left, ok := seconds(child.RekeyTime); ok {
		t.IPsec.RekeyAt = s.now.Add(left).Truncate(time.Second)
	}
	return t
}

// firstAttempt is how long one counts as under way (contract, section 2).
const firstAttempt = 30 * time.Second

// down is the row of a child without SA.
func (s *status) down(conn *desired.Connection, c *desired.Child) backend.Tunnel {
	t := s.bare(conn, c)
	why, failed := s.reasons[reason.Key{Connection: conn.Name, Child: c.Name}]
	_, loaded := s.conns[conn.Name]
	switch {
	case !s.running:
		t.State, t.Reason = backend.Down, ErrNotRunning.Error()
	case !loaded:
		t.State, t.Reason = backend.Down, "the connection is not loaded"
	case c.Initiate != desired.InitiateNever && !failed && s.connecting(conn.Name):
		t.State = backend.Connecting
	case failed && (c.Initiate != desired.InitiateNever || c.Hold == "trap"):
		t.State, t.Reason = backend.Down, why.Text
	case c.Initiate != desired.InitiateNever:
		t.State, t.Reason = backend.Down, noAnswer
	default:
		t.State = backend.Idle // waits for traffic, or for the other side
	}
	if why := s.expired[conn.Origin]; t.State == backend.Down && s.running && why != "" {
		t.Reason = why
	}
	return t
}

// connecting reports whether a first attempt is under way.
func (s *status) connecting(conn string) bool {
	if !s.in.AppliedAt.IsZero() && s.now.Sub(s.in.AppliedAt) < firstAttempt {
		return true
	}
	for i := range s.sas {
		if s.sas[i].Name == conn && s.sas[i].negotiating() {
			return true
		}
	}
	return false
}

func endpoint(host, port string) string {
	if host == "" {
		return ""
	}
	return net.JoinHostPort(host, port)
}

func counter(text string) *uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return nil
	}
	return &n
}

func seconds(text string) (time.Duration, bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	return time.Duration(n) * time.Second, err == nil
}

func sized(name, size string) string {
	if name == "" || size == "" {
		return name
	}
	return name + "_" + size
}

// join puts the names of algorithms together as swanctl does.
func join(names ...string) string {
	var out []string
	for _, name := range names {
		if name != "" {
			out = append(out, name)
		}
	}
	return strings.Join(out, "/")
}
