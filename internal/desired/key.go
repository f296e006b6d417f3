package desired

import (
	"cmp"
	"errors"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/topology"
)

// privateKey is the key of the node's own interface.
func (d *deriver) privateKey(m *topology.Member) secret.ID {
	if m.PrivateKey == nil {
		if d.src == Masked {
			return "" // what a host needs is not asked of a topology
		}
		d.errorf(m.Pos, "has no private_key, and this is its own node; add private_key: {file: PATH}")
		return ""
	}
	key, id := d.key(m.PrivateKey)
	if key != nil && key.PublicKey() != m.PublicKey {
		d.errorf(m.PrivateKey.Pos, "does not match public_key %s: it belongs to %s", m.PublicKey, key.PublicKey())
	}
	return id
}

// presharedKey is the key between the node and a peer: that of the pair before the
// peer's own before the network's.
func (d *deriver) presharedKey(n *network, peer string, own *secret.Ref) secret.ID {
	ref := cmp.Or(n.pair[peer], own, n.PresharedKey)
	if ref == nil {
		return ""
	}
	_, id := d.key(ref)
	return id
}

// key reads a WireGuard key. Its id is that of its text in base64, whatever the encoding
// it came in: the kernel, a file and the topology then agree on it. The key is nil where
// the source shows none, or an error was noted. A ref that many peers share is read, and
// complained about, once.
func (d *deriver) key(ref *secret.Ref) (*wgtypes.Key, secret.ID) {
	if k, ok := d.keys[ref]; ok {
		return k.key, k.id
	}
	k := d.readKey(ref)
	d.keys[ref] = k
	return k.key, k.id
}

type readKey struct {
	key *wgtypes.Key
	id  secret.ID
}

func (d *deriver) readKey(ref *secret.Ref) readKey {
	v, err := d.src.Value(ref)
	if errors.Is(err, secret.ErrMasked) {
		return readKey{id: d.src.ID(ref, v)}
	}
	if err != nil {
		d.errorf(ref.Pos, "%w", err)
		return readKey{}
	}
	key, err := topology.WireGuardKey(ref, v)
	if err != nil {
		d.errorf(ref.Pos, "%s %w", ref, err)
		return readKey{}
	}
	return readKey{key: &key, id: d.src.ID(ref, secret.New([]byte(key.String())))}
}
