package wireguardtest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/secret"
)

// Secrets is a backend.Secrets in memory: it knows every secret that it gave an id.
type Secrets map[secret.ID]secret.Value

var _ backend.Secrets = Secrets{}

// ID implements backend.Secrets.
func (s Secrets) ID(v secret.Value) secret.ID {
	sum := sha256.Sum256(v.Reveal())
	id := secret.ID("secret:" + hex.EncodeToString(sum[:16]))
	if _, known := s[id]; !known {
		s[id] = v
	}
	return id
}

// Value implements backend.Secrets.
func (s Secrets) Value(id secret.ID) (secret.Value, error) {
	v, ok := s[id]
	if !ok {
		return secret.Value{}, fmt.Errorf("secret %s: %w", id, fs.ErrNotExist)
	}
	return v, nil
}

// Key gives a WireGuard key an id.
func (s Secrets) Key(k wgtypes.Key) secret.ID { return s.ID(secret.New([]byte(k.String()))) }

// Key makes the n-th private or preshared key of a test.
func Key(n int) wgtypes.Key {
	k := wgtypes.Key(sha256.Sum256(fmt.Append(nil, n)))
	k[0] &= 248
	k[31] = k[31]&127 | 64
	return k
}

// fingerprint tells keys apart without telling them.
func fingerprint(k wgtypes.Key) string {
	sum := sha256.Sum256([]byte(k.String()))
	return "secret:" + hex.EncodeToString(sum[:4])
}
