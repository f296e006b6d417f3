package topology

import (
	"bytes"
	"slices"

	"github.com/vpnctl/vpnctl/internal/secret"
)

func (c *checker) checkEndsAuth(conn *Connection) {
	a, b := &conn.Ends[0], &conn.Ends[1]
	shared := a.Auth.Pos == b.Auth.Pos
	if shared && a.Auth.Kind == AuthPubKey {
		c.errorf(a.Auth.Pos, "is one key for both ends, and each has its own: use ends.NAME.auth")
	}
	if a.Auth.Kind == AuthEAP && b.Auth.Kind == AuthEAP {
		c.errorf(b.Auth.Pos, "has both ends log in by EAP, and only the one that dials can: give the other psk, cert or pubkey")
	}
	if conn.IKEVersion == 1 && a.Auth.Kind != b.Auth.Kind && a.Auth.Kind != "" && b.Auth.Kind != "" {
		c.errorf(b.Auth.Pos, "is %s at %s and %s at %s: with ike_version: 1 both prove themselves the same way",
			a.Auth.Kind, a.Name, b.Auth.Kind, b.Name)
	}
	c.checkEndAuth(conn, a, b)
	if !shared || a.Foreign {
		c.checkEndAuth(conn, b, a)
	}
}

// checkEndAuth checks what an end needs to prove itself, and its node to
// believe the other.
func (c *checker) checkEndAuth(conn *Connection, e, other *End) {
	auth := &e.Auth
	if auth.Pos.Line == 0 {
		return
	}
	switch auth.Kind {
	case AuthPSK:
		c.checkPSK(auth.PSK)
	case AuthCert:
		if !e.Foreign {
			c.needAuth(auth, "cert", "what "+e.Name+" shows")
			c.needAuth(auth, "key", "what "+e.Name+" proves its certificate with")
		}
		if !other.Foreign && CAFor(other.Auth, *auth) == nil && !c.writes(auth.Pos, "ca") {
			c.errorf(auth.Pos, "needs ca: what %s checks the certificate of %s against", other.Name, e.Name)
		}
	case AuthPubKey:
		if !e.Foreign {
			c.needAuth(auth, "key", "what "+e.Name+" proves itself with")
		}
	case AuthEAP:
		c.checkEAP(conn, e)
	}
}

func (c *checker) needAuth(auth *Auth, key, what string) {
	if !c.writes(auth.Pos, key) {
		c.errorf(auth.Pos, "needs %s: %s", key, what)
	}
}

func (c *checker) checkEAP(conn *Connection, e *End) {
	pos := c.under(e.Auth.Pos, "eap")
	if conn.IKEVersion == 1 {
		c.errorf(pos, "needs ike_version: 2")
	}
	if eap := e.Auth.EAP; eap != nil && eap.needsPassword() {
		if eap.User == "" && !c.writesUnder(e.Auth.Pos, "eap", "user") {
			c.errorf(pos, "needs user: whom %s logs in as", e.Name)
		}
		if eap.Password == nil && !c.writesUnder(e.Auth.Pos, "eap", "password") {
			c.errorf(pos, "needs password: what %s logs in with", e.Name)
		}
		c.checkPassword(eap.Password, false, eap.Method == "mschapv2")
	}
}

func (c *checker) writesUnder(pos Pos, key, inner string) bool {
	return lookUp(lookUp(c.find(pos), key), inner) != nil
}

func (c *checker) checkServerAuth(conn *Connection) {
	s := conn.Server
	auth := &s.Auth
	if conn.IKEVersion == 1 && len(s.Users) > 0 {
		c.errorf(c.under(conn.Pos, "users"), "needs ike_version: 2: users log in by EAP")
	}
	switch auth.Kind {
	case AuthPSK:
		c.checkPSK(auth.PSK)
	case AuthCert:
		c.needAuth(auth, "cert", "what the server shows")
		c.needAuth(auth, "key", "what the server proves its certificate with")
		if auth.CA == nil && len(s.Users) == 0 && !c.writes(auth.Pos, "ca") {
			c.errorf(auth.Pos, "needs ca: without users, clients bring certificates of it")
		}
	case AuthPubKey:
		c.needAuth(auth, "key", "what the server proves itself with")
	}
	for i := range s.Clients {
		c.checkClientAuth(s, &s.Clients[i])
	}
}

