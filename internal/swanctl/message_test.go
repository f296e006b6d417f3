package swanctl_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/swanctl"
)

func parse(t *testing.T, text string) *swanctl.Section {
	t.Helper()
	s, err := swanctl.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestFromFile has what only files of others have: odd spellings of keys, absolute paths,
// certificates by value, secrets in all encodings, sections that charon gets nothing of.
func TestFromFile(t *testing.T) {
	root := parse(t, `
		connections {
			theirs {
				Local_Addrs = 192.0.2.1 , 192.0.2.2
				pools =
				vips = ""
				local { certs = /srv/a.pem, 0x6162, 0Sq80=, b.pem }
			}
		}
		pools { p { addrs = 10.0.0.0/24
			split_include = 10.1.0.0/16,10.2.0.0/16 } }
		secrets {
			eap-text { secret = plain
				id = a
				id-b = b
				other = c }
			ike-hex { secret = 0X00:ff }
			xauth { secret = 0sAAA= }
			private-key { secret = 0sAAA=
				file = key.pem }
			token-1 { pin = 1234 }
			unknown { secret = x }
		}`)
	commands, err := swanctl.FromFile(root, anyFile)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"load-conn\ntheirs {}\ntheirs.Local_Addrs = [\"192.0.2.1\" \"192.0.2.2\"]\ntheirs.vips = []\ntheirs.local {}\n" +
			`theirs.local.certs = ["content of /srv/a.pem" "ab" "\xab\xcd" "content of /etc/swanctl/x509/b.pem"]` + "\n",
		"load-pool\np {}\np.addrs = \"10.0.0.0/24\"\np.split_include = [\"10.1.0.0/16\" \"10.2.0.0/16\"]\n",
		"load-shared\nid = \"eap-text\"\ntype = \"eap\"\ndata = \"plain\"\nowners = [\"a\" \"b\"]\n",
		"load-shared\nid = \"ike-hex\"\ntype = \"ike\"\ndata = \"\\x00\\xff\"\nowners = []\n",
		"load-shared\nid = \"xauth\"\ntype = \"xauth\"\ndata = \"\\x00\\x00\"\nowners = []\n",
	}
	if diff := cmp.Diff(want, plain(commands)); diff != "" {
		t.Errorf("FromFile (-want +got):\n%s", diff)
	}
	files := []string{"/etc/swanctl/x509/b.pem", "/srv/a.pem"}
	if diff := cmp.Diff(files, swanctl.Files(root)); diff != "" {
		t.Errorf("Files (-want +got):\n%s", diff)
	}
}

func TestFromFileRefuses(t *testing.T) {
	tests := []struct{ text, want string }{
		{"include a", "includes are not followed"},
		{"pools { include a }", "pools: includes are not followed"},
		{"pools { p { include a } }", "pools.p: includes are not followed"},
		{"connections { c { children { include a } } }", "connections.c: includes are not followed"},
		{"connections { c { remote { cacerts = gone } } }", "connections.c: cacerts: /etc/swanctl/x509ca/gone is missing"},
		{"connections { c { remote { cacerts = 0xz } } }", "connections.c: cacerts: not what its prefix says: 0x wants hexadecimal digits, 0s base64"},
		{"secrets { ike-a { id = a } }", "secrets.ike-a has no secret"},
		{"secrets { ike-a { secret = 0sabc } }", "secrets.ike-a: not what its prefix says: 0x wants hexadecimal digits, 0s base64"},
		{"secrets { ike-a { secret = 0xabc } }", "secrets.ike-a: not what its prefix says: 0x wants hexadecimal digits, 0s base64"},
	}
	for _, tt := range tests {
		commands, err := swanctl.FromFile(parse(t, tt.text), swanctl.Reader(nil))
		if err == nil || err.Error() != tt.want {
			t.Errorf("FromFile of %s = %v, %v, want error %q", tt.text, commands, err, tt.want)
		}
	}
}

func TestLoadCertAndKey(t *testing.T) {
	tests := []struct{ file, want string }{
		{"/etc/swanctl/x509/a", "type = \"X509\"\nflag = \"NONE\"\ndata = \"x\"\n"},
		{"/etc/swanctl/x509ca/a", "type = \"X509\"\nflag = \"CA\"\ndata = \"x\"\n"},
		{"/etc/swanctl/pubkey/a", "type = \"PUBKEY\"\ndata = \"x\"\n"},
		{"/etc/swanctl/private/a", "/etc/swanctl/private/a: swanctl reads no certificates from private"},
	}
	for _, tt := range tests {
		var got bytes.Buffer
		if m, err := swanctl.LoadCert(tt.file, []byte("x")); err != nil {
			got.WriteString(err.Error())
		} else {
			printMessage(&got, "", m)
		}
		if diff := cmp.Diff(tt.want, got.String()); diff != "" {
			t.Errorf("LoadCert of %s (-want +got):\n%s", tt.file, diff)
		}
	}
	var got bytes.Buffer
	printMessage(&got, "", swanctl.LoadKey([]byte("x")))
	if got.String() != "type = \"any\"\ndata = \"x\"\n" {
		t.Errorf("LoadKey = %s", got.String())
	}
}

func TestLoadersRefuse(t *testing.T) {
	_, err := swanctl.LoadConn(&desired.Connection{Name: "a b"}, anyFile)
	check := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), `"a b" is no name for charon`) {
			t.Errorf("%s of a bad name: %v", what, err)
		}
	}
	check("LoadConn", err)
	_, err = swanctl.LoadBypass(&desired.Bypass{Name: "a b"})
	check("LoadBypass", err)
	_, err = swanctl.LoadPool(&desired.Pool{Name: "a b"})
	check("LoadPool", err)
	_, err = swanctl.LoadShared(&desired.CharonSecret{Name: "a b"}, []byte("x"))
	check("LoadShared", err)
}

// TestReader holds that credentials are found by path, and that no key is handed out as a
// certificate.
func TestReader(t *testing.T) {
	read := swanctl.Reader([]desired.Credential{
		{Path: "/etc/swanctl/x509/a", Data: []byte("a")},
		{Path: "/etc/swanctl/private/a", Secret: "secret:key"},
	})
	if data, err := read("/etc/swanctl/x509/a"); string(data) != "a" || err != nil {
		t.Errorf("certificate: %q, %v", data, err)
	}
	for _, path := range []string{"/etc/swanctl/private/a", "/etc/swanctl/x509/b"} {
		if data, err := read(path); err == nil {
			t.Errorf("%s: %q, want an error", path, data)
		}
	}
}
