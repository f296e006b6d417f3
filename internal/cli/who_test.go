package cli

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

func TestInherited(t *testing.T) {
	proc := t.TempDir()
	process := func(pid, parent int, environ string) {
		t.Helper()
		dir := filepath.Join(proc, strconv.Itoa(pid))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		stat := strconv.Itoa(pid) + " (a) b (c) S " + strconv.Itoa(parent) + " 1 1"
		for name, text := range map[string]string{"stat": stat, "environ": environ} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	process(40, 30, "A=1\x00") // sudo
	process(30, 20, "XSSH_CONNECTION=no\x00SSH_CONNECTION=192.0.2.7 1 192.0.2.1 22\x00")
	process(20, 1, "SSH_CONNECTION=older\x00")
	process(60, 61, "")
	process(61, 60, "") // a loop, as ids that are used again could make
	tests := []struct {
		name string
		pid  int
		want string
	}{
		{"the nearest that has it", 40, "192.0.2.7 1 192.0.2.1 22"},
		{"itself", 20, "older"},
		{"nobody", 1, ""},
		{"gone", 99, ""},
		{"loop", 60, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := inherited(proc, tt.pid, "SSH_CONNECTION"); got != tt.want {
				t.Errorf("found %q, want %q", got, tt.want)
			}
		})
	}
}
