package vault

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/secret"
)

func open(t *testing.T, dir string) *Vault {
	t.Helper()
	v, err := Open(dir, host.Disk{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestIDs(t *testing.T) {
	dir := t.TempDir()
	v := open(t, dir)
	a, b := v.ID(secret.New([]byte("swordfish"))), v.ID(secret.New([]byte("sailfish")))
	if a == b || a != v.ID(secret.New([]byte("swordfish"))) {
		t.Errorf("ids are %s and %s", a, b)
	}
	if v.ID(secret.Value{}) != "" {
		t.Error("no secret has an id")
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("naming secrets wrote %v", entries)
	}
	if other := open(t, t.TempDir()); other.ID(secret.New([]byte("swordfish"))) == a {
		t.Error("two hosts give one secret the same id: it could be guessed by comparing")
	}
}

func TestKeep(t *testing.T) {
	dir := t.TempDir()
	v := open(t, dir)
	id, passing := v.ID(secret.New([]byte("swordfish"))), v.ID(secret.New([]byte("passing")))
	if err := v.Keep(id, ""); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir)
	if got := again.ID(secret.New([]byte("swordfish"))); got != id {
		t.Errorf("id after a restart is %s, want %s", got, id)
	}
	again = open(t, dir)
	value, err := again.Value(id)
	if err != nil || !value.Equal(secret.New([]byte("swordfish"))) {
		t.Errorf("value is %d bytes, %v", value.Len(), err)
	}
	if _, err := again.Value(passing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("value that nobody kept: %v", err)
	}
	checkPrivate(t, dir)
	if err := again.Prune(map[secret.ID]bool{id: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, dir).Value(id); err != nil {
		t.Errorf("pruned although needed: %v", err)
	}
	if err := again.Prune(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, dir).Value(id); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("kept although not needed: %v", err)
	}
}

// checkPrivate fails where anybody but the owner may read a file or enter a folder.
func checkPrivate(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestForeignIDs(t *testing.T) {
	v := open(t, t.TempDir())
	for _, id := range []secret.ID{"secret:../../etc/passwd", "secret:", "x", "secret:zz"} {
		if _, err := v.Value(id); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("value of %q: %v", id, err)
		}
	}
}

func TestDamagedKey(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, keyFile), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, host.Disk{}); err == nil {
		t.Error("a damaged key is used: every secret would look changed")
	}
}

func TestCollect(t *testing.T) {
	v := open(t, t.TempDir())
	a, b := v.ID(secret.New([]byte("a"))), v.ID(secret.New([]byte("b")))
	raw, err := json.Marshal(map[string]any{"x": []any{a, map[string]any{"y": b}}, "z": "secret:short"})
	if err != nil {
		t.Fatal(err)
	}
	got := map[secret.ID]bool{}
	Collect(raw, got)
	if diff := cmp.Diff(map[secret.ID]bool{a: true, b: true}, got); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
	Collect(bytes.Repeat([]byte("secret:"), 3), got)
	if len(got) != 2 && len(got) != 3 {
		t.Errorf("collected %v", got)
	}
}
