package ppp_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/vpnctl/vpnctl/internal/ppp"
)

// TestEnd ends a process that has pppd's name, and no other.
func TestEnd(t *testing.T) {
	self, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	for name, ends := range map[string]bool{"pppd": true, "ssh": false} {
		path := filepath.Join(t.TempDir(), name)
		copyProgram(t, self, path)
		cmd := exec.Command(path, "1000")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		if err := ppp.Live().End(t.Context(), ppp.Session{PID: cmd.Process.Pid}); err != nil {
			t.Error(err)
		}
		if !ends {
			if err := cmd.Process.Signal(syscall.Signal(0)); err != nil {
				t.Errorf("%s has been ended: %v", name, err)
			}
			_ = cmd.Process.Kill()
		}
		<-ended
		// One that is gone is success.
		if err := ppp.Live().End(t.Context(), ppp.Session{PID: cmd.Process.Pid}); err != nil {
			t.Error(err)
		}
	}
}

func copyProgram(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}
