package cli_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// planted are random secrets by the place in a topology at which they stand.
type planted map[string]wgtypes.Key

// at is the secret of a place, made when it is first asked for.
func (p planted) at(t *testing.T, place string) wgtypes.Key {
	t.Helper()
	if _, ok := p[place]; !ok {
		k, err := wgtypes.GeneratePrivateKey()
		if err != nil {
			t.Fatal(err)
		}
		p[place] = k
	}
	return p[place]
}

// forms are the ways in which a secret could be told. Its first characters are enough: that
// finds a shortened one as well, and by chance none.
func forms(k wgtypes.Key) map[string]string {
	text := k.String()
	return map[string]string{
		"base64": text[:10], "base64's end": text[len(text)-12:], "raw": string(k[:8]), "hex": hex.EncodeToString(k[:6]),
		"HEX": strings.ToUpper(hex.EncodeToString(k[:6])), "bytes": strings.Trim(fmt.Sprintf("%d", k[:6]), "[]"),
		"base64 of base64": base64.StdEncoding.EncodeToString([]byte(text[:12])), "hex of base64": hex.EncodeToString([]byte(text[:8])),
	}
}

// in names the secrets that a text tells.
func (p planted) in(text string) []string {
	var told []string
	for _, place := range slices.Sorted(maps.Keys(p)) {
		for form, s := range forms(p[place]) {
			if strings.Contains(text, s) {
				told = append(told, place+" as "+form)
			}
		}
	}
	return told
}

