package host_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/vpnctl/vpnctl/internal/host"
)

func TestDiskType(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		path string
		want fs.FileMode
		err  error
	}{
		{file, 0, nil},
		{link, fs.ModeSymlink, nil},
		{dir, fs.ModeDir, nil},
		{filepath.Join(dir, "absent"), 0, fs.ErrNotExist},
		{filepath.Join(file, "below"), 0, fs.ErrNotExist},
	}
	for _, tt := range tests {
		if got, err := (host.Disk{}).Type(tt.path); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("Type(%s) = %v, %v, want %v, %v", tt.path, got, err, tt.want, tt.err)
		}
	}
}

func TestDiskRemoveFolder(t *testing.T) {
	dir := t.TempDir()
	empty, full := filepath.Join(dir, "empty"), filepath.Join(dir, "full")
	for _, d := range []string{empty, filepath.Join(full, "sub")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for path, stays := range map[string]bool{empty: false, full: true, filepath.Join(dir, "absent"): false} {
		if err := (host.Disk{}).RemoveFolder(path); err != nil {
			t.Errorf("removing %s: %v", path, err)
		}
		if _, err := os.Stat(path); (err == nil) != stays {
			t.Errorf("%s afterwards: %v", path, err)
		}
	}
}

// A file that replaces a link leaves what the link led to alone.
func TestDiskReplaceLink(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	f := host.File{Data: []byte("ours"), Mode: 0o644, UID: os.Getuid(), GID: os.Getgid()}
	if err := (host.Disk{}).Replace(link, f); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "theirs" {
		t.Errorf("file behind the link holds %q, %v", got, err)
	}
	if typ, err := (host.Disk{}).Type(link); err != nil || typ != 0 {
		t.Errorf("in place of the link: %v, %v", typ, err)
	}
}
