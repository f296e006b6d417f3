package desired

import (
	"cmp"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"regexp"
	"slices"

	"github.com/vpnctl/vpnctl/internal/privkey"
	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/topology"
)

// Where swanctl reads credentials.
const (
	folderCert   = "x509"
	folderCA     = "x509ca"
	folderPubKey = "pubkey"
	folderKey    = "private"
)

// proof is how this node proves who it is. What belongs to it alone is checked here,
// where it can be read.
func (b *ipsecBuilder) proof(c *topology.Connection, id string, a *topology.Auth) Auth {
	out := Auth{ID: id, Method: "pubkey"}
	switch a.Kind {
	case topology.AuthPSK:
		out.Method = "psk"
	case topology.AuthCert:
		leaf := b.ownCertificate(c, id, a.Cert, &out)
		b.key(c, a.Key, leaf, a.Cert)
	case topology.AuthPubKey:
		var public any
		out.PubKeys, public = b.publicKey(c, b.node, a.PubKey)
		b.key(c, a.Key, public, a.PubKey)
	case topology.AuthEAP:
		out.Method, out.EAPID = dialling(a.EAP.Method), a.EAP.User
		b.password(a.EAP.User, a.EAP.Password)
	}
	return out
}

// dialling is the method of one who logs in: with some it is the server's to choose.
func dialling(method string) string {
	if method == "dynamic" || method == "radius" {
		return "eap"
	}
	return "eap-" + method
}

// expected is how the other side has to prove who it is.
func (b *ipsecBuilder) expected(c *topology.Connection, name, id string, a *topology.Auth, ca *secret.Ref) Auth {
	out := Auth{ID: id, Method: "pubkey"}
	switch a.Kind {
	case topology.AuthPSK:
		out.Method = "psk"
	case topology.AuthCert:
		out.CACerts, _ = b.certificates(c, folderCA, ca)
	case topology.AuthPubKey:
		out.PubKeys, _ = b.publicKey(c, name, a.PubKey)
	case topology.AuthEAP:
		out.Method, out.EAPID = "eap-"+a.EAP.Method, cmp.Or(a.EAP.User, anywhere)
		b.password(a.EAP.User, a.EAP.Password)
	}
	return out
}

// presharedKeys binds the key of two ends to their ids. Each may bring one of its own in
// the file, but charon has one for a pair of ids.
func (b *ipsecBuilder) presharedKeys(c *topology.Connection, here, far *topology.End) {
	own, other := here.Auth.PSK, far.Auth.PSK
	ref := cmp.Or(own, other)
	if ref == nil {
		return
	}
	b.sharedKey(c, ref, here.ID, far.ID)
	if own != nil && other != nil && own != other {
		if one, two := b.secret(own), b.secret(other); one.ok && two.ok && one.id != two.id {
			b.errorf(other.Pos, "is another key than that of %s, and charon has one for both ends", here.Name)
		}
	}
}

// sharedKey binds a pre-shared key to ids. One whose id is anybody's is not among them.
func (b *ipsecBuilder) sharedKey(c *topology.Connection, ref *secret.Ref, ids ...string) {
	r := b.secret(ref)
	ids = slices.DeleteFunc(ids, func(id string) bool { return id == anywhere })
	slices.Sort(ids)
	b.held.Secrets = append(b.held.Secrets, CharonSecret{
		Name: "ike-" + c.Name, Kind: "ike", Owners: slices.Compact(ids), Secret: r.id,
	})
}

// plain are user names that can be in the name of a section.
var plain = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// password binds a user's password to his name. There is one for each: charon does not
// ask by which connection he comes.
func (b *ipsecBuilder) password(user string, ref *secret.Ref) {
	if ref == nil {
		return // of a method that needs none
	}
	r := b.secret(ref)
	if first, twice := b.users[user]; twice {
		if r.ok && first != r.id {
			b.errorf(ref.Pos, "is another password than %q has elsewhere on %s, and charon has one for a name", user, b.node)
		}
		return
	}
	b.users[user] = r.id
	name := user
	if !plain.MatchString(user) {
		sum := sha256.Sum256([]byte(user))
		name = "x-" + hex.EncodeToString(sum[:8])
	}
	b.held.Secrets = append(b.held.Secrets, CharonSecret{
		Name: "eap-" + name, Kind: "eap", Owners: []string{user}, Secret: r.id, User: user,
	})
}

// key copies a private key to where swanctl reads it, and checks that it belongs to the
// public one, which is nil where that is not known.
func (b *ipsecBuilder) key(c *topology.Connection, ref *secret.Ref, public any, beside *secret.Ref) {
	if ref == nil {
		return
	}
	r := b.secret(ref)
	file := "vpnctl-" + c.Name + ".key"
	b.held.Credentials = append(b.held.Credentials, Credential{Path: credentialPath(folderKey, file), Secret: r.id, Mode: 0o600})
	var passphrase readSecret
	if ref.Passphrase != nil {
		passphrase = b.secret(ref.Passphrase)
		b.held.Secrets = append(b.held.Secrets, CharonSecret{
			Name: "private-" + c.Name, Kind: "private", File: file, Secret: passphrase.id,
		})
	}
	if r.shown() && (ref.Passphrase == nil || passphrase.shown()) {
		b.checkKey(ref, r.value, passphrase.value, public, beside)
	}
}

// checkKey refuses a key that charon could not use. One in a form that is not known here
// may be known there.
func (b *ipsecBuilder) checkKey(ref *secret.Ref, key, passphrase secret.Value, public any, beside *secret.Ref) {
	data, opener := key.Reveal(), passphrase.Reveal()
	defer clear(data)
	defer clear(opener)
	own, err := privkey.Public(data, opener)
	switch {
	case errors.Is(err, privkey.ErrEncrypted):
		b.errorf(ref.Pos, "%s is encrypted; add passphrase: {file: PATH}", ref)
	case errors.Is(err, privkey.ErrPassphrase):
		b.errorf(ref.Passphrase.Pos, "does not open %s", ref)
	case err == nil && public != nil && !samePublic(own, public):
		b.errorf(ref.Pos, "%s does not belong to %s", ref, beside)
	}
}

func samePublic(a, b crypto.PublicKey) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return true // of a kind that cannot be compared
	}
	return key.Equal(b)
}

// readSecret is what a reference was resolved to. One that could not be is an error noted
// already.
type readSecret struct {
	value  secret.Value
	id     secret.ID
	masked bool
	ok     bool
}

// shown reports whether there is a value to look at.
func (r *readSecret) shown() bool { return r.ok && !r.masked }

// secret reads a secret, and complains about it, once.
func (d *deriver) secret(ref *secret.Ref) readSecret {
	if r, ok := d.secrets[ref]; ok {
		return r
	}
	v, err := d.src.Value(ref)
	r := readSecret{value: v, masked: errors.Is(err, secret.ErrMasked)}
	if r.ok = err == nil || r.masked; r.ok {
		r.id = d.src.ID(ref, v)
	} else {
		d.errorf(ref.Pos, "%w", err)
	}
	d.secrets[ref] = r
	return r
}
