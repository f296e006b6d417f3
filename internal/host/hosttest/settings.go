package hosttest

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/host"
)

var _ host.Settings = (*Sysctl)(nil)

// Lock makes a key, or all below a folder of keys, read-only, as a container's /proc/sys is.
func (s *Sysctl) Lock(prefix string) { s.locked = append(s.locked, prefix) }

// RemoveInterface takes an interface's settings away.
func (s *Sysctl) RemoveInterface(name string) {
	maps.DeleteFunc(s.values, func(key, _ string) bool {
		return strings.HasPrefix(key, "net/ipv4/conf/"+name+"/") || strings.HasPrefix(key, "net/ipv6/conf/"+name+"/")
	})
}

// DisableIPv6 takes all of IPv6's settings away, as a kernel booted with ipv6.disable=1
// has none.
func (s *Sysctl) DisableIPv6() {
	maps.DeleteFunc(s.values, func(key, _ string) bool { return strings.HasPrefix(key, "net/ipv6/") })
}

// List implements host.Settings.
func (s *Sysctl) List(folder string) ([]string, error) {
	var names []string
	for key := range s.values {
		if rest, ok := strings.CutPrefix(key, folder+"/"); ok {
			name, _, _ := strings.Cut(rest, "/")
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Writable implements host.Settings.
func (s *Sysctl) Writable(key string) error {
	if _, ok := s.values[key]; !ok {
		return absent(key)
	}
	for _, prefix := range s.locked {
		if key == prefix || strings.HasPrefix(key, prefix+"/") {
			return fmt.Errorf("%s on a read-only file system: %w", key, fs.ErrPermission)
		}
	}
	return nil
}
