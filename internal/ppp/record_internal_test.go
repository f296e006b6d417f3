package ppp

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDropStale: a record of a process that is no pppd, or of none, goes; what else lies
// there stays.
func TestDropStale(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"ppp0": fmt.Sprintf("VPNCTL=l2tp/office\nPPPD_PID=%d\n", os.Getpid()),
		"ppp1": "VPNCTL=l2tp/office\nPPPD_PID=1073741824\n",
		"ppp2": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "foreign"), 0o700); err != nil {
		t.Fatal(err)
	}
	DropStale(dir)
	DropStale(filepath.Join(dir, "absent"))
	var left []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if diff := cmp.Diff([]string{"foreign"}, left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}
