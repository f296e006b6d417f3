package topology

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/vpnctl/vpnctl/internal/secret"
)

// placeholder stands in a redacted file where a secret was.
const placeholder = "(secret)"

// shortPSK is the number of bytes below which a pre-shared key is guessed by
// whoever recorded one handshake.
const shortPSK = 16

// inline returns the bytes of a secret that stands in the file itself, and
// false where there is nothing to look at: only its own host has the others.
func (c *checker) inline(ref *secret.Ref) (secret.Value, bool) {
	if ref == nil || ref.Origin != secret.Inline || ref.Value.Equal(secret.New([]byte(placeholder))) {
		return secret.Value{}, false
	}
	v, err := decodeSecret(ref)
	if err != nil {
		c.errorf(ref.Pos, "%w", err)
	}
	return v, err == nil
}

// decodeSecret turns the text of an inline secret into its bytes. The errors
// of the decoders would quote it.
func decodeSecret(ref *secret.Ref) (secret.Value, error) {
	text := ref.Value.Reveal()
	defer clear(text)
	var b []byte
	var err error
	switch ref.Encoding {
	case secret.Hex:
		b, err = hex.DecodeString(string(text))
	case secret.Base64:
		b, err = base64.StdEncoding.DecodeString(string(text))
	default:
		return ref.Value, nil
	}
	defer clear(b)
	if err != nil || len(b) == 0 {
		return secret.Value{}, fmt.Errorf("is not %s, which its encoding says", ref.Encoding)
	}
	return secret.New(b), nil
}

func (w *networkCheck) checkSecrets() {
	for i := range w.n.Members {
		w.checkPrivateKey(&w.n.Members[i])
	}
	w.checkPresharedKey(w.n.PresharedKey)
	for i := range w.n.Peers {
		w.checkPresharedKey(w.n.Peers[i].PresharedKey)
	}
	for _, k := range w.n.PresharedKeys {
		w.checkPresharedKey(k.Key)
	}
}

func (w *networkCheck) checkPrivateKey(m *Member) {
	v, ok := w.inline(m.PrivateKey)
	if !ok {
		return
	}
	key, err := WireGuardKey(m.PrivateKey, v)
	switch {
	case err != nil:
		w.errorf(m.PrivateKey.Pos, "%w", err)
	case m.PublicKey != (wgtypes.Key{}) && key.PublicKey() != m.PublicKey:
		w.errorf(m.PrivateKey.Pos, "does not match the public_key of %s: wg pubkey makes another one of it", m.Node)
	}
}

func (w *networkCheck) checkPresharedKey(ref *secret.Ref) {
	if v, ok := w.inline(ref); ok {
		if _, err := WireGuardKey(ref, v); err != nil {
			w.errorf(ref.Pos, "%w", err)
		}
	}
}

// checkPSK warns about a pre-shared key of IKE that can be guessed.
func (c *checker) checkPSK(ref *secret.Ref) {
	if v, ok := c.inline(ref); ok && v.Len() < shortPSK {
		c.warnf(ref.Pos, "is shorter than %d bytes, and whoever records one negotiation can guess it: openssl rand -base64 32 makes a better one", shortPSK)
	}
}

// maxRadiusSecret is what the RADIUS plugin of pppd keeps of a secret.
const maxRadiusSecret = 48

// RadiusSecret says why the RADIUS client of pppd cannot be given a secret, nil
// where it can: its file has one word for it, without quotes. The error does
// not show it.
func RadiusSecret(v secret.Value) error {
	b := v.Reveal()
	defer clear(b)
	switch {
	case len(b) > maxRadiusSecret:
		return fmt.Errorf("is longer than %d bytes, and pppd's RADIUS client keeps no more", maxRadiusSecret)
	case bytes.ContainsFunc(b, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		return errors.New("has white space in it, which pppd's RADIUS client cannot read")
	}
	return nil
}

// checkPassword checks a user's password for the method that will carry it.
func (c *checker) checkPassword(ref *secret.Ref, chapSecrets, mschap bool) {
	v, ok := c.inline(ref)
	if !ok {
		return
	}
	if err := PPPPassword(v); err != nil && chapSecrets {
		c.errorf(ref.Pos, "%w", err)
	}
	if mschap && !ASCII(v) {
		c.warnf(ref.Pos, "is not ASCII: Windows encodes it for MS-CHAPv2 in another way, and will be refused")
	}
}

// PAPSecret says why pppd's PAP cannot carry a name or a password that its
// chap-secrets can, nil where it can: it compares what it has made visible of
// what the client said. The error does not show it.
func PAPSecret(v secret.Value) error {
	b := v.Reveal()
	defer clear(b)
	switch {
	case !ASCII(v):
		return errors.New("is not ASCII, and pppd's PAP refuses it: take pap out of auth")
	case string(b) == "@login":
		return errors.New("is @login, for which pppd's PAP takes the password of this host's own user")
	case len(b) == 0:
		return errors.New("is empty, and pppd's PAP takes any password for that")
	}
	return nil
}

// ASCII says whether all of a secret is ASCII.
func ASCII(v secret.Value) bool {
	b := v.Reveal()
	defer clear(b)
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// maxPPPPassword is MAXSECRETLEN of pppd, less the zero byte at its end.
const maxPPPPassword = 255

// PPPPassword says why pppd's chap-secrets cannot carry a password, nil where
// it can. The error does not show it.
func PPPPassword(v secret.Value) error {
	b := v.Reveal()
	defer clear(b)
	switch {
	case len(b) > maxPPPPassword:
		return fmt.Errorf("is longer than %d bytes, and pppd reads no more", maxPPPPassword)
	case hasControl(string(b)):
		return errors.New("has a line break or another control character, which chap-secrets cannot carry")
	case strings.HasPrefix(string(b), "@/"):
		return errors.New("begins with @/, which pppd takes for the name of a file")
	}
	return nil
}
