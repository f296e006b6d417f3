package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// patience bounds a single command, so that a hung one names itself instead of
// running into the test's own limit.
const patience = 5 * time.Minute

// Host is a running host. Methods without an error result fail the test.
type Host struct {
	*holder
	t T
}

// Name returns the host's name.
func (h *Host) Name() string { return h.name }

// Do calls fn on a thread that is in all namespaces of the host: files,
// sysctls, sockets and started processes are the host's. It does not reach
// goroutines that fn starts, nor /proc/self and /proc/net, which need a
// process of the host. fn must not fail the test itself.
func (h *Host) Do(fn func() error) error {
	return rtnl.OnThread(func() error {
		// A file system view that is shared with the other threads cannot
		// be changed.
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return fmt.Errorf("unsharing file system view: %w", err)
		}
		if err := unix.Setns(h.pidfd, namespaces); err != nil {
			return fmt.Errorf("entering host %q: %w", h.name, err)
		}
		return fn()
	})
}

// Cmd is an exec.Cmd whose process starts in a host.
type Cmd struct {
	*exec.Cmd
	host *Host
}

// Cmd prepares a command in the host, with / as its folder. The program may be
// /proc/self/exe, the running test binary.
func (h *Host) Cmd(ctx context.Context, argv ...string) *Cmd {
	cmd := exec.CommandContext(ctx, lookPath(argv[0]), argv[1:]...)
	cmd.Args[0] = argv[0]
	cmd.Env = append(os.Environ(), "LC_ALL=C", "PATH="+searchPath, "HOME=/root")
	// A daemon left behind may keep the output open.
	cmd.WaitDelay = 5 * time.Second
	return &Cmd{Cmd: cmd, host: h}
}

// searchPath is root's; the caller's may lack the folders of system tools.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// lookPath finds a program. Hosts and machine have these folders in common.
func lookPath(name string) string {
	if strings.Contains(name, "/") {
		return name
	}
	for _, dir := range filepath.SplitList(searchPath) {
		path := filepath.Join(dir, name)
		if fi, err := os.Stat(path); err == nil && fi.Mode()&0o111 != 0 {
			return path
		}
	}
	return name
}

// Start starts the command.
func (c *Cmd) Start() error { return c.host.Do(c.Cmd.Start) }

// Run runs the command and waits for its end.
func (c *Cmd) Run() error { return c.host.Do(c.Cmd.Run) }

// Output runs the command and returns its standard output.
func (c *Cmd) Output() (out []byte, err error) {
	err = c.host.Do(func() error {
		out, err = c.Cmd.Output()
		return err
	})
	return out, err
}

// CombinedOutput runs the command and returns all its output.
func (c *Cmd) CombinedOutput() (out []byte, err error) {
	err = c.host.Do(func() error {
		out, err = c.Cmd.CombinedOutput()
		return err
	})
	return out, err
}

// Try runs a command and returns its standard output. The error holds what it
// wrote to standard error.
func (h *Host) Try(argv ...string) (string, error) { return h.TryInput("", argv...) }

// TryInput is Try for a command that reads input.
func (h *Host) TryInput(input string, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := h.Cmd(ctx, argv...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("running %q on %s: %w\n%s",
			strings.Join(argv, " "), h.name, err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// Run runs a command that must succeed and returns its standard output.
func (h *Host) Run(argv ...string) string {
	h.t.Helper()
	return h.Input("", argv...)
}

// Input is Run for a command that reads input.
func (h *Host) Input(input string, argv ...string) string {
	h.t.Helper()
	out, err := h.TryInput(input, argv...)
	if err != nil {
		h.t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// WriteFile writes a file of the host, and makes its folder.
func (h *Host) WriteFile(name, content string, perm os.FileMode) {
	h.t.Helper()
	err := h.Do(func() error {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(content), perm); err != nil {
			return err
		}
		// A file that was there before has kept its mode.
		fi, err := os.Stat(name)
		if err != nil || fi.Mode().Perm() == perm {
			return err
		}
		return os.Chmod(name, perm)
	})
	if err != nil {
		h.t.Fatalf("writing file on %s: %v", h.name, err)
	}
}

// ReadFile returns a file of the host.
func (h *Host) ReadFile(name string) string {
	h.t.Helper()
	var b []byte
	err := h.Do(func() (err error) {
		b, err = os.ReadFile(name)
		return err
	})
	if err != nil {
		h.t.Fatalf("reading file on %s: %v", h.name, err)
	}
	return string(b)
}

// Eventually waits until cond returns nil, and fails the test with its last
// error when that takes too long.
func (h *Host) Eventually(timeout time.Duration, cond func() error) {
	h.t.Helper()
	if err := Await(timeout, cond); err != nil {
		h.t.Fatalf("waiting on %s: %v", h.name, err)
	}
}
