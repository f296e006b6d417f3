package desired

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// pki makes keys and certificates for tests.
type pki struct{ t *testing.T }

func (p pki) key() (*ecdsa.PrivateKey, string) {
	p.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		p.t.Fatal(err)
	}
	return key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// cert is a certificate in DER, signed by itself.
func (p pki) cert(key *ecdsa.PrivateKey, serial int64) []byte {
	p.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template(serial), template(serial), key.Public(), key)
	if err != nil {
		p.t.Fatal(err)
	}
	return der
}

func template(serial int64) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour),
		Subject:  pkix.Name{Country: []string{"CH"}, Organization: []string{"lab"}, CommonName: "gw-a"},
		DNSNames: []string{"gw-a.example.net"}, EmailAddresses: []string{"a@example.net"}, IPAddresses: []net.IP{net.ParseIP("192.0.2.1")},
	}
}

func (p pki) public(key crypto.PublicKey) string {
	p.t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func certPEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestIPsecCredentials(t *testing.T) {
	p := pki{t}
	key, keyText := p.key()
	other, otherText := p.key()
	leaf, between, ca := p.cert(key, 1), p.cert(other, 2), p.cert(other, 3)
	//lint:ignore SA1019 openssl writes it still
	block, err := x509.EncryptPEMBlock(rand.Reader, "EC PRIVATE KEY", sec1(t, key), []byte("open"), x509.PEMCipherAES256) //nolint:staticcheck // likewise
	if err != nil {
		t.Fatal(err)
	}
	locked := string(pem.EncodeToMemory(block))
	certs := ends("a: {subnets: [10.1.0.0/24]}", "b: {subnets: [10.2.0.0/24]}", "    auth: {cert: {file: crt}, key: {file: key}, ca: {file: ca}}\n")
	opened := strings.Replace(certs, "{file: key}", "{file: key, passphrase: {value: open}}", 1)
	raw := ends("a: {auth: {pubkey: {file: a.pub}, key: {file: key}}}", "b: {auth: {pubkey: {file: b.pub}, key: {file: key}}}", "")
	files := map[string]string{"crt": certPEM(leaf), "key": keyText, "ca": certPEM(ca)}
	tests := []struct {
		name, text string
		files      map[string]string
		want       string // an error, or what is held
	}{
		{"plain", certs, nil, "private/vpnctl-hq.key x509/vpnctl-hq.crt x509ca/vpnctl-hq.crt"},
		{"chains", certs, map[string]string{"crt": certPEM(leaf) + certPEM(between), "ca": "text\n" + certPEM(ca) + certPEM(between)},
			"private/vpnctl-hq.key x509/vpnctl-hq.2.crt x509/vpnctl-hq.crt x509ca/vpnctl-hq.2.crt x509ca/vpnctl-hq.crt"},
		{"DER", certs, map[string]string{"crt": string(leaf)}, "private/vpnctl-hq.key x509/vpnctl-hq.crt x509ca/vpnctl-hq.crt"},
		{"passphrase", opened, map[string]string{"key": locked}, "private/vpnctl-hq.key x509/vpnctl-hq.crt x509ca/vpnctl-hq.crt"},
		{"passphrase of a key that has none", opened, nil, "private/vpnctl-hq.key x509/vpnctl-hq.crt x509ca/vpnctl-hq.crt"},
		{"a form that only charon may know", certs, map[string]string{"key": "-----BEGIN OPENSSH PRIVATE KEY-----\n-----END OPENSSH PRIVATE KEY-----"},
			"private/vpnctl-hq.key x509/vpnctl-hq.crt x509ca/vpnctl-hq.crt"},
		{"raw keys", raw, map[string]string{"a.pub": p.public(key.Public()), "b.pub": p.public(other.Public())},
			"private/vpnctl-hq.key pubkey/vpnctl-hq.a.pub pubkey/vpnctl-hq.b.pub"},

		{"wrong passphrase", strings.Replace(opened, "open}", "shut}", 1), map[string]string{"key": locked},
			"site.yaml:14:48: ipsec.hq.auth.key.passphrase: does not open file key"},
		{"no passphrase", certs, map[string]string{"key": locked},
			"site.yaml:14:31: ipsec.hq.auth.key: file key is encrypted; add passphrase: {file: PATH}"},
		{"another key", certs, map[string]string{"key": otherText},
			"site.yaml:14:31: ipsec.hq.auth.key: file key does not belong to file crt"},
		{"another raw key", raw, map[string]string{"a.pub": p.public(other.Public()), "b.pub": p.public(other.Public())},
			"site.yaml:12:41: ipsec.hq.ends.a.auth.key: file key does not belong to file a.pub"},
		{"no certificate", certs, map[string]string{"crt": "x", "ca": keyText},
			"site.yaml:14:12: ipsec.hq.auth.cert: file crt is neither PEM nor DER\n" +
				"site.yaml:14:49: ipsec.hq.auth.ca: file ca has no block CERTIFICATE in it"},
		{"another id", strings.Replace(certs, "a: {subnets", "a: {id: gw-a, subnets", 1), nil,
			`site.yaml:14:12: ipsec.hq.auth.cert: file crt does not hold the id "gw-a": it holds "CN=gw-a,O=lab,C=CH", gw-a.example.net, a@example.net, 192.0.2.1`},
		{"missing", certs, map[string]string{"crt": ""}, "site.yaml:14:12: ipsec.hq.auth.cert: file crt: file does not exist"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			all := map[string]string{}
			for _, from := range []map[string]string{files, tt.files} {
				for name, text := range from {
					if all[name] = text; text == "" {
						delete(all, name)
					}
				}
			}
			s, err := Derive(parse(t, tt.text), "a", &keyring{files: all})
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				var paths []string
				for _, c := range s.IPsec.Credentials {
					paths = append(paths, strings.TrimPrefix(c.Path, "/etc/swanctl/"))
				}
				got = strings.Join(paths, " ")
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func sec1(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestHolds(t *testing.T) {
	key, _ := pki{t}.key()
	cert, err := x509.ParseCertificate(pki{t}.cert(key, 1))
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]bool{
		"gw-a.example.net": true, "@GW-A.example.net": true, "a@example.net": true, "192.0.2.1": true, "::ffff:192.0.2.1": true,
		"C=CH, O=lab, CN=gw-a": true, "CN=gw-a,O=lab,C=CH": true, "%any": true, "keyid:00:11": true, "@#00ff": true, "*.example.net": true,
		"gw-a": false, "192.0.2.2": false, "CN=gw-a": false, "C=CH, O=lab, CN=gw-b": false, "b@example.net": false,
	} {
		if got, _ := holds(cert, id); got != want {
			t.Errorf("%s: %v, want %v", id, got, want)
		}
	}
}

// TestWholeDER: a certificate whose last byte looks like a line end is whole again.
func TestWholeDER(t *testing.T) {
	for _, end := range []string{"\n", "\r\n", "x"} {
		der := append([]byte{0x30, byte(len(end) + 1), 5}, end...)
		cut := bytes.TrimSuffix(bytes.TrimSuffix(der, []byte("\n")), []byte("\r"))
		if got, ok := wholeDER(cut); !ok || !bytes.Equal(got, der) {
			t.Errorf("ending in %q: got % x, %v", end, got, ok)
		}
	}
	if _, ok := wholeDER([]byte("text")); ok {
		t.Error("a text is taken for DER")
	}
}

// TestIPsecSecrets: what charon could not tell apart is refused.
func TestIPsecSecrets(t *testing.T) {
	users := func(one, two string) string {
		server := func(pool, word string) string {
			return "{server: b, pools: [" + pool + "], auth: {psk: {value: psk}}, users: {ann: {password: {value: " + word + "}}}}\n"
		}
		return ipsecHead + "ipsec:\n  one: " + server("10.98.0.0/24", one) + "  two: " + server("10.99.0.0/24", two)
	}
	each := func(one, two string) string {
		return ends("a: {auth: {psk: {value: "+one+"}}}", "b: {auth: {psk: {value: "+two+"}}}", "")
	}
	for _, tt := range []struct{ name, text, want string }{
		{"same password", users("x", "x"), ""},
		{"another password", users("x", "y"), `site.yaml:11:84: ipsec.two.users.ann.password: is another password than "ann" has elsewhere on b, and charon has one for a name`},
		{"same key", each("x", "x"), ""},
		{"another key", each("x", "y"), `site.yaml:12:18: ipsec.hq.ends.a.auth.psk: is another key than that of b, and charon has one for both ends`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Derive(parse(t, tt.text), "b", &keyring{})
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}
