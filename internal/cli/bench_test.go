package cli_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// crowd is a topology of a gateway with that many foreign peers, an address each.
func crowd(n int) string {
	var b strings.Builder
	b.WriteString(`version: 1
site: crowd
nodes:
  gw: {addresses: [192.0.2.1]}
wireguard:
  wg0:
    listen_port: 51820
    members:
      gw:
        addresses: [10.255.0.1/32]
        public_key: HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=
        private_key: {file: wg0.key}
    peers:
`)
	for i := range n {
		key := sha256.Sum256(fmt.Append(nil, i))
		fmt.Fprintf(&b, "      p%05d: {addresses: [10.100.%d.%d/32], public_key: %s}\n", i, i>>8, i&255, base64.StdEncoding.EncodeToString(key[:]))
	}
	return b.String()
}

// crowded is a machine, and a folder with its topology.
func crowded(b *testing.B, n int) (*machine, string) {
	b.Helper()
	dir := b.TempDir()
	for name, text := range map[string]string{
		"site.yaml": crowd(n), "wg0.key": "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	m := newMachine("gw", dir)
	return m, dir
}

func (m *machine) benchApply(b *testing.B, dir, want string) {
	b.Helper()
	if r := m.vpnctl(dir, "", "apply", "site.yaml"); r.code != 0 || !strings.Contains(r.stdout, want) {
		b.Fatalf("exit code %d\n%.200s%s", r.code, r.stdout, r.stderr)
	}
}

// BenchmarkFirstApply is all of an apply on a host in memory, but for the programs of
// systemd and the like.
func BenchmarkFirstApply(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				m, dir := crowded(b, n)
				b.StartTimer()
				m.benchApply(b, dir, "applied: ")
			}
		})
	}
}

// BenchmarkUnchanged is an apply with nothing to do.
func BenchmarkUnchanged(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m, dir := crowded(b, n)
			m.benchApply(b, dir, "applied: ")
			b.ReportAllocs()
			for b.Loop() {
				m.benchApply(b, dir, "no changes")
			}
		})
	}
}
