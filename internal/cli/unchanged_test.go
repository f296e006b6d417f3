package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/node"
	"github.com/vpnctl/vpnctl/internal/vault"
)

const inlineSite = `version: 1
site: lab
nodes:
  gw: {addresses: [192.0.2.1]}
  other: {}
wireguard:
  wg0:
    listen_port: 51820
    members:
      gw:
        addresses: [10.0.0.1/24]
        private_key: {value: yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=}
        public_key: HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=
      other:
        addresses: [10.0.0.2/24]
        public_key: TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=
`

// untouched is a host on which nothing is ever to be done.
type untouched struct {
	dir, hostname string
}

func (u *untouched) program(stdout, stderr *bytes.Buffer) *Program {
	return &Program{
		Stdin: strings.NewReader(""), Stdout: stdout, Stderr: stderr,
		Getenv:   func(string) (string, bool) { return "", false },
		Hints:    func(flag string) node.Hints { return node.Hints{Flag: flag, Hostname: u.hostname} },
		StateDir: filepath.Join(u.dir, "state"), RunDir: filepath.Join(u.dir, "run"),
		Backends: func(*vault.Vault) []backend.Backend { return nil },
		Now:      time.Now,
	}
}

func (u *untouched) apply(t *testing.T, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if code := u.program(&out, &errs).Run(context.Background(), append([]string{"apply"}, args...)); code != 0 {
		t.Fatalf("exit code %d: %s", code, &errs)
	}
	return out.String(), errs.String()
}

// taken reports whether the next apply of the file would take over what was applied last.
func (u *untouched) taken(t *testing.T, file string) bool {
	t.Helper()
	g := &globals{Program: u.program(new(bytes.Buffer), new(bytes.Buffer)), stateDir: filepath.Join(u.dir, "state")}
	w, err := g.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return g.unchanged(context.Background(), w, file) != nil
}

func (u *untouched) write(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(u.dir, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestUnchanged takes the shortcut exactly where all is as it was.
func TestUnchanged(t *testing.T) {
	key := "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
	inFile := strings.Replace(inlineSite, "{value: "+key+"}", "{file: wg0.key}", 1)
	fromEnv := strings.Replace(inlineSite, "{value: "+key+"}", "{command: [echo, "+key+"]}", 1)
	tests := []struct {
		name, site string
		change     func(t *testing.T, u *untouched)
		want       bool
	}{
		{"nothing", inlineSite, func(*testing.T, *untouched) {}, true},
		{"nothing, secret in a file", inFile, func(*testing.T, *untouched) {}, true},
		{"nothing, secret of a command", fromEnv, func(*testing.T, *untouched) {}, false},
		{"comment", inlineSite, func(t *testing.T, u *untouched) {
			u.write(t, "site.yaml", inlineSite+"# more\n", 0o600)
		}, false},
		{"mode of the topology", inlineSite, func(t *testing.T, u *untouched) {
			u.write(t, "site.yaml", inlineSite, 0o644)
		}, false},
		{"secret", inFile, func(t *testing.T, u *untouched) {
			u.write(t, "wg0.key", strings.Replace(key, "y", "w", 1), 0o600)
		}, false},
		{"secret that others may read", inFile, func(t *testing.T, u *untouched) {
			u.write(t, "wg0.key", key, 0o644)
		}, false},
		{"secret gone", inFile, func(t *testing.T, u *untouched) {
			if err := os.Remove(filepath.Join(u.dir, "wg0.key")); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"name of the host", inlineSite, func(_ *testing.T, u *untouched) { u.hostname = "other" }, false},
		{"name that is no node", inlineSite, func(_ *testing.T, u *untouched) { u.hostname = "nobody" }, false},
		{"apply that was cut off", inlineSite, func(t *testing.T, u *untouched) {
			u.write(t, "state/journal", `{"head":{"site":"lab","node":"gw","steps":1}}`+"\n", 0o600)
		}, false},
		{"key of fingerprints", inlineSite, func(t *testing.T, u *untouched) {
			u.write(t, "state/fingerprint.key", strings.Repeat("x", 32), 0o600)
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := &untouched{dir: t.TempDir(), hostname: "gw"}
			u.write(t, "wg0.key", key+"\n", 0o600)
			file := u.write(t, "site.yaml", tt.site, 0o600)
			u.apply(t, file)
			tt.change(t, u)
			if got := u.taken(t, file); got != tt.want {
				t.Errorf("taken over: %v, want %v", got, tt.want)
			}
		})
	}
}

// TestUnchangedElsewhere does not take a copy of the file for the file: paths in it mean
// others there.
func TestUnchangedElsewhere(t *testing.T) {
	u := &untouched{dir: t.TempDir(), hostname: "gw"}
	file := u.write(t, "site.yaml", inlineSite, 0o600)
	u.apply(t, file)
	if u.taken(t, u.write(t, "copy.yaml", inlineSite, 0o600)) {
		t.Error("a copy was taken over")
	}
}

// TestUnchangedSaysTheSame compares what an apply prints with and without the shortcut.
func TestUnchangedSaysTheSame(t *testing.T) {
	for _, format := range formats {
		u := &untouched{dir: t.TempDir(), hostname: "gw"}
		file := u.write(t, "site.yaml", inlineSite, 0o644)
		long, longErr := u.apply(t, "-o", format, file)
		if !strings.Contains(longErr, "others may read it") {
			t.Fatalf("no warning: %q", longErr)
		}
		if !u.taken(t, file) {
			t.Fatal("not taken over")
		}
		short, shortErr := u.apply(t, "-o", format, file)
		if short != long || shortErr != longErr {
			t.Errorf("%s: printed\n%s%s\nwant\n%s%s", format, short, shortErr, long, longErr)
		}
	}
}

// TestUnchangedNeedsTheFile does not let what an apply without FILE makes of today's
// secrets stand for the file and the secrets of then.
func TestUnchangedNeedsTheFile(t *testing.T) {
	u := &untouched{dir: t.TempDir(), hostname: "gw"}
	u.apply(t, u.write(t, "site.yaml", inlineSite, 0o600))
	g := &globals{Program: u.program(new(bytes.Buffer), new(bytes.Buffer)), stateDir: filepath.Join(u.dir, "state")}
	w, err := g.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a, err := w.State.Applied()
	if err != nil || a.Reading == nil {
		t.Fatalf("nothing was noted of the file: %v", err)
	}
	s, err := g.loadApplied(context.Background(), w.vault, a)
	if err != nil || s.record.Reading != nil {
		t.Errorf("noted %+v, %v", s.record.Reading, err)
	}
}
