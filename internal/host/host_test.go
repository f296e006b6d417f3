package host_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/host"
)

var disk host.Disk

// self is the owner that anybody may give a file.
func self(data string, mode fs.FileMode) host.File {
	return host.File{Data: []byte(data), Mode: mode, UID: os.Getuid(), GID: os.Getgid()}
}

func TestReplace(t *testing.T) {
	// What the test asks for is what there must be, whatever the caller's umask.
	defer syscall.Umask(syscall.Umask(0o077))
	dir := t.TempDir()
	tests := []struct {
		name   string
		before *host.File
		want   host.File
	}{
		{name: "new", want: self("a", 0o600)},
		{name: "deep/er/new", want: self("a", 0o644)},
		{name: "narrower", before: &host.File{Data: []byte("open"), Mode: 0o644}, want: self("secret", 0o600)},
		{name: "wider", before: &host.File{Data: []byte("secret"), Mode: 0o600}, want: self("open", 0o666)},
		{name: "empty", before: &host.File{Data: []byte("full"), Mode: 0o644}, want: self("", 0o644)},
	}
	if os.Getuid() == 0 {
		tests = append(tests, struct {
			name   string
			before *host.File
			want   host.File
		}{name: "owner", want: host.File{Data: []byte("a"), Mode: 0o640, UID: 1234, GID: 5678}})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(dir, tt.name)
			if tt.before != nil {
				if err := os.WriteFile(path, tt.before.Data, tt.before.Mode); err != nil {
					t.Fatal(err)
				}
			}
			if err := disk.Replace(path, tt.want); err != nil {
				t.Fatal(err)
			}
			got, err := disk.Read(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("file (-want +got):\n%s", diff)
			}
			// What was read can be put back as it was: undo does nothing else.
			if err := disk.Replace(path, got); err != nil {
				t.Fatal(err)
			}
			if entries, _ := os.ReadDir(filepath.Dir(path)); tempFiles(entries) != nil {
				t.Errorf("left beside it: %v", tempFiles(entries))
			}
		})
	}
}

// tempFiles are the names that no test asked for: those of temporary files begin with
// a dot.
func tempFiles(entries []os.DirEntry) []string {
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names
}

// TestSweep removes what was left of one file, and nothing that somebody else may mean.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	const left, busy = ".file8919772547919368717", ".file1919772547919368717"
	theirs := []string{".file", ".file.swp", ".file123", ".file8919772547919368717~", ".other8919772547919368717", "file", "file8919772547919368717"}
	for _, name := range append([]string{left, busy}, theirs...) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("a"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const folder, link = ".file2919772547919368717", ".file3919772547919368717"
	if err := errors.Join(os.Mkdir(filepath.Join(dir, folder), 0o700), os.Symlink("file", filepath.Join(dir, link))); err != nil {
		t.Fatal(err)
	}
	held, err := os.Open(filepath.Join(dir, busy))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Close() }()
	if err := syscall.Flock(int(held.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := disk.Sweep(path); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := append([]string{busy, folder, link}, theirs...)
	slices.Sort(want)
	if diff := cmp.Diff(want, names(entries)); diff != "" {
		t.Errorf("files afterwards (-want +got):\n%s", diff)
	}
	if err := disk.Sweep(filepath.Join(dir, "absent", "file")); err != nil {
		t.Error(err)
	}
}

// TestSweepSparesWriters: who writes one file at the same time as others, loses nothing.
func TestSweepSparesWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 100 {
				if err := errors.Join(disk.Sweep(path), disk.Replace(path, self("a", 0o600))); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("left are %v, %v", entries, err)
	}
}

// TestReplaceKeepsReaders shows that a file is replaced, not written over: who has the
// old one open keeps it whole.
func TestReplaceKeepsReaders(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := disk.Replace(path, self("old", 0o600)); err != nil {
		t.Fatal(err)
	}
	reader, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	if err := disk.Replace(path, self("new content", 0o600)); err != nil {
		t.Fatal(err)
	}
	var buf [16]byte
	n, err := reader.Read(buf[:])
	if got := string(buf[:n]); err != nil || got != "old" {
		t.Errorf("the open file holds %q, %v", got, err)
	}
}

