package ipsec

import (
	"context"
	"encoding/base64"
	"fmt"
	"io/fs"

	"github.com/vpnctl/vpnctl/internal/privkey"
	"github.com/vpnctl/vpnctl/internal/swanctl"
)

func (b *Backend) load(ctx context.Context, c *client, o *object) error {
	switch o.Kind {
	case kindConn:
		m, err := swanctl.LoadConnOf(o.Name, o.Section, o.read)
		if err != nil {
			return err
		}
		return c.do(ctx, "load-conn", m)
	case kindPool:
		m, err := swanctl.LoadPoolOf(o.Name, o.Section)
		if err != nil {
			return err
		}
		return c.do(ctx, "load-pool", m)
	case kindCert:
		m, err := swanctl.LoadCert(o.Name, o.Data)
		if err != nil {
			return err
		}
		return c.do(ctx, "load-cert", m)
	case kindShared:
		return b.loadShared(ctx, c, o)
	case kindKey:
		return b.loadKey(ctx, c, o)
	}
	return fmt.Errorf("nobody knows how")
}

// read returns a certificate that a connection names: as it was when the connection was
// planned, whatever the file holds by now.
func (o *object) read(path string) ([]byte, error) {
	data, ok := o.Files[path]
	if !ok {
		return nil, fmt.Errorf("reading %s: %w", path, fs.ErrNotExist)
	}
	return data, nil
}

// loadShared loads a PSK or password under the name of the file's section: an owner's
// `swanctl --load-creds` unloads those that no section has.
func (b *Backend) loadShared(ctx context.Context, c *client, o *object) error {
	v, err := b.Secrets.Value(o.Secret)
	if err != nil {
		return err
	}
	s := o.Section.Clone()
	s.Values["secret"] = "0s" + base64.StdEncoding.EncodeToString(v.Reveal())
	m, err := swanctl.LoadSharedOf(o.Name, s)
	if err != nil {
		return err
	}
	return c.do(ctx, "load-shared", m)
}

func (b *Backend) loadKey(ctx context.Context, c *client, o *object) error {
	v, err := b.Secrets.Value(o.Secret)
	if err != nil {
		return err
	}
	data := v.Reveal()
	if o.Passphrase != "" {
		p, err := b.Secrets.Value(o.Passphrase)
		if err != nil {
			return err
		}
		if data, err = privkey.Decrypt(data, p.Reveal()); err != nil {
			return err
		}
	}
	return c.do(ctx, "load-key", swanctl.LoadKey(data))
}

// unload takes an object from charon; one that is not there is success.
func (c *client) unload(ctx context.Context, o *object) error {
	var err error
	switch o.Kind {
	case kindConn:
		err = c.do(ctx, "unload-conn", message("name", o.Name))
	case kindPool:
		err = c.do(ctx, "unload-pool", message("name", o.Name))
		if refused(err, "online leases") {
			return nil // it goes once they have ended; see leftovers
		}
	case kindShared:
		err = c.do(ctx, "unload-shared", message("id", o.Name))
	case kindKey:
		err = c.do(ctx, "unload-key", message("id", o.Name))
	case kindCert:
		return nil // charon has no way to forget one; no connection names it any more
	}
	if refused(err, "not found") {
		return nil
	}
	return err
}
