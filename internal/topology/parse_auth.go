package topology

import (
	"slices"
	"strings"
)

var authFields = fields[Auth]{
	"psk":    func(a *Auth, v *value) { v.secret(&a.PSK, preshared) },
	"cert":   func(a *Auth, v *value) { v.secret(&a.Cert, public) },
	"key":    func(a *Auth, v *value) { v.secret(&a.Key, privateKey) },
	"ca":     func(a *Auth, v *value) { v.secret(&a.CA, public) },
	"pubkey": func(a *Auth, v *value) { v.secret(&a.PubKey, public) },
	"eap":    func(a *Auth, v *value) { a.EAP = readEAP(v) },
}

// serverAuth is what a server says of itself: also its id.
type serverAuth struct {
	Auth
	ID string
}

var serverAuthFields = func() fields[serverAuth] {
	f := fields[serverAuth]{"id": func(a *serverAuth, v *value) { v.identity(&a.ID) }}
	for name, read := range authFields {
		f[name] = func(a *serverAuth, v *value) { read(&a.Auth, v) }
	}
	return f
}()

// clientAuthFields are what a client brings of its own; the rest is its
// server's or its user's.
var clientAuthFields = fields[Auth]{
	"cert": authFields["cert"], "key": authFields["key"], "ca": authFields["ca"],
}

// What messages allow as auth of an end, of a server and below L2TP.
const (
	authKinds   = "one of psk, cert with key and ca, pubkey with key, and eap"
	serverKinds = "one of psk, cert with key and ca, and pubkey with key"
	l2tpKinds   = "psk, or cert with key and ca"
)

// readAuth reads how an end proves who it is.
func readAuth(v *value) Auth {
	a := Auth{Pos: v.keyPos()}
	decode(v, authFields, &a)
	v.authKind(&a, false, authKinds)
	return a
}

// readServerAuth reads the same of a server, where eap is how its users log in
// and so stands beside what the server has itself.
func readServerAuth(v *value) serverAuth {
	a := serverAuth{Auth: Auth{Pos: v.keyPos()}}
	decode(v, serverAuthFields, &a)
	v.authKind(&a.Auth, true, serverKinds)
	return a
}

// authKind finds out which kind of authentication a mapping means. A ca alone
// means certificates: a foreign end needs no more.
func (v *value) authKind(a *Auth, server bool, allowed string) {
	var kinds []string
	for _, kind := range []AuthKind{AuthPSK, AuthCert, AuthPubKey, AuthEAP} {
		if v.has(string(kind)) && (kind != AuthEAP || !server) {
			a.Kind = kind
			kinds = append(kinds, string(kind))
		}
	}
	switch {
	case len(kinds) > 1:
		a.Kind = ""
		v.errorf(v.keyPos(), "is %s at once: give %s", strings.Join(kinds, " and "), allowed)
	case len(kinds) == 0 && (v.has("ca") || v.has("key")):
		a.Kind = AuthCert
	case len(kinds) == 0 && !v.bad:
		v.errorf(v.keyPos(), "does not say how to prove who one is: give %s", allowed)
	}
}

// eapMethods are what charon's plugins know, without eap-.
var eapMethods = []string{"aka", "dynamic", "gtc", "md5", "mschapv2", "peap", "radius", "sim", "tls", "ttls"}

var eapFields = fields[EAP]{
	"method":   func(e *EAP, v *value) { word(v, &e.Method, eapMethods...) },
	"user":     func(e *EAP, v *value) { v.userOf(&e.User) },
	"password": func(e *EAP, v *value) { v.secret(&e.Password, password) },
}

// readEAP reads a login by EAP, or the name of a method alone.
func readEAP(v *value) *EAP {
	e := &EAP{Method: "mschapv2"}
	if v.node.Tag != "!!map" {
		word(v, &e.Method, eapMethods...)
		return e
	}
	decode(v, eapFields, e)
	return e
}

// needsPassword says whether a method asks for a user's password.
func (e *EAP) needsPassword() bool {
	return slices.Contains([]string{"gtc", "md5", "mschapv2", "peap", "ttls", "dynamic"}, e.Method)
}
