package cli_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pppSite has a secret in every place of L2TP and PPTP.
const pppSite = `version: 1
site: hq
nodes:
  n1: {addresses: [192.0.2.1]}
  n2: {addresses: [192.0.2.2]}
l2tp:
  office:
    server: n1
    local_ip: 192.168.130.1
    pools: [192.168.130.10-192.168.130.20]
    auth: [mschapv2, pap]
    ipsec: {psk: {value: "@PSK"}}
    users: {dave: {password: {value: "@DAVE"}}, eve: {password: {env: EVE}}}
  far:
    server: n2
    local_ip: 192.168.132.1
    pools: [192.168.132.10-192.168.132.20]
    ipsec: none
    users: {n1: {password: {value: "@LINK"}}}
    clients: {n1: {user: n1}}
pptp:
  legacy:
    server: n1
    allow_insecure: true
    local_ip: 192.168.131.1
    pools: [192.168.131.10-192.168.131.20]
    radius: {servers: [{address: 192.0.2.9, secret: {value: "@RADIUS"}}]}
`

// TestSecretsOfPPPAreNotTold: what pppd, charon and RADIUS must be told stands in files that
// nobody else may read, and nowhere else.
func TestSecretsOfPPPAreNotTold(t *testing.T) {
	p := planted{}
	dir := t.TempDir()
	m := newMachine("n1", memoryDir(t))
	site := func(round string) string {
		m.env["EVE"] = p.at(t, "password from the environment"+round).String()
		text := strings.NewReplacer("@PSK", p.at(t, "PSK"+round).String(), "@DAVE", p.at(t, "password"+round).String(),
			"@LINK", p.at(t, "password of a link"+round).String(), "@RADIUS", p.at(t, "secret of RADIUS"+round).String()).Replace(pppSite)
		file := filepath.Join(dir, "site"+round+".yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	run := func(code int, args ...string) {
		t.Helper()
		for _, more := range [][]string{{"-v"}, {"-o", "json"}} {
			r := m.vpnctl(dir, "", append(slices.Clone(more), args...)...)
			if r.code != code && args[0] != "apply" && args[0] != "destroy" {
				t.Fatalf("%v: exit code %d, not %d\n%s%s", args, r.code, code, r.stdout, r.stderr)
			}
			for _, s := range slices.Concat(p.in(r.stdout), p.in(r.stderr), m.told(t, p)) {
				t.Errorf("%v tells %s", args, s)
			}
		}
	}
	one := site(" once")
	run(1, "diff", one)
	run(0, "validate", one)
	run(0, "render", one, "--node", "n1")
	for k := 5; k < 40; k += 7 {
		m.failAt(k)
		run(4, "apply", one)
		m.breakAt(k)
		run(5, "apply", one)
		m.repair()
		run(0, "destroy", "--yes")
	}
	run(0, "apply", one)
	run(0, "diff")
	run(0, "status")
	two := site(" again")
	run(1, "diff", two)
	run(0, "apply", two)
	run(0, "diff")
	held := 0
	for _, path := range m.files.Paths() {
		f, err := m.files.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if in := p.in(string(f.Data)); len(in) > 0 {
			held++
			if f.Mode&0o077 != 0 {
				t.Errorf("%s of mode %o tells %q", path, f.Mode, in)
			}
		}
	}
	if held < 3 {
		t.Errorf("secrets are in %d files: has it been applied?", held)
	}
	run(0, "destroy", "--yes")
}
