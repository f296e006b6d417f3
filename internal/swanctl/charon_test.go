package swanctl_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/strongswan/govici/vici"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/lab"
	"github.com/vpnctl/vpnctl/internal/swanctl"
)

const (
	confFile = swanctl.Dir + "/conf.d/vpnctl.conf"
	logFile  = "/var/log/charon.log"
)

// TestCharonTakesBoth has a real charon told every form twice: by swanctl from the
// rendered file, and by the messages for its socket. Both times it must have understood
// the same, down to the bytes of the secrets.
func TestCharonTakesBoth(t *testing.T) {
	c := startCharon(t)
	creds := newCredentials(t)
	for _, f := range forms() {
		t.Run(f.name, func(t *testing.T) {
			c := c.in(t)
			fromFile := c.loadFile(t, &f.want, creds)
			fromSocket := c.loadMessages(t, &f.want, creds)
			if diff := cmp.Diff(fromFile, fromSocket, cmp.AllowUnexported(understood{})); diff != "" {
				t.Errorf("what charon understood (-from file +from socket):\n%s", diff)
			}
			if want := len(f.want.Connections) + len(f.want.Bypasses); len(fromFile.conns) != want {
				t.Errorf("charon has %d connections, want %d", len(fromFile.conns), want)
			}
		})
	}
}

// TestCharonCutsNothing holds that the longest texts arrive whole: charon cuts what is too
// long for it, and says nothing.
func TestCharonCutsNothing(t *testing.T) {
	i := longText()
	u := startCharon(t).loadFile(t, &i, newCredentials(t))
	log := strings.Join(u.log, "\n") + "\n"
	c, s := &i.Connections[0], &i.Secrets[0]
	for _, line := range []string{
		" conn " + c.Name + ":", "  child " + c.Children[0].Name + ":", "   id = " + c.Local.ID, "   id = " + c.Remote.ID,
		"loaded IKE shared key with id '" + s.Name + "' for: '" + s.Owners[0] + "'",
		"added vici pool " + i.Pools[0].Name + ": 10.0.0.0, 254 entries",
	} {
		if !strings.Contains(log, line+"\n") {
			t.Errorf("charon's log lacks %q:\n%s", line, log)
		}
	}
}

// charon is a host on which one runs that logs whatever it is told.
type charon struct {
	*lab.Host
	lab *lab.Lab
}

// in returns the charon for another test.
func (c charon) in(t *testing.T) charon { return charon{c.lab.With(t).Host("gw"), c.lab} }

func startCharon(t *testing.T) charon {
	t.Helper()
	l := lab.Start(t, lab.Alone("gw"))
	h := l.Host("gw")
	h.WriteFile("/etc/strongswan.d/zz-test.conf",
		"charon-systemd { filelog { test { path = "+logFile+"\n default = 0\n cfg = 4\n flush_line = yes\n } } }\n", 0o600)
	h.Start("/usr/sbin/charon-systemd")
	h.Eventually(20*time.Second, func() error {
		_, err := h.Try("swanctl", "--stats")
		return err
	})
	return charon{h, l}
}

// understood is what a charon says about what it was told.
type understood struct {
	log                []string // of loading connections, pools and secrets
	conns              []string
	shared, keys       []string
	pools, pols, certs string
}

// loadFile loads the rendered file and its credentials by swanctl.
func (c charon) loadFile(t *testing.T, i *desired.IPsec, creds *credentials) understood {
	t.Helper()
	c.clear()
	text, err := swanctl.Render(i, reveal)
	if err != nil {
		t.Fatal(err)
	}
	c.WriteFile(confFile, string(text), 0o600)
	for _, cred := range creds.of(t, i) {
		c.WriteFile(cred.path, string(cred.file), 0o600)
	}
	before := len(c.ReadFile(logFile))
	out, warnings, err := c.swanctl("--load-all", "--noprompt")
	if err != nil || warnings != "" {
		t.Errorf("swanctl --load-all: %v\n%s\n%s", err, warnings, out)
	}
	return c.understood(t, before)
}

// loadMessages tells charon the same on its socket.
func (c charon) loadMessages(t *testing.T, i *desired.IPsec, creds *credentials) understood {
	t.Helper()
	c.clear()
	before := len(c.ReadFile(logFile))
	s := c.dial(t)
	call := func(command string, m *vici.Message) {
		t.Helper()
		if _, err := s.Call(context.Background(), command, m); err != nil {
			t.Errorf("%s: %v", command, err)
		}
	}
	for _, cred := range creds.of(t, i) {
		if path.Base(path.Dir(cred.path)) == "private" {
			call("load-key", swanctl.LoadKey(cred.data))
			continue
		}
		m, err := swanctl.LoadCert(cred.path, cred.data)
		if err != nil {
			t.Fatal(err)
		}
		call("load-cert", m)
	}
	for _, command := range messages(t, i, creds.read) {
		call(command.Name, command.Message)
	}
	return c.understood(t, before)
}

