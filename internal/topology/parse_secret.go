package topology

import (
	"errors"
	"strings"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/vpnctl/vpnctl/internal/secret"
)

// secretKind says what a secret is for, and so what its mapping may have.
type secretKind int

const (
	password secretKind = iota
	preshared
	privateKey // of a certificate, which a passphrase may protect
	tunnelKey  // of WireGuard, which knows no passphrase
	public
)

// secretFields are the origins of a secret; exactly one of them is given.
var secretFields = fields[secret.Ref]{
	"file":       func(r *secret.Ref, v *value) { readOrigin(r, v, secret.File) },
	"env":        func(r *secret.Ref, v *value) { readOrigin(r, v, secret.Env) },
	"credential": func(r *secret.Ref, v *value) { readOrigin(r, v, secret.Credential) },
	"command":    readCommand,
	"value":      readInline,
}

const secretOrigins = "exactly one of file, env, command, credential and value"

// secret reads the mapping of a secret.
func (v *value) secret(into **secret.Ref, kind secretKind) {
	ref, ok := v.secretWith(kind, nil)
	if ok {
		*into = ref
	}
}

// secretWith reads a secret whose mapping has further keys, which extra reads.
func (v *value) secretWith(kind secretKind, extra map[string]func(*value)) (*secret.Ref, bool) {
	v.hush = true
	ref := &secret.Ref{Pos: v.keyPos(), Public: kind == public, Encoding: secret.Text}
	origins := 0
	for name, entry := range v.entries() {
		switch read, ok := secretFields[name]; {
		case ok:
			origins++
			read(ref, entry)
		case name == "encoding" && kind == preshared:
			word(entry, &ref.Encoding, secret.Text, secret.Hex, secret.Base64)
		case name == "passphrase" && kind == privateKey:
			entry.secret(&ref.Passphrase, password)
		case extra[name] != nil:
			extra[name](entry)
		default:
			entry.unknownKey(secretKeys(kind), nil)
		}
	}
	if origins != 1 && !v.bad {
		v.errorf(v.keyPos(), "has %d origins of the secret: give %s", origins, secretOrigins)
	}
	return ref, origins == 1 && ref.Origin != ""
}

func secretKeys(kind secretKind) []string {
	known := []string{"command", "credential", "env", "file", "value"}
	switch kind {
	case preshared:
		return append(known, "encoding")
	case privateKey:
		return append(known, "passphrase")
	}
	return known
}

func readOrigin(r *secret.Ref, v *value, origin secret.Origin) {
	if v.line(&r.Name) {
		r.Origin = origin
	}
}

func readCommand(r *secret.Ref, v *value) {
	argv := list(v, (*value).argument)
	switch {
	case v.bad:
	case len(argv) == 0 || argv[0] == "":
		v.fail("has no program: use a list such as [pass, show, vpn/psk]")
	default:
		r.Origin, r.Argv = secret.Command, argv
	}
}

// argument reads one word of a command, which may be empty and of several
// lines, but not hold what ends it for the kernel.
func (v *value) argument() (string, bool) {
	s, ok := v.text()
	if ok && strings.Contains(s, "\x00") {
		v.fail("has a zero byte in it, and no command can be given one")
		return "", false
	}
	return s, ok
}

func readInline(r *secret.Ref, v *value) {
	s, ok := v.text()
	switch {
	case !ok:
	case s == "":
		v.fail("is empty; give a value or leave the key out")
	default:
		r.Origin, r.Value = secret.Inline, secret.New([]byte(s))
		if !r.Public {
			v.secrets = append(v.secrets, inlineSecret{v.key, v.node})
		}
	}
}

// WireGuardKey reads a private or preshared key from what ref resolved to: the
// 44 characters of wg(8), or the 32 bytes that another encoding left.
func WireGuardKey(ref *secret.Ref, v secret.Value) (wgtypes.Key, error) {
	b := v.Reveal()
	defer clear(b)
	key, err := wgtypes.NewKey(b)
	if ref.Encoding == secret.Text {
		key, err = wgtypes.ParseKey(string(b))
	}
	if err != nil || key == (wgtypes.Key{}) {
		return wgtypes.Key{}, errors.New("is no WireGuard key: use 44 characters of base64, as wg genkey prints them")
	}
	return key, nil
}
