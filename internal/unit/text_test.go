package unit_test

import (
	"os"
	"testing"

	"github.com/vpnctl/vpnctl/internal/unit"
)

func TestCommandLine(t *testing.T) {
	got := unit.CommandLine("/opt/v p/100%/vpn$ctl", "plain", `a"b\c`)
	if want := `"/opt/v p/100%%/vpn$$ctl" plain "a\"b\\c"`; got != want {
		t.Errorf("command line is %s, want %s", got, want)
	}
}

func TestText(t *testing.T) {
	self, err := os.Executable() // below /tmp
	if err != nil {
		t.Fatal(err)
	}
	const lasting = "/bin/sh"
	text := func(exe string) []byte { return []byte("[Service]\nExecStart=\nExecStart=" + exe + " run\n") }
	other := func(exe string) []byte { return append(text(exe), "Restart=always\n"...) }
	for _, tt := range []struct {
		name string
		have []byte
		exe  string
		want string
	}{
		{"none", nil, "/new", string(text("/new"))},
		{"another path that is there", text(lasting), "/new", string(text(lasting))},
		{"another path that is not", text("/old/path"), "/new", string(text("/new"))},
		{"another path that will not last", text(self), "/new", string(text("/new"))},
		{"two that will not last", text(self), "/tmp/new", string(text(self))},
		{"another text", other(lasting), "/new", string(text("/new"))},
	} {
		if got := unit.Text(tt.have, tt.exe, text); string(got) != tt.want {
			t.Errorf("%s: text is %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestTemporary(t *testing.T) {
	for exe, want := range map[string]bool{
		"/usr/local/sbin/vpnctl": false, "/tmpfs/vpnctl": false, "/tmp/vpnctl": true, "/run/user/0/vpnctl": true, "/var/tmp/x/vpnctl": true,
	} {
		if got := unit.Temporary(exe); got != want {
			t.Errorf("%s: %v", exe, got)
		}
	}
}