func (c *checker) checkClientAuth(s *RemoteAccess, cl *Client) {
	if cl.User == "" && len(s.Users) > 0 {
		c.errorf(cl.Pos, "needs user: the server's clients log in by name")
	} else if cl.User == "" && cl.Auth.Kind == AuthCert && s.Auth.Kind != "" {
		for _, key := range []string{"cert", "key"} {
			if !c.writesUnder(cl.Pos, "auth", key) {
				c.errorf(cl.Pos, "needs auth.%s: without users, clients bring certificates", key)
			}
		}
	}
	if s.Auth.Kind == AuthCert && s.Auth.CA == nil && cl.Auth.CA == nil && len(s.Users) > 0 && !c.writes(s.Auth.Pos, "ca") {
		c.errorf(cl.Pos, "needs auth.ca: what it checks the server's certificate against")
	}
}

// pskUse is a pre-shared key and the connection that uses it.
type pskUse struct {
	ref  *secret.Ref
	name string
	pos  Pos
}

// checkSharedKeys refuses different pre-shared keys where charon could not
// tell which one is meant.
func (c *checker) checkSharedKeys() {
	anybody, pairs := map[string]pskUse{}, map[[2]string]pskUse{}
	for i := range c.t.IPsec {
		conn := &c.t.IPsec[i]
		use := pskUse{name: "ipsec." + conn.Name, pos: conn.Pos}
		if s := conn.Server; s != nil && s.Auth.Kind == AuthPSK && conn.IKEVersion == 1 {
			use.ref = s.Auth.PSK
			c.oneKey(anybody, s.Node+" "+firstOr(s.Addresses, ""), use, s.Node)
		}
		if len(conn.Ends) != 2 || conn.Ends[0].Auth.Kind != AuthPSK || conn.Ends[1].Auth.Kind != AuthPSK {
			continue
		}
		use.ref = conn.Ends[0].Auth.PSK
		c.onePairKey(pairs, conn.Ends[0].ID, conn.Ends[1].ID, use, "give an end another id")
		for j := range conn.Ends {
			here, far := &conn.Ends[j], &conn.Ends[1-j]
			if conn.IKEVersion == 1 && !here.Foreign && !far.Dialable() {
				c.oneKey(anybody, here.Name+" "+firstOr(here.Addresses, ""), use, here.Name)
			}
		}
	}
	for i := range c.t.L2TP {
		l := &c.t.L2TP[i]
		if l.IPsec == nil || l.IPsec.Auth.Kind != AuthPSK {
			continue
		}
		use := pskUse{l.IPsec.Auth.PSK, "l2tp." + l.Name, l.Pos}
		c.oneKey(anybody, l.Server+" "+c.firstAddress(l.Server), use, l.Server)
		for j := range l.Clients {
			c.onePairKey(pairs, l.IPsec.ID, l.Clients[j].ID, use, "give the server another ipsec.id")
		}
	}
}

func (c *checker) firstAddress(node string) string {
	if n := c.t.Node(node); n != nil {
		return firstOr(n.Addresses, "")
	}
	return ""
}

// oneKey notes a key for IKEv1 peers that come from anywhere: main mode has to
// choose it by the addresses alone.
func (c *checker) oneKey(seen map[string]pskUse, key string, use pskUse, node string) {
	first, twice := seen[key]
	if !twice {
		seen[key] = use
	} else if !sameSecret(first.ref, use.ref) {
		c.errorf(use.pos, "has another psk than %s (line %d), and IKEv1 cannot tell on %s which one a peer from anywhere means",
			first.name, first.pos.Line, node)
	}
}

func (c *checker) onePairKey(seen map[[2]string]pskUse, one, two string, use pskUse, cure string) {
	ids := [2]string{one, two}
	slices.Sort(ids[:])
	first, twice := seen[ids]
	if !twice {
		seen[ids] = use
	} else if !sameSecret(first.ref, use.ref) {
		c.errorf(use.pos, "has another psk than %s (line %d) for the same two ids: %s", first.name, first.pos.Line, cure)
	}
}

// sameSecret says whether two references are to one secret, as far as the file
// tells.
func sameSecret(a, b *secret.Ref) bool {
	if a == nil || b == nil {
		return true
	}
	x, y := a.Value.Reveal(), b.Value.Reveal()
	defer clear(x)
	defer clear(y)
	return a.Origin == b.Origin && a.Encoding == b.Encoding && a.Name == b.Name && slices.Equal(a.Argv, b.Argv) && bytes.Equal(x, y)
}
