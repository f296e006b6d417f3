package ipsec

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha1" //nolint:gosec // charon names keys by it
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/file"
	"github.com/vpnctl/vpnctl/internal/privkey"
	"github.com/vpnctl/vpnctl/internal/rtnl"
	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/swanctl"
)

// snapshot is what was observed.
type snapshot struct {
	have  holding // what the file and the copies beside it hold
	state DaemonState

	// Of a charon that runs, what it tells.
	running bool
	run     string
	conns   map[string]loadedConn
	shared  []string
	keys    []string
	pools   map[string]pool
	plugins []string
	sas     []ikeSA
	// known are the fingerprints of what charon has of ours.
	known map[string]string

	links  []rtnl.Link
	addrs  []rtnl.Addr
	routes []rtnl.Route // of the main table
}

// observe reads everything on this host that is ours, and what of charon matters to it.
func (b *Backend) observe(ctx context.Context, in backend.Input) (*snapshot, error) {
	h := &snapshot{}
	var err error
	if h.have, err = b.observeFiles(in); err != nil {
		return nil, err
	}
	if h.state, err = b.Daemon.State(ctx); err != nil {
		return nil, err
	}
	if h.state.Running {
		if err := b.observeCharon(ctx, h, in); err != nil {
			return nil, err
		}
	}
	return h, b.observeNetwork(h)
}

func (b *Backend) observeCharon(ctx context.Context, h *snapshot, in backend.Input) error {
	c, err := b.open(ctx)
	if errors.Is(err, ErrNotRunning) {
		return nil // it ended in between
	}
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if err := c.observe(ctx, h); err != nil {
		return err
	}
	h.running = true
	h.known = h.remembered(recordOf(in.Memory))
	maps.DeleteFunc(h.known, func(key, _ string) bool { return !h.visible(key) })
	return nil
}

func (c *client) observe(ctx context.Context, h *snapshot) error {
	var err error
	if h.run, err = c.Run(); err != nil {
		return err
	}
	if h.plugins, err = c.plugins(ctx); err != nil {
		return err
	}
	if h.conns, err = c.conns(ctx); err != nil {
		return err
	}
	if h.shared, err = c.listOf(ctx, "get-shared", "keys"); err != nil {
		return err
	}
	if h.keys, err = c.listOf(ctx, "get-keys", "keys"); err != nil {
		return err
	}
	if h.pools, err = c.pools(ctx); err != nil {
		return err
	}
	h.sas, err = c.sas(ctx)
	return err
}

// remembered is what charon was given. One that was started since then has read the file.
func (h *snapshot) remembered(r *record) map[string]string {
	if r != nil && r.Charon == h.run {
		return maps.Clone(r.Items)
	}
	known := map[string]string{}
	for key, o := range h.have {
		known[key] = o.fingerprint()
	}
	return known
}

// visible reports whether charon has something of that key, as far as it tells.
func (h *snapshot) visible(key string) bool {
	k, name, _ := strings.Cut(key, "/")
	switch kind(k) {
	case kindConn:
		_, ok := h.conns[name]
		return ok
	case kindPool:
		_, ok := h.pools[name]
		return ok
	case kindShared:
		return slices.Contains(h.shared, name)
	case kindKey:
		return slices.Contains(h.keys, name)
	}
	return true
}

// observeFiles reads what the files hold. One of ours that nobody can read as swanctl's
// holds nothing, and is written anew.
func (b *Backend) observeFiles(in backend.Input) (holding, error) {
	text, err := b.ownText(in)
	if err != nil {
		return nil, err
	}
	creds := map[string][]byte{}
	for _, p := range append(b.secretFiles(nil).Owned(in.Memory), b.certFiles().Owned(in.Memory)...) {
		if p == confFile || p == settingsFile {
			continue
		}
		f, err := b.Files.Read(p)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", p, err)
		}
		creds[p] = f.Data
	}
	root, err := swanctl.Parse(text)
	if err != nil {
		root = &swanctl.Section{} // somebody has been at it
	}
	return hold(root, creds, in.Secrets), nil
}

// ownText is our file, nothing where there is none or where it is somebody else's.
func (b *Backend) ownText(in backend.Input) ([]byte, error) {
	f, err := b.Files.Read(confFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", confFile, err)
	}
	if !bytes.HasPrefix(f.Data, []byte(file.Header)) && !slices.Contains(b.secretFiles(nil).Owned(in.Memory), confFile) {
		return nil, nil
	}
	return f.Data, nil
}

// hold turns settings and credentials into objects.
func hold(root *swanctl.Section, creds map[string][]byte, secrets backend.Secrets) holding {
	h := holding{}
	conns := root.Sub("connections")
	for _, name := range conns.Names() {
		o := &object{Kind: kindConn, Name: name, Section: conns.Sub(name)}
		o.Files = filesOf(o.Section, creds)
		h.add(o)
	}
	pools := root.Sub("pools")
	for _, name := range pools.Names() {
		h.add(&object{Kind: kindPool, Name: name, Section: pools.Sub(name)})
	}
	passphrases := map[string]secret.ID{}
	shared := root.Sub("secrets")
	for _, name := range shared.Names() {
		o := sharedOf(name, shared.Sub(name), secrets)
		if f := o.Section.Values["file"]; f != "" {
			passphrases[f] = o.Secret
			continue
		}
		h.add(o)
	}
	for p, data := range creds {
		o := &object{Kind: kindCert, Name: p, Data: data}
		if path.Base(path.Dir(p)) == "private" {
			o = keyOf(p, data, passphrases[path.Base(p)], secrets)
		}
		h.add(o)
	}
	return h
}

// sharedOf is a section of secrets, its secret replaced by an id.
func sharedOf(name string, s *swanctl.Section, secrets backend.Secrets) *object {
	o := &object{Kind: kindShared, Name: name, Section: &swanctl.Section{Values: map[string]string{}}}
	for key, value := range s.Values {
		if key != "secret" {
			o.Section.Values[key] = value
		}
	}
	// One that cannot be decoded is no secret of ours: it differs from any.
	data, _ := swanctl.SecretBytes(name, s)
	o.Secret = secrets.ID(secret.New(data))
	return o
}

// filesOf collects the certificates that a connection names.
func filesOf(s *swanctl.Section, creds map[string][]byte) map[string][]byte {
	files := map[string][]byte{}
	for _, p := range swanctl.Files(s) {
		if data, ok := creds[p]; ok {
			files[p] = data
		}
	}
	return files
}

func keyOf(p string, data []byte, passphrase secret.ID, secrets backend.Secrets) *object {
	o := &object{Kind: kindKey, Path: p, Secret: secrets.ID(secret.New(data)), Passphrase: passphrase}
	var pass []byte
	if v, err := secrets.Value(passphrase); err == nil {
		pass = v.Reveal()
	}
	// Of a key that is not to be read, the path has to do.
	o.Name = cmp.Or(KeyID(data, pass), p)
	return o
}

// KeyID is how charon names a private key: by SHA-1 of the public one. It is "" for a key
// that cannot be read.
func KeyID(data, passphrase []byte) string {
	public, err := privkey.Public(data, passphrase)
	if err != nil {
		return ""
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return ""
	}
	var info struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return ""
	}
	sum := sha1.Sum(info.Key.Bytes) //nolint:gosec // see above
	return hex.EncodeToString(sum[:])
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
