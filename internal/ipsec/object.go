package ipsec

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/swanctl"
)

// kind is what an object is to charon.
type kind string

// The kinds. Each is loaded and unloaded by commands of its own.
const (
	kindShared kind = "shared"
	kindCert   kind = "cert"
	kindKey    kind = "key"
	kindPool   kind = "pool"
	kindConn   kind = "conn"
)

// kinds is the order in which they are loaded: a connection names all others.
var kinds = []kind{kindShared, kindCert, kindKey, kindPool, kindConn}

// object is what one call loads into charon. It holds no secret, so that the journal may
// hold it.
type object struct {
	Kind kind   `json:"kind"`
	Name string `json:"name"` // of a certificate its path, of a key its id
	// Section is a connection, pool or secret as the file has it.
	Section *swanctl.Section `json:"section,omitempty"`
	// Files are the certificates that a connection names, by path: charon is given their
	// content, and undo must give it that of before.
	Files map[string][]byte `json:"files,omitempty"`
	// Data is a certificate.
	Data []byte `json:"data,omitempty"`
	// Secret is a shared secret or a private key, Passphrase what decrypts the key.
	Secret     secret.ID `json:"secret,omitempty"`
	Passphrase secret.ID `json:"passphrase,omitempty"`
	// Path is where a key's file is.
	Path string `json:"path,omitempty"`
}

// key names the object among all kinds.
func (o *object) key() string { return string(o.Kind) + "/" + o.Name }

// fingerprint is equal for equal objects. Secrets are in it by their ids, which nobody can
// guess from outside.
func (o *object) fingerprint() string {
	raw, err := json.Marshal(o)
	if err != nil {
		panic(err) // of strings and bytes only
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:8])
}

// holding is a set of objects by key.
type holding map[string]*object

func (h holding) add(o *object) { h[o.key()] = o }

// find returns an object, nil for none.
func (h holding) find(k kind, name string) *object { return h[string(k)+"/"+name] }

// of lists the objects of one kind by name.
func (h holding) of(k kind) []*object {
	var out []*object
	for _, key := range slices.Sorted(maps.Keys(h)) {
		if h[key].Kind == k {
			out = append(out, h[key])
		}
	}
	return out
}

// same compares two objects; nil is none.
func same(a, b *object) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.fingerprint() == b.fingerprint()
}

// children are the sections of a connection's children.
func (o *object) children() *swanctl.Section {
	if o == nil {
		return &swanctl.Section{}
	}
	return o.Section.Sub("children")
}

// user is whose password a shared secret is, "" for a PSK.
func (o *object) user() string {
	owners := swanctl.Owners(o.Section)
	if o.Kind != kindShared || !strings.HasPrefix(o.Name, "eap") || len(owners) == 0 {
		return ""
	}
	return owners[0]
}

// equalFiles compares the certificates of two connections.
func equalFiles(a, b map[string][]byte) bool { return maps.EqualFunc(a, b, bytes.Equal) }