// site writes a topology with a secret in every place and of every origin, and what it
// refers to. Round tells the secrets of one writing from those of the next.
func (p planted) site(t *testing.T, m *machine, dir, round string) string {
	t.Helper()
	key := func(place string) wgtypes.Key { return p.at(t, place+round) }
	write := func(name string, k wgtypes.Key) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(k.String()+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("n1.key", key("private key in a file"))
	write("pair.psk", key("preshared key of a pair by a command"))
	write("credential", key("preshared key by a credential"))
	m.env["ALL_PSK"] = key("preshared key of an interface from the environment").String()
	m.env["WG1_KEY"] = key("private key from the environment").String()
	m.env["CREDENTIALS_DIRECTORY"] = dir
	write("wg2.key", key("private key by a command"))
	hexPSK := key("preshared key of a peer in hex")
	text := strings.NewReplacer(
		"@PUB1", key("private key in a file").PublicKey().String(), "@PUB2", key("private key in the topology").PublicKey().String(),
		"@KEY2", key("private key in the topology").String(), "@PUB3", key("private key from the environment").PublicKey().String(),
		"@PUB4", key("private key by a command").PublicKey().String(), "@HEX", hex.EncodeToString(hexPSK[:]),
		"@PSK", key("preshared key in the topology").String(), "@PAIR", key("preshared key of a pair in the topology").String(),
		"@PEER1", keyOf("phone").PublicKey().String(), "@PEER2", keyOf("tablet").PublicKey().String(), "@PEER3", keyOf("laptop").PublicKey().String(),
	).Replace(`version: 1
site: hq
nodes:
  n1: {addresses: [192.0.2.1]}
  n2: {addresses: [192.0.2.2]}
wireguard:
  wg0:
    listen_port: 51820
    private_key: {file: n1.key}
    preshared_key: {env: ALL_PSK}
    preshared_keys:
      - {between: [n1, n2], command: [cat, pair.psk]}
    members:
      n1: {addresses: [10.0.0.1/24], public_key: @PUB1}
      n2: {addresses: [10.0.0.2/24], public_key: @PUB2, private_key: {value: @KEY2}, networks: [10.5.0.0/16]}
    peers:
      phone: {addresses: [10.0.0.10/32], public_key: @PEER1, preshared_key: {value: @HEX, encoding: hex}}
      tablet: {addresses: [10.0.0.11/32], public_key: @PEER2, preshared_key: {credential: credential}}
      laptop: {addresses: [10.0.0.12/32], public_key: @PEER3}
  wg1:
    listen_port: 51821
    preshared_key: {value: @PSK}
    preshared_keys:
      - {between: [n1, n2], value: @PAIR}
    members:
      n1: {addresses: [10.1.0.1/24], public_key: @PUB3, private_key: {env: WG1_KEY}}
      n2: {addresses: [10.1.0.2/24], public_key: @PUB2, private_key: {value: @KEY2}}
    peers:
      phone: {addresses: [10.1.0.10/32], public_key: @PEER1}
  wg2:
    listen_port: 51822
    members:
      n1: {addresses: [10.2.0.1/24], public_key: @PUB4, private_key: {command: [cat, wg2.key]}}
nat:
  n1:
    - {source: [10.0.0.0/16], out: eth0}
`)
	file := filepath.Join(dir, "site"+round+".yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// told are the secrets that the state folder holds outside of the place for them.
func (m *machine) told(t *testing.T, p planted) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(m.state, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			if e != nil && e.Name() == "secrets" {
				return fs.SkipDir
			}
			return err
		}
		b, err := os.ReadFile(path)
		for _, s := range p.in(e.Name() + "\n" + string(b)) {
			all = append(all, e.Name()+": "+s)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return all
}

// listener runs vpnctl and listens to what it tells.
type listener struct {
	*machine
	t    *testing.T
	dir  string
	said planted
	runs int
}

// run runs a command line in every format, with and without -v.
func (l *listener) run(code int, args ...string) {
	l.t.Helper()
	for _, more := range [][]string{{"-v"}, {"-o", "json"}, {"-o", "yaml", "-v"}, {"--color", "always"}} {
		l.once(code, append(slices.Clone(more), args...)...)
	}
}

func (l *listener) once(code int, args ...string) {
	l.t.Helper()
	l.runs++
	r := l.vpnctl(l.dir, "", args...)
	if r.code != code {
		l.t.Fatalf("%v: exit code %d, not %d\n%s%s", args, r.code, code, r.stdout, r.stderr)
	}
	for _, s := range slices.Concat(l.said.in(r.stdout), l.said.in(r.stderr), l.told(l.t, l.said), l.said.in(l.String())) {
		l.t.Errorf("%v tells %s", args, s)
	}
}

// TestSecretsAreNotTold runs every command, as it succeeds and as it fails, and looks for
// secrets in all that it prints and leaves behind.
func TestSecretsAreNotTold(t *testing.T) {
	p := planted{}
	dir := t.TempDir()
	l := &listener{machine: newMachine("n1", memoryDir(t)), t: t, dir: dir, said: p}
	one := p.site(t, l.machine, dir, " once")
	l.run(1, "diff", one)
	l.run(1, "apply", "--dry-run", one)
	l.run(0, "validate", one)
	l.run(0, "render", one, "--node", "n1")
	l.run(0, "render", one, "--node", "n2")
	l.run(0, "keygen", "--topology", one)

	// Failures at some writes, of all from there on, and a kill.
	for k := 4; k < 24; k += 4 {
		l.failAt(k)
		l.once(4, "-v", "apply", one)
		l.breakAt(k)
		l.once(5, "-o", "json", "-v", "apply", one)
		l.repair()
		l.once(0, "-v", "destroy", "--yes")
		l.killAt(k)
		l.once(exitKilled, "-v", "apply", one)
		l.repair()
		l.run(1, "diff", one)
		l.run(0, "status")
		l.once(0, "-o", "yaml", "destroy", "--yes")
	}
	l.once(0, "-v", "apply", one)
	l.run(0, "diff")
	l.run(0, "apply")
	l.run(0, "status")
	l.run(0, "status", "--check")

	// Other secrets in all places: the old ones are planned away, and needed for the undo.
	two := p.site(t, l.machine, dir, " again")
	l.run(1, "diff", two)
	l.failAt(6)
	l.once(4, "-v", "apply", two)
	l.repair()
	l.once(0, "-o", "json", "apply", two)
	l.run(0, "diff")
	l.run(1, "destroy", "--dry-run")
	l.wrong(two)
	l.once(0, "-v", "destroy", "--yes")
	l.shown(two)
	t.Logf("%d secrets, %d runs", len(p), l.runs)
}

// wrong applies topologies and secrets with all sorts of mistakes in and around secrets.
func (l *listener) wrong(file string) {
	l.t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		l.t.Fatal(err)
	}
	k := l.said.at(l.t, "a secret amid mistakes").String()
	right := "{value: " + l.said["preshared key in the topology again"].String() + "}"
	if !strings.Contains(string(b), right) {
		l.t.Fatalf("%s has no %s", file, right)
	}
	// A secret is what is given as one, also where it is given wrongly.
	for n, mistake := range []string{
		"KEY", "[KEY]", "{valu: KEY}", "{value: [KEY]}", "{value: {KEY: 1}}", "{value: " + k[:43] + "}", "{value: KEYKEY}",
		"{value: KEY, encoding: hex}", "{value: KEY, env: ALL_PSK}", "{value: KEY, value: KEY}", "{KEY: KEY}", "{value: \"KEY}",
		"{value: KEY", "{value: !!int KEY}", "{value: *" + k[:20] + "}", "{value: !!binary KEY" + k[:20] + "}", "\nKEY\n", "|\n  KEY",
	} {
		bad := filepath.Join(l.dir, fmt.Sprintf("bad%d.yaml", n))
		text := strings.Replace(string(b), right, strings.ReplaceAll(mistake, "KEY", k), 1)
		if err := os.WriteFile(bad, []byte(text), 0o600); err != nil {
			l.t.Fatal(err)
		}
		for _, args := range [][]string{
			{"-v", "diff", bad}, {"-o", "json", "validate", bad}, {"apply", bad}, {"render", bad, "--node", "n1"}, {"keygen", "--topology", bad},
		} {
			l.anyCode(args...)
		}
	}
	l.badFiles(file)
}

// badFiles makes what a topology refers to wrong.
func (l *listener) badFiles(file string) {
	l.t.Helper()
	k := l.said.at(l.t, "a secret in a bad file")
	for _, text := range []string{k.String()[:43], k.String() + k.String(), "key = " + k.String(), "\x00" + string(k[:]), k.String() + "\n\n" + k.String()} {
		for _, name := range []string{"n1.key", "pair.psk", "credential", "wg2.key"} {
			path := filepath.Join(l.dir, name)
			good, err := os.ReadFile(path)
			if err != nil {
				l.t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				l.t.Fatal(err)
			}
			l.anyCode("-v", "diff", file)
			l.anyCode("diff")
			if err := os.WriteFile(path, good, 0o600); err != nil {
				l.t.Fatal(err)
			}
		}
	}
}

// anyCode runs what may well go wrong.
func (l *listener) anyCode(args ...string) {
	l.t.Helper()
	l.runs++
	r := l.vpnctl(l.dir, "", args...)
	for _, s := range slices.Concat(l.said.in(r.stdout), l.said.in(r.stderr), l.told(l.t, l.said)) {
		l.t.Errorf("%v tells %s:\n%s%s", args, s, r.stdout, r.stderr)
	}
}

// shown is the one command that tells secrets, and the proof that they would be found.
func (l *listener) shown(file string) {
	l.t.Helper()
	r := l.vpnctl(l.dir, "", "render", file, "--node", "n1", "--show-secrets")
	found := l.said.in(r.stdout)
	for _, place := range []string{
		"private key in a file", "preshared key of a pair by a command", "preshared key of a peer in hex", "preshared key by a credential",
		"preshared key of an interface from the environment", "private key from the environment", "preshared key in the topology",
		"preshared key of a pair in the topology", "private key by a command",
	} {
		if !slices.Contains(found, place+" again as base64") {
			l.t.Errorf("render --show-secrets: exit code %d, %s is not shown", r.code, place)
		}
	}
	if told := l.said.in(r.stderr); len(told) > 0 {
		l.t.Errorf("on standard error, too: %v", told)
	}
}
