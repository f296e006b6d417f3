package watch

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
)

// TestGhost: the lock of a process that is no more is waited for, that of one that lives
// is not.
func TestGhost(t *testing.T) {
	for _, tt := range []struct {
		name    string
		pid     int
		refused bool
	}{
		{"ended", 1 << 30, false}, // above what a kernel gives out
		{"says nothing of itself", 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			held, err := claim(dir)
			if err != nil {
				t.Fatal(err)
			}
			if tt.pid != 0 {
				if err := os.WriteFile(filepath.Join(dir, pidFile), []byte(strconv.Itoa(tt.pid)), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			release := time.AfterFunc(5*ghostPoll, held.Release)
			defer release.Stop()
			c, err := Take(dir)
			if backend.IsRefusal(err) != tt.refused {
				t.Errorf("error is %v", err)
			}
			if err == nil {
				c.Release()
			}
		})
	}
}
