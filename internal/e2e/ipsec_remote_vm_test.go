//go:build vm

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"
)

// authority makes certificates, as a site's own would.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "lab CA"}, NotBefore: time.Now().Add(-24 * time.Hour),
		NotAfter: time.Now().Add(240 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.key = a.newKey()
	a.cert.Raw = a.sign(a.cert, a.key)
	return a
}

func (a *authority) newKey() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	return k
}

func (a *authority) sign(c *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

// root is the authority's own certificate.
func (a *authority) root() string { return pemOf("CERTIFICATE", a.cert.Raw) }

// issue makes a certificate for a name, and its key.
func (a *authority) issue(name string) (cert, key string) {
	k := a.newKey()
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
	}
	return pemOf("CERTIFICATE", a.sign(c, k)), pemOf("PRIVATE KEY", der)
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// handmade is a client of the server that somebody has configured himself.
const handmade = `connections { home { version = 2
  remote_addrs = 192.168.10.10
  vips = 0.0.0.0, ::
  local { auth = eap-mschapv2
    eap_id = alice }
  remote { auth = pubkey
    id = gw-a.example.net }
  children { home { remote_ts = 10.10.0.0/24, fd10::/64 } } } }
secrets { eap-alice { id = alice
  secret = "wonder land" } }
`

// remoteAccess is a server with a pool, its users and the nodes that dial it.
func remoteAccess(pool, users string) string {
	return strings.Replace(head, "[192.168.10.10]", "[192.168.10.10], hostname: gw-a.example.net", 1) + `  rw:
    server: gw-a
    pools: [` + pool + `, 'fd99::/64']
    dns: [10.10.0.53]
    subnets: [10.10.0.0/24, 'fd10::/64']
    auth: {cert: {file: /etc/vpnctl/gw-a.crt}, key: {file: /etc/vpnctl/gw-a.key}, ca: {file: /etc/vpnctl/ca.crt}}
    users:
      alice: {password: {value: wonder land}}
` + users
}

const bob = `      bob: {password: {value: builder of things}}
    clients: {branch: {user: bob}}
`

// TestIPsecRemoteAccess: a client made by hand and a node get their addresses and reach
// the network behind the server; users and pools change under them, one by one.
func TestIPsecRemoteAccess(t *testing.T) {
	g := startGateways(t)
	ca := newAuthority(t)
	cert, key := ca.issue("gw-a.example.net")
	g.a.WriteFile("/etc/vpnctl/gw-a.crt", cert, 0o644)
	g.a.WriteFile("/etc/vpnctl/gw-a.key", key, 0o600)
	for _, n := range []*node{g.a, g.branch} {
		n.WriteFile("/etc/vpnctl/ca.crt", ca.root(), 0o644)
	}
	g.far.WriteFile("/etc/swanctl/x509ca/ca.crt", ca.root(), 0o644)
	g.branch.WriteFile("/etc/resolv.conf", "nameserver 192.0.2.53\n", 0o644)
	both := remoteAccess("10.99.0.0/24", bob)
	g.apply(both, g.a)
	g.far.has(t, handmade)

	t.Run("by hand", func(t *testing.T) {
		g := g.in(t)
		seen := watchWire(t, g.r)
		g.dial()
		g.far.Ping("10.10.0.10")
		g.far.Ping("fd10::10")
		seen.sealed("ESP")
	})
	t.Run("a node", func(t *testing.T) {
		g := g.in(t)
		seen := watchWire(t, g.r)
		g.apply(both, g.branch)
		g.up(g.branch.Host, "rw")
		g.branch.Ping("10.10.0.10")
		g.branch.Ping("fd10::10")
		seen.sealed("ESP in UDP")
		if text := g.branch.ReadFile("/etc/resolv.conf"); text != "nameserver 192.0.2.53\n" {
			t.Errorf("without use_dns, resolv.conf is now %q", text)
		}
	})
	t.Run("status", func(t *testing.T) {
		g := g.in(t)
		for user, address := range map[string]string{"alice": "10.99.0.1", "bob": "10.99.0.2"} {
			s := g.a.exits(0, "status", user).stdout
			if !strings.Contains(s, " "+user+" ") || !strings.Contains(s, address) || !strings.Contains(s, " up ") {
				t.Errorf("status of %s:\n%s", user, s)
			}
		}
		s := g.a.exits(0, "status", "-v").stdout
		for _, want := range []string{"server ipsec/rw: 2 of 254 addresses in use", "certificate of ipsec/rw (CN=gw-a.example.net): expires in 9 days", "next rekey in "} {
			if !strings.Contains(s, want) {
				t.Errorf("status lacks %q:\n%s", want, s)
			}
		}
	})
	t.Run("another pool", func(t *testing.T) {
		g := g.in(t)
		was, _ := g.sa(g.far.Host, "home", "home")
		ping := g.far.PingLoop("10.10.0.10")
		both = remoteAccess("10.98.0.0/24", bob)
		g.apply(both, g.a)
		ping.Await(3)
		if loss := ping.Stop(); loss.Lost != 0 {
			t.Errorf("another pool cost packets: %v", loss)
		}
		if now, _ := g.sa(g.far.Host, "home", "home"); now.id != was.id {
			t.Errorf("another pool made another SA: %+v, was %+v", now, was)
		}
		g.a.converged()
	})
	t.Run("kick", func(t *testing.T) {
		g := g.in(t)
		other, _ := g.sa(g.branch.Host, "rw", "rw")
		if out := g.a.exits(0, "kick", "alice").stdout; out != "ended ipsec/rw 10.99.0.1 of alice\n" {
			t.Errorf("kick printed %q", out)
		}
		g.gone(g.far.Host, "home")
		if out := g.a.exits(0, "kick", "alice").stdout; out != "alice has no session on this node\n" {
			t.Errorf("a second kick printed %q", out)
		}
		g.dial()
		if s, _ := g.sa(g.far.Host, "home", "home"); !strings.Contains(s.line, "10.98.0.") {
			t.Errorf("a new client has no address of the new pool: %s", s.line)
		}
		if now, _ := g.sa(g.branch.Host, "rw", "rw"); now.id != other.id {
			t.Errorf("kicking alice cost bob's tunnel: %+v, was %+v", now, other)
		}
	})
	t.Run("a user less", func(t *testing.T) {
		g := g.in(t)
		was, _ := g.sa(g.far.Host, "home", "home")
		plans := g.apply(remoteAccess("10.98.0.0/24", ""), g.a)
		if want := "! removes user bob: ends 1 session (bob 10.99.0.2)"; !strings.Contains(plans[0], want) {
			t.Errorf("the plan lacks %q:\n%s", want, plans[0])
		}
		if now, _ := g.sa(g.far.Host, "home", "home"); now.id != was.id {
			t.Errorf("bob's end cost alice's tunnel: %+v, was %+v", now, was)
		}
		for _, s := range sas(g.a.Host) {
			if strings.Contains(s.line, "remote-eap-id=bob") {
				t.Errorf("bob is still in: %s", s.line)
			}
		}
		g.branch.destroy()
	})
	g.far.Run("swanctl", "--terminate", "--ike", "home", "--force", "--timeout", "2")
	g.a.destroy()
}

// dial lets the client made by hand log in.
func (g *gateways) dial() {
	g.t.Helper()
	g.far.Run("swanctl", "--initiate", "--child", "home", "--timeout", "25")
	g.up(g.a.Host, "rw")
}
