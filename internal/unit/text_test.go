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
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text := func(exe string) []byte { return []byte("[Service]\nExecStart=\nExecStart=" + exe + " run\n") }
	other := func(exe string) []byte { return append(text(exe), "Restart=always\n"...) }
	for _, tt := range []struct {
		name string
		have []byte
		want string
	}{
		{"none", nil, string(text("/new"))},
		{"another path that is there", text(self), string(text(self))},
		{"another path that is not", text("/old/path"), string(text("/new"))},
		{"another text", other(self), string(text("/new"))},
	} {
		if got := unit.Text(tt.have, "/new", text); string(got) != tt.want {
			t.Errorf("%s: text is %q, want %q", tt.name, got, tt.want)
		}
	}
}
