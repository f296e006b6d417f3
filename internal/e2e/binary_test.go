package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/vpnctl/vpnctl/internal/lab"
)

// program is the vpnctl under test: in the virtual machine the installed one.
var program = "/usr/local/sbin/vpnctl"

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

// run builds vpnctl once for all tests.
func run(m *testing.M) int {
	if !lab.InVM() {
		// Hosts see the folder for temporary files as it was when they started.
		dir, err := os.MkdirTemp("", "vpnctl-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "vpnctl")
		build := exec.Command("go", "build", "-o", program, "../../cmd/vpnctl")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building vpnctl: %v\n%s", err, out)
			return 1
		}
	}
	return m.Run()
}