// clear makes charon and its files empty.
func (c charon) clear() {
	c.Run("sh", "-c", "rm -f "+swanctl.Dir+"/conf.d/* "+swanctl.Dir+"/*/vpnctl-*")
	c.Run("swanctl", "--load-all", "--noprompt", "--clear")
	c.Run("swanctl", "--flush-certs")
}

// swanctl runs it and tells its two streams apart: warnings do not always make it fail.
func (c charon) swanctl(args ...string) (out, warnings string, err error) {
	var stdout, stderr bytes.Buffer
	cmd := c.Cmd(context.Background(), append([]string{"swanctl"}, args...)...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return stdout.String(), stderr.String(), err
}

func (c charon) dial(t *testing.T) *vici.Session {
	t.Helper()
	s, err := vici.NewSession(vici.WithDialContext(func(ctx context.Context, _, _ string) (conn net.Conn, err error) {
		err = c.Do(func() error {
			conn, err = (&net.Dialer{}).DialContext(ctx, "unix", "/run/charon.vici")
			return err
		})
		return conn, err
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// told are the lines of the log that are about content: not who said it, nor what went
// before. Certificates come in the order of a folder.
var told = regexp.MustCompile(`(?m)^\d+\[CFG\] (.*)\n`)

func (c charon) understood(t *testing.T, from int) understood {
	t.Helper()
	var u understood
	for _, line := range told.FindAllStringSubmatch(c.ReadFile(logFile)[from:], -1) {
		if !strings.HasPrefix(line[1], "vici client") && !strings.HasPrefix(line[1], "loaded certificate") &&
			!strings.HasSuffix(line[1], "private key") {
			u.log = append(u.log, line[1])
		}
	}
	s := c.dial(t)
	u.conns = c.list(t, s, "get-conns", "conns")
	u.shared = c.list(t, s, "get-shared", "keys")
	u.keys = c.list(t, s, "get-keys", "keys")
	u.log = append(u.log, c.Run("swanctl", "--list-conns", "--raw"))
	u.pools = c.Run("swanctl", "--list-pools", "--raw")
	u.pols = c.Run("swanctl", "--list-pols", "--raw")
	certs := strings.SplitAfter(c.Run("swanctl", "--list-certs", "--raw"), "\nlist-cert event ")
	slices.Sort(certs)
	u.certs = strings.Join(certs, "")
	return u
}

func (c charon) list(t *testing.T, s *vici.Session, command, key string) []string {
	t.Helper()
	m, err := s.Call(context.Background(), command, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, _ := m.Get(key).([]string)
	slices.Sort(l)
	return l
}

// credential is a file that swanctl loads, and what is in it once it is open.
type credential struct {
	path       string
	file, data []byte
}

// credentials are those that the forms name.
type credentials struct{ all []credential }

func newCredentials(t *testing.T) *credentials {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{"Example Ltd."}, CommonName: "CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	ca := sign(t, template, template, key)
	leaf := *template
	leaf.SerialNumber, leaf.Subject.CommonName, leaf.IsCA = big.NewInt(2), "gw", false
	leaf.KeyUsage, leaf.DNSNames = x509.KeyUsageDigitalSignature, []string{"gw-a.example.net", "gw1.example.net"}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	c := &credentials{}
	c.add("x509", certFile, "CERTIFICATE", sign(t, &leaf, template, key))
	c.add("x509ca", caFile, "CERTIFICATE", ca)
	c.add("private", keyFile, "EC PRIVATE KEY", private)
	c.add("private", closedKeyFile, "EC PRIVATE KEY", private)
	c.add("pubkey", ourPubFile, "PUBLIC KEY", public)
	c.add("pubkey", theirPubFile, "PUBLIC KEY", public)
	return c
}

func sign(t *testing.T, cert, parent *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (c *credentials) add(folder, name, kind string, der []byte) {
	data := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	c.all = append(c.all, credential{path: swanctl.FilePath(folder, name), file: data, data: data})
}

// of are those that a form needs: what it names, the key, closed where the form has a
// passphrase for it.
func (c *credentials) of(t *testing.T, i *desired.IPsec) []credential {
	t.Helper()
	root, err := swanctl.Settings(i, reveal)
	if err != nil {
		t.Fatal(err)
	}
	want := append(swanctl.Files(root), swanctl.FilePath("private", keyFile))
	passphrase := ""
	for _, s := range i.Secrets {
		if s.File != "" {
			passphrase = string(s.Secret[len("secret:"):])
			want[len(want)-1] = swanctl.FilePath("private", s.File)
		}
	}
	var some []credential
	for _, cred := range c.all {
		if !slices.Contains(want, cred.path) {
			continue
		}
		if path.Base(cred.path) == closedKeyFile {
			cred.file = closeKey(t, cred.data, passphrase)
		}
		some = append(some, cred)
	}
	return some
}

func (c *credentials) read(path string) ([]byte, error) {
	for _, cred := range c.all {
		if cred.path == path {
			return cred.data, nil
		}
	}
	return nil, fmt.Errorf("%s is missing", path)
}

// closeKey encrypts a key by a passphrase.
func closeKey(t *testing.T, open []byte, passphrase string) []byte {
	t.Helper()
	block, _ := pem.Decode(open)
	//lint:ignore SA1019 an old way to close a key, and the one that the library knows
	closed, err := x509.EncryptPEMBlock(rand.Reader, block.Type, block.Bytes, []byte(passphrase), x509.PEMCipherAES256) //nolint:staticcheck // see above
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(closed)
}

// lexed is what became of one secrets section.
type lexed struct {
	Accepted bool
	Secrets  map[string]string // by the section's name, in hexadecimal digits
}

// TestCharonReads holds Parse against strongSwan's own parser: for texts that were chosen
// for their pitfalls and for random ones, both accept or refuse, and read the same bytes.
func TestCharonReads(t *testing.T) {
	const count = 150
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := mathrand.New(mathrand.NewPCG(seed, 0))
	pieces := []string{"\"", "\"", "\\", "\\", "\n", "\r", "\t", " ", "#", "}", "{", "=", "n", "r", "t", "a", "secret", "é", "\xff", "\\\"", "include", " = "}
	texts := slices.Clone(pitfalls)
	for range count {
		var b strings.Builder
		for range 1 + r.IntN(8) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		texts = append(texts, b.String())
	}
	c := startCharon(t)
	for _, text := range texts {
		file := "secrets {\n eap-1 {\n id = x\n secret = " + text + "\n }\n}\n"
		root, err := swanctl.Parse([]byte(file))
		if err != nil && strings.Contains(err.Error(), "carriage return within a comment") {
			continue // which strongSwan reads in two ways
		}
		if diff := cmp.Diff(c.read(t, file), ours(root, err), equateEmpty); diff != "" {
			t.Errorf("reading %q (-strongSwan +ours, %v):\n%s", file, err, diff)
		}
	}
}

// pitfalls are values, and what may follow one.
var pitfalls = []string{
	`plain`, `two  words`, `"two  words" and "more"`, `a"b"c`, `""`, ``, `{a=b:c,d.e`, `a\nb`, `"a\nb\r\t\x\\\""`,
	"\"a\\\nb\"", "\"a\\\r\nb\"", "\"a\nb\r\nc\"", "\"\\\r\"", `"open`, `"open\`, `a # b`, `"a # b"`, `a#b`, `a}`, `"a}"`,
	"a\n secret = b", "a }\n eap-1 { secret = b\n id = y", "a\n secret = ", "a }\n eap-2 { secret = b", "a\n include = b",
	"a\n include  = b", "a\n include /nonexistent/*", "a\n b.c = d", "a\n \"b\" = c", "a\n b", "a }}", "a {", "a\n b {", "\ta\r\n",
	allBytes(),
}

// allBytes is a value of all bytes that the format can carry, as Format writes it.
func allBytes() string {
	var b []byte
	for c := 1; c < 256; c++ {
		b = append(b, byte(c))
	}
	s := &swanctl.Section{Values: values{"secret": string(b)}}
	return strings.TrimPrefix(strings.TrimSpace(string(s.Format())), "secret = ")
}

// ours is what Parse makes of a file.
func ours(root *swanctl.Section, err error) lexed {
	l := lexed{Accepted: err == nil, Secrets: map[string]string{}}
	secrets := root.Sub("secrets")
	for _, name := range secrets.Names() {
		// Other sections are none of charon's, and an empty secret it refuses.
		data, err := swanctl.SecretBytes(name, secrets.Sub(name))
		if strings.HasPrefix(name, "eap") && err == nil && len(data) > 0 {
			l.Secrets[name] = hex.EncodeToString(data)
		}
	}
	return l
}

var keyLog = regexp.MustCompile(`(?m)loaded EAP shared key with id '(.*)' for: .*\n.*key: ([0-9a-f:]*)`)

// read has strongSwan read a file.
func (c charon) read(t *testing.T, file string) lexed {
	t.Helper()
	c.WriteFile("/etc/swanctl-test/swanctl.conf", file, 0o600)
	before := len(c.ReadFile(logFile))
	_, warnings, _ := c.swanctl("--load-creds", "--noprompt", "--clear", "--file", "/etc/swanctl-test/swanctl.conf")
	l := lexed{Accepted: !strings.Contains(warnings, "invalid config file"), Secrets: map[string]string{}}
	for _, m := range keyLog.FindAllStringSubmatch(c.ReadFile(logFile)[before:], -1) {
		l.Secrets[m[1]] = strings.ReplaceAll(m[2], ":", "")
	}
	return l
}
