package host_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnctl/vpnctl/internal/host"
)

// ended waits for the end of a program.
func ended(t *testing.T, d *host.Detached) error {
	t.Helper()
	select {
	case err := <-d.Ended():
		return err
	case <-time.After(time.Minute):
		t.Fatalf("process %d does not end", d.PID)
		return nil
	}
}

func TestDetach(t *testing.T) {
	t.Setenv("VPNCTL_TEST_SECRET", "hunter2")
	// A file that whoever started this process had open.
	zero, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = zero.Close() }()
	// High, for the shell uses numbers from 10 on itself.
	fd, err := unix.FcntlInt(zero.Fd(), unix.F_DUPFD, 100)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	out := filepath.Join(t.TempDir(), "out")
	script := fmt.Sprintf(`cd /proc/$$; { tr '\0' '\n' <environ; readlink fd/0 fd/1 fd/2; ls fd; cut -d' ' -f6,7 stat; } >%s`, out)
	d, err := host.Detach("/bin/sh", "daemon", "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	if err := ended(t, d); err == nil || err.Error() != "exit status 0" {
		t.Errorf("the end is %v", err)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(got), fmt.Sprint(d.PID), "PID")
	for _, want := range []string{"PATH=" + host.Path + "\nLC_ALL=C\n", "/dev/null\n", "PID 0\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, unwanted := range []string{"hunter2", fmt.Sprintf("\n%d\n", fd)} {
		if strings.Contains(text, unwanted) {
			t.Errorf("%q in\n%s", unwanted, text)
		}
	}
}

func TestDetachKill(t *testing.T) {
	d, err := host.Detach("/bin/sleep", "sleep", "1000")
	if err != nil {
		t.Fatal(err)
	}
	if folder, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", d.PID)); err != nil || folder != "/" {
		t.Errorf("its folder is %q, %v", folder, err)
	}
	if err := d.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := ended(t, d); err == nil || err.Error() != "signal: killed" {
		t.Errorf("the end is %v", err)
	}
	if err := d.Kill(); err != nil {
		t.Errorf("killing it again: %v", err)
	}
}

func TestDetachFails(t *testing.T) {
	_, err := host.Detach("/no/such/program", "program")
	if !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "starting /no/such/program: ") {
		t.Errorf("error is %v", err)
	}
}
