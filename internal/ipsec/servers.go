package ipsec

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
)

var (
	_ backend.ServerLister      = (*Backend)(nil)
	_ backend.CertificateLister = (*Backend)(nil)
	_ backend.Kicker            = (*Backend)(nil)
)

// Servers implements backend.ServerLister. Without a charon nobody has an address, and
// nobody can get one.
func (b *Backend) Servers(ctx context.Context, in backend.Input) ([]backend.Server, error) {
	var rows []backend.Server
	for i := range in.Want.IPsec.Connections {
		c := &in.Want.IPsec.Connections[i]
		if c.Server && len(c.Pools) > 0 {
			rows = append(rows, backend.Server{Protocol: backend.IPsec, Name: c.Name, Pool: poolsOf(&in.Want.IPsec, c)})
		}
	}
	if len(rows) == 0 {
		return nil, nil
	}
	h := &snapshot{}
	var err error
	if h.have, err = b.observeFiles(in); err != nil {
		return nil, err
	}
	c, err := b.openOwn(ctx)
	if c == nil || err != nil {
		return rows, err
	}
	defer func() { _ = c.Close() }()
	if h.pools, err = c.pools(ctx); err != nil {
		return nil, err
	}
	here := settlePools(&in.Want.IPsec, h) // under the names that they have on this host
	for i := range rows {
		at := slices.IndexFunc(here.Connections, func(c desired.Connection) bool { return c.Name == rows[i].Name })
		rows[i].Used, rows[i].Free = h.count(here.Connections[at].Pools)
	}
	return rows, nil
}

// count adds up pools of each family. A client has an address of either, so that the one
// of which fewer are left counts.
func (h *snapshot) count(names []string) (used, free int) {
	var families [2]pool
	for _, name := range names {
		p, f := h.pools[name], &families[0]
		if strings.Contains(p.Base, ":") {
			f = &families[1]
		}
		f.Size, f.Online = f.Size+p.Size, f.Online+p.Online
	}
	for i, f := range families {
		// Who was here and has gone keeps no address.
		if left := f.Size - f.Online; f.Size > 0 && (i == 0 || families[0].Size == 0 || left < free) {
			used, free = f.Online, left
		}
	}
	return used, free
}

// poolsOf are the addresses that a connection hands out.
func poolsOf(i *desired.IPsec, c *desired.Connection) []string {
	var out []string
	for _, p := range i.Pools {
		if slices.Contains(c.Pools, p.Name) {
			out = append(out, p.Addrs)
		}
	}
	return out
}

// openOwn opens a session with this host's charon; nil where there is none.
func (b *Backend) openOwn(ctx context.Context) (*client, error) {
	state, err := b.Daemon.State(ctx)
	if err != nil || !state.Running {
		return nil, err
	}
	c, err := b.open(ctx)
	if errors.Is(err, ErrNotRunning) {
		return nil, nil
	}
	return c, err
}

// Certificates implements backend.CertificateLister: those that this node shows, and those
// that it checks others against.
func (b *Backend) Certificates(_ context.Context, in backend.Input) ([]backend.Certificate, error) {
	var rows []backend.Certificate
	for i := range in.Want.IPsec.Connections {
		c := &in.Want.IPsec.Connections[i]
		names := slices.Concat(c.Local.Certs, c.Remote.CACerts, c.Local.CACerts)
		for _, cred := range in.Want.IPsec.Credentials {
			if !slices.Contains(names, path.Base(cred.Path)) || cred.Secret != "" {
				continue
			}
			block, _ := pem.Decode(cred.Data)
			if block == nil {
				continue
			}
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				continue // charon may be less strict, and has the last word
			}
			kind, name := whose(c)
			rows = append(rows, backend.Certificate{
				Protocol: kind, Name: name, Path: cred.Path, Subject: cert.Subject.String(), NotAfter: cert.NotAfter,
			})
		}
	}
	return rows, nil
}

// expired tells of each connection with a certificate that is out of date.
func (b *Backend) expired(ctx context.Context, in backend.Input, now time.Time) (map[string]string, error) {
	rows, err := b.Certificates(ctx, in)
	why := map[string]string{}
	for _, c := range rows {
		if now.After(c.NotAfter) {
			why[string(c.Protocol)+"/"+c.Name] = fmt.Sprintf("certificate expired (%s, at %s)", c.Subject, c.NotAfter.UTC().Format(time.RFC3339))
		}
	}
	return why, err
}

// Kick implements backend.Kicker. A user's sessions are the IKE_SAs in which he has logged
// in, those of connections that are not vpnctl's apart, and those below L2TP, whose users
// log in inside.
func (b *Backend) Kick(ctx context.Context, in backend.Input, user string) ([]backend.Session, error) {
	if in.Want.IPsec.IsZero() {
		return nil, nil
	}
	c, err := b.openOwn(ctx)
	if c == nil || err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	sas, err := c.sas(ctx)
	if err != nil {
		return nil, err
	}
	var ended []backend.Session
	for i := range sas {
		sa := &sas[i]
		own := slices.ContainsFunc(in.Want.IPsec.Connections, func(c desired.Connection) bool {
			kind, _ := whose(&c)
			return c.Name == sa.Name && c.Server && kind == backend.IPsec
		})
		if !own || !sa.belongsTo(user) {
			continue
		}
		if err := c.close(ctx, target{"ike-id", sa.ID, "IKE_SA", sa.Name}); err != nil {
			return ended, err
		}
		ended = append(ended, sessionOf(sa))
	}
	return ended, nil
}

// belongsTo reports whether a user has logged in by the IKE_SA: by name or, with a
// certificate, as the id or the common name that it holds.
func (s *ikeSA) belongsTo(user string) bool {
	if s.user() != "" {
		return s.user() == user
	}
	if s.RemoteID == user {
		return true
	}
	return slices.ContainsFunc(strings.Split(s.RemoteID, ","), func(part string) bool {
		return strings.TrimSpace(part) == "CN="+user
	})
}
