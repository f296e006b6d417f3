package cli

import (
	"os"
	"path/filepath"

	"github.com/vpnctl/vpnctl/internal/ppp"
	"github.com/vpnctl/vpnctl/internal/reason"
)

// sweep takes away what a destroy leaves in the folder for what runs: folders that are
// empty by now, and records of sessions whose pppd had no time to. What others have there
// stays, and so does the folder then.
func sweep(runDir string) {
	sessions := filepath.Join(runDir, filepath.Base(ppp.RecordFolder))
	ppp.DropStale(sessions)
	for _, dir := range []string{sessions, filepath.Join(runDir, filepath.Base(reason.Dir)), runDir} {
		_ = os.Remove(dir) // of an empty folder only
	}
}
