package swanctl_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/strongswan/govici/vici"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/swanctl"
)

var update = flag.Bool("update", false, "write the golden files")

// equateEmpty takes a section without values for one with none.
var equateEmpty = cmpopts.EquateEmpty()

func TestRenderGolden(t *testing.T) {
	var names []string
	for _, f := range forms() {
		names = append(names, f.name+".conf")
		t.Run(f.name, func(t *testing.T) {
			got, err := swanctl.Render(&f.want, reveal)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", f.name+".conf")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", file, diff)
			}
		})
	}
	golden, err := filepath.Glob("testdata/*.conf")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range golden {
		if !slices.Contains(names, filepath.Base(file)) {
			t.Errorf("%s belongs to no form", file)
		}
	}
}

// TestSameMessages holds that the file says what the socket is told.
func TestSameMessages(t *testing.T) {
	for _, f := range forms() {
		t.Run(f.name, func(t *testing.T) { checkMessages(t, &f.want) })
	}
}

// checkMessages compares what the rendered file gives with what the wanted state gives.
func checkMessages(t *testing.T, i *desired.IPsec) {
	t.Helper()
	text, err := swanctl.Render(i, reveal)
	if err != nil {
		t.Fatal(err)
	}
	root, err := swanctl.Parse(text)
	if err != nil {
		t.Fatalf("reading back:\n%s\n%v", text, err)
	}
	fromFile, err := swanctl.FromFile(root, anyFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(plain(messages(t, i, anyFile)), plain(fromFile), equateEmpty); diff != "" {
		t.Errorf("messages of the state, and of its file (-state +file):\n%s", diff)
	}
}

// anyFile has files of their own names.
func anyFile(path string) ([]byte, error) { return []byte("content of " + path), nil }

// messages makes those of a wanted state one by one, in the order of FromFile.
func messages(t *testing.T, i *desired.IPsec, read swanctl.ReadFile) []swanctl.Command {
	t.Helper()
	var all []swanctl.Command
	add := func(command, name string, m *vici.Message, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s %s: %v", command, name, err)
		}
		all = append(all, swanctl.Command{Name: command, Message: m})
	}
	for k := range i.Secrets {
		s := &i.Secrets[k]
		value, err := reveal(s.Secret)
		if err != nil {
			t.Fatal(err)
		}
		if s.File == "" {
			m, err := swanctl.LoadShared(s, value)
			add("load-shared", s.Name, m, err)
		}
	}
	for k := range i.Pools {
		m, err := swanctl.LoadPool(&i.Pools[k])
		add("load-pool", i.Pools[k].Name, m, err)
	}
	for k := range i.Connections {
		m, err := swanctl.LoadConn(&i.Connections[k], read)
		add("load-conn", i.Connections[k].Name, m, err)
	}
	for k := range i.Bypasses {
		m, err := swanctl.LoadBypass(&i.Bypasses[k])
		add("load-conn", i.Bypasses[k].Name, m, err)
	}
	return all
}

// plain turns commands into what can be compared, sorted.
func plain(commands []swanctl.Command) []string {
	var texts []string
	for _, c := range commands {
		var b bytes.Buffer
		printMessage(&b, "", c.Message)
		texts = append(texts, c.Name+"\n"+b.String())
	}
	slices.Sort(texts)
	return texts
}

func printMessage(b *bytes.Buffer, path string, m *vici.Message) {
	for _, key := range m.Keys() {
		switch v := m.Get(key).(type) {
		case string:
			b.WriteString(path + key + " = " + strconv.Quote(v) + "\n")
		case []string:
			for k := range v {
				v[k] = strconv.Quote(v[k])
			}
			b.WriteString(path + key + " = [" + strings.Join(v, " ") + "]\n")
		case *vici.Message:
			b.WriteString(path + key + " {}\n")
			printMessage(b, path+key+".", v)
		}
	}
}

func TestRenderRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(i *desired.IPsec)
		want   string
	}{
		{"name", func(i *desired.IPsec) { i.Connections[0].Name = "a.b" }, `"a.b" is no name for charon: use letters, digits, _ and -`},
		{"no name", func(i *desired.IPsec) { i.Connections[0].Children[0].Name = "" }, `"" is no name for charon: use letters, digits, _ and -`},
		{"long name", func(i *desired.IPsec) { i.Pools[0].Name = strings.Repeat("a", 101) }, "name aaaaaaaaaaaaaaaaaaaa… is longer than 100 bytes"},
		{"id with a line end", func(i *desired.IPsec) { i.Connections[0].Local.ID = "a\nb" }, `connections.x.local.id: "a\nb": charon takes printable ASCII only`},
		{"id outside ASCII", func(i *desired.IPsec) { i.Connections[0].Remote.ID = "zoë" }, `connections.x.remote.id: "zoë": charon takes printable ASCII only`},
		{"id not in UTF-8", func(i *desired.IPsec) { i.Connections[0].Remote.ID = "zo\xeb" }, `connections.x.remote.id: "zo\xeb": charon takes printable ASCII only`},
		{"long id", func(i *desired.IPsec) { i.Connections[0].Local.ID = strings.Repeat("a", 512) }, `connections.x.local.id: "aaaaaaaaaaaaaaaaaaaa"… is longer than 511 bytes`},
		{"long owner", func(i *desired.IPsec) { i.Secrets[0].Owners[1] = strings.Repeat("a", 256) }, `secrets.ike-x.id-2: "aaaaaaaaaaaaaaaaaaaa"… is longer than 255 bytes`},
		{"empty owner", func(i *desired.IPsec) { i.Secrets[0].Owners[0] = "" }, "secrets.ike-x.id-1: empty"},
		{"no owners", func(i *desired.IPsec) { i.Secrets[0].Owners = nil }, "secrets.ike-x.id: bound to nobody, it would be anybody's"},
		{"comma in a list", func(i *desired.IPsec) { i.Connections[0].LocalAddrs = []string{"a,b"} }, `connections.x.local_addrs: "a,b": no comma, outer space or quote can stand in a list`},
		{"space in a list", func(i *desired.IPsec) { i.Connections[0].Children[0].LocalTS = []string{" a"} }, `connections.x.children.x.local_ts: " a": no comma, outer space or quote can stand in a list`},
		{"file in a folder", func(i *desired.IPsec) { i.Connections[0].Local.Certs = []string{"../a"} }, `connections.x.local.certs: "../a" is no file name for swanctl`},
		{"file that is its content", func(i *desired.IPsec) { i.Connections[0].Local.Certs = []string{"0Sab"} }, `connections.x.local.certs: "0Sab" is no file name for swanctl`},
		{"part of a second", func(i *desired.IPsec) { i.Connections[0].DPDDelay = 1500 * time.Millisecond }, "connections.x.dpd_delay: 1.5s is not in whole seconds"},
		{"negative time", func(i *desired.IPsec) { i.Connections[0].RekeyTime = pointer(-time.Second) }, "connections.x.rekey_time: -1s is not in whole seconds"},
		{"setting set twice", func(i *desired.IPsec) { i.Connections[0].Settings = []desired.Setting{{Key: "version", Value: "1"}} }, "connections.x.version: set twice"},
		{"setting of no name", func(i *desired.IPsec) { i.Connections[0].Settings = []desired.Setting{{Key: "a b", Value: "1"}} }, `"a b" is no name for charon: use letters, digits, _ and -`},
		{"protocol", func(i *desired.IPsec) { i.Connections[0].Children[0].Protocol = "ipcomp" }, `connections.x.children.x.protocol: "ipcomp" is none of esp, ah`},
		{"two of a name", func(i *desired.IPsec) { i.Bypasses = []desired.Bypass{{Name: "x", LocalTS: []string{"10.0.0.0/8"}}} }, "connections.x: there are two of this name"},
		{"kind that the name denies", func(i *desired.IPsec) { i.Secrets[0].Kind = "eap" }, `secrets.ike-x.secret: the name of a secret for "eap" has to begin with that`},
		{"empty secret", func(i *desired.IPsec) { i.Secrets[0].Secret = "secret:" }, "secrets.ike-x.secret: is empty, or longer than 65535 bytes"},
		{"unknown secret", func(i *desired.IPsec) { i.Secrets[0].Secret = "other" }, "secrets.ike-x.secret: secret other is unknown"},
		{"passphrase with NUL", func(i *desired.IPsec) {
			i.Secrets[0] = desired.CharonSecret{Name: "private-x", Kind: "private", File: "x", Secret: "secret:hidden\x00"}
		}, "secrets.private-x.secret: a passphrase that is empty or has a NUL byte opens nothing"},
		{"all at once", func(i *desired.IPsec) {
			i.Connections[0].Local.ID, i.Secrets[0].Owners = "ä", nil
		}, "connections.x.local.id: \"ä\": charon takes printable ASCII only\nsecrets.ike-x.id: bound to nobody, it would be anybody's"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			i := only(between("x", "192.0.2.1", "192.0.2.2"), psk("x", "secret", "192.0.2.1", "192.0.2.2"))
			i.Pools = []desired.Pool{{Name: "x", Addrs: "10.0.0.0/24"}}
			if _, err := swanctl.Render(&i, reveal); err != nil {
				t.Fatalf("before the change: %v", err)
			}
			tt.change(&i)
			text, err := swanctl.Render(&i, reveal)
			if err == nil || err.Error() != tt.want {
				t.Errorf("Render = %s\n%v\nwant error %s", text, err, tt.want)
			}
		})
	}
}

// TestErrorsWrap holds that whoever asks learns why a secret is not there.
func TestErrorsWrap(t *testing.T) {
	i := only(between("x", "192.0.2.1", "192.0.2.2"), psk("x", "secret", "192.0.2.1"))
	gone := errors.New("gone")
	_, err := swanctl.Render(&i, func(secret.ID) ([]byte, error) { return nil, gone })
	if !errors.Is(err, gone) {
		t.Errorf("Render = %v, want %v", err, gone)
	}
}
