package host

import (
	"os"
	"path/filepath"
	"strings"
)

// Sysctl reads and sets kernel settings. Keys are paths below /proc/sys with slashes
// ("net/ipv4/conf/eth0.100/rp_filter"): dots are part of interface names.
type Sysctl interface {
	// Get returns the value without its line end; an unknown key is fs.ErrNotExist.
	Get(key string) (string, error)
	// Set writes the value.
	Set(key, value string) error
}

// Proc is the Sysctl of the network namespace that the process is in.
type Proc struct{}

// Get implements Sysctl.
func (Proc) Get(key string) (string, error) {
	b, err := os.ReadFile(filepath.Join("/proc/sys", key))
	return strings.TrimRight(string(b), "\n"), err
}

// Set implements Sysctl.
func (Proc) Set(key, value string) error {
	return os.WriteFile(filepath.Join("/proc/sys", key), []byte(value+"\n"), 0o644)
}