func TestReplaceFails(t *testing.T) {
	tests := []struct {
		name string
		path string
		make func(t *testing.T, dir string)
		file host.File
	}{
		{"a folder in its place", "taken", func(t *testing.T, dir string) {
			if err := os.MkdirAll(filepath.Join(dir, "taken", "sub"), 0o755); err != nil {
				t.Fatal(err)
			}
		}, self("a", 0o600)},
		{"a file in place of its folder", "file/name", func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}, self("a", 0o600)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			tt.make(t, dir)
			before, _ := os.ReadDir(dir)
			err := disk.Replace(filepath.Join(dir, tt.path), tt.file)
			if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, strings.Split(tt.path, "/")[0])) {
				t.Errorf("error is %v", err)
			}
			after, _ := os.ReadDir(dir)
			if diff := cmp.Diff(names(before), names(after)); diff != "" {
				t.Errorf("folder (-before +after):\n%s", diff)
			}
		})
	}
}

func names(entries []os.DirEntry) []string {
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestRemove(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := disk.Replace(path, self("a", 0o600)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // absent is success
		if err := disk.Remove(path); err != nil {
			t.Fatal(err)
		}
		if _, err := disk.Read(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("reading what was removed: %v", err)
		}
	}
	if err := disk.Remove(filepath.Join(dir, "no", "such", "folder")); err != nil {
		t.Errorf("removing below an absent folder: %v", err)
	}
}

func run(t *testing.T, c host.Cmd) ([]byte, error) {
	t.Helper()
	return host.System{}.Run(t.Context(), c)
}

func TestRunCleanEnvironment(t *testing.T) {
	t.Setenv("VPNCTL_TEST_SECRET", "hunter2")
	t.Setenv("LC_ALL", "de_DE.UTF-8")
	t.Setenv("PATH", "/nowhere")
	out, err := run(t, host.Cmd{Args: []string{"env"}, Env: []string{"EXTRA=1"}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("PATH="+host.Path+"\nLC_ALL=C\nEXTRA=1\n", string(out)); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}

func TestRunInput(t *testing.T) {
	out, err := run(t, host.Cmd{Args: []string{"cat"}, Stdin: []byte("a\x00b")})
	if err != nil || string(out) != "a\x00b" {
		t.Errorf("cat: %q, %v", out, err)
	}
	// Without input a program reads nothing, not the caller's terminal.
	if out, err := run(t, host.Cmd{Args: []string{"cat"}}); err != nil || len(out) != 0 {
		t.Errorf("cat without input: %q, %v", out, err)
	}
}

func TestRunErrors(t *testing.T) {
	out, err := run(t, host.Cmd{Args: []string{"sh", "-c", "echo out; echo first >&2; echo second >&2; exit 3"}})
	want := &host.ExitError{Program: "sh", Code: 3, Stderr: "first"}
	var exit *host.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("error is %v", err)
	}
	if diff := cmp.Diff(want, exit); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
	if got, want := err.Error(), "sh: exit status 3: first"; got != want {
		t.Errorf("error is %q, want %q", got, want)
	}
	if string(out) != "out\n" {
		t.Errorf("output of a failed program is %q", out)
	}

	if _, err := run(t, host.Cmd{Args: []string{"no-such-program"}}); !errors.Is(err, fs.ErrNotExist) ||
		err.Error() != "program no-such-program: file does not exist" {
		t.Errorf("missing program: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (host.System{}).Run(ctx, host.Cmd{Args: []string{"sleep", "1000"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestLookPath(t *testing.T) {
	// sh is found although the caller's PATH leads elsewhere, and nothing of the
	// caller's PATH is.
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "only-here"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	path, err := host.LookPath("sh")
	if err != nil || filepath.Base(path) != "sh" || !filepath.IsAbs(path) {
		t.Errorf("sh is at %q, %v", path, err)
	}
	if _, err := host.LookPath("only-here"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("program of the caller's PATH: %v", err)
	}
}

func TestProc(t *testing.T) {
	var p host.Proc
	got, err := p.Get("kernel/ostype")
	if err != nil || got != "Linux" {
		t.Errorf("kernel/ostype is %q, %v", got, err)
	}
	if _, err := p.Get("net/ipv4/conf/no.such.link/rp_filter"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("unknown key: %v", err)
	}
	if err := p.Set("net/ipv4/conf/no.such.link/rp_filter", "0"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("writing an unknown key: %v", err)
	}
}
