package hosttest

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/host"
)

// Sysctl is a host.Sysctl in memory with those side effects of the kernel that vpnctl
// has to deal with. Keys that it was not made with do not exist.
type Sysctl struct {
	// Fault is asked before each write ("net/ipv4/ip_forward = 1").
	Fault func(write string) error

	values map[string]string
	locked []string
}

var _ host.Sysctl = (*Sysctl)(nil)

// NewSysctl makes the settings of a host that forwards nothing and has the interfaces.
func NewSysctl(interfaces ...string) *Sysctl {
	s := &Sysctl{values: map[string]string{"net/ipv4/ip_forward": "0"}}
	for _, name := range append([]string{"all", "default", "lo"}, interfaces...) {
		s.AddInterface(name)
	}
	return s
}

// AddInterface makes the settings of one interface, with the kernel's defaults.
func (s *Sysctl) AddInterface(name string) {
	v4 := map[string]string{
		"accept_redirects": "1", "forwarding": "0", "rp_filter": "0",
		"send_redirects": "1", "src_valid_mark": "0",
	}
	for key, value := range v4 {
		s.values[path.Join("net/ipv4/conf", name, key)] = value
	}
	v6 := map[string]string{
		"accept_ra": "1", "accept_redirects": "1", "disable_ipv6": "0", "forwarding": "0",
	}
	for key, value := range v6 {
		s.values[path.Join("net/ipv6/conf", name, key)] = value
	}
}

// Put sets a value as somebody else would: past Fault and side effects. It makes keys.
func (s *Sysctl) Put(key, value string) { s.values[key] = value }

// Get implements host.Sysctl.
func (s *Sysctl) Get(key string) (string, error) {
	value, ok := s.values[key]
	if !ok {
		return "", absent(key)
	}
	return value, nil
}

// Set implements host.Sysctl.
func (s *Sysctl) Set(key, value string) error {
	if err := fault(s.Fault, key+" = "+value); err != nil {
		return err
	}
	before, ok := s.values[key]
	if !ok {
		return absent(key)
	}
	if err := s.Writable(key); err != nil {
		return err
	}
	s.values[key] = value
	// The kernel acts on a change only, not on the same value again.
	if before != value {
		s.propagate(key, value)
	}
	return nil
}

// propagate does what the kernel does when forwarding is switched: ip_forward and
// conf/all/forwarding are one variable, every interface follows, and IPv4 sets
// all.accept_redirects to the opposite, whatever it was.
func (s *Sysctl) propagate(key, value string) {
	switch key {
	case "net/ipv4/ip_forward", "net/ipv4/conf/all/forwarding":
		s.values["net/ipv4/ip_forward"] = value
		s.everywhere("net/ipv4/conf/", "forwarding", value)
		redirects := "1"
		if value != "0" {
			redirects = "0"
		}
		s.values["net/ipv4/conf/all/accept_redirects"] = redirects
	case "net/ipv6/conf/all/forwarding":
		s.everywhere("net/ipv6/conf/", "forwarding", value)
	}
}

func (s *Sysctl) everywhere(prefix, name, value string) {
	for key := range s.values {
		if strings.HasPrefix(key, prefix) && path.Base(key) == name {
			s.values[key] = value
		}
	}
}

// String is every setting as sysctl(8) prints it, in path form.
func (s *Sysctl) String() string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(s.values)) {
		fmt.Fprintf(&b, "%s = %s\n", key, s.values[key])
	}
	return b.String()
}

func absent(key string) error {
	return &fs.PathError{Op: "open", Path: "/proc/sys/" + key, Err: fs.ErrNotExist}
}
