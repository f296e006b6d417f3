package sysctl

import (
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
)

const (
	forward4 = "net/ipv4/ip_forward"
	forward6 = "net/ipv6/conf/all/forwarding"
)

// aliases are other names for one and the same setting of the kernel.
var aliases = map[string]string{"net/ipv4/conf/all/forwarding": forward4}

// object is the path of a key in plans: dotted as sysctl(8) writes it, unless a part of it
// holds a dot itself (an interface like eth0.100).
func object(key string) string { return string(backend.Sysctl) + "/" + dotted(key) }

func dotted(key string) string {
	if strings.Contains(key, ".") {
		return key
	}
	return strings.ReplaceAll(key, "/", ".")
}

// confOf takes a key of one interface apart ("net/ipv4/conf", "eth0", "rp_filter").
func confOf(key string) (folder, iface, name string, ok bool) {
	for _, folder := range []string{"net/ipv4/conf", "net/ipv6/conf"} {
		if rest, found := strings.CutPrefix(key, folder+"/"); found {
			iface, name, ok = strings.Cut(rest, "/")
			return folder, iface, name, ok
		}
	}
	return "", "", "", false
}

// ofInterface reports whether a key is that of one interface, which may go.
func ofInterface(key string) bool {
	_, iface, _, ok := confOf(key)
	return ok && iface != "all" && iface != "default"
}

// effect is what the kernel changes along with a key, on each interface.
type effect struct {
	folder string
	kept   string // setting that is reset, and that nobody meant to change
	moved  string // setting that takes the key's value, as is meant
}

// effects are the keys whose write changes others (measured; see the test on the kernel).
var effects = map[string]effect{
	forward4: {"net/ipv4/conf", "accept_redirects", "forwarding"},
	forward6: {"net/ipv6/conf", "", "forwarding"},
}

// keeps reports whether a key beside is one that a write shall not change.
func (e effect) keeps(key string) bool {
	_, _, name, ok := confOf(key)
	return ok && e.kept != "" && name == e.kept
}

// setRank orders keys for setting them. Accepting router advertisements in spite of
// forwarding comes before forwarding, which would drop the routes that they brought;
// forwarding comes before what it resets.
func setRank(key string) int {
	_, iface, name, _ := confOf(key)
	switch {
	case name == "accept_ra":
		return 0
	case key == forward4, name == "forwarding" && iface == "all":
		return 1
	}
	return 2
}

// restoreRank orders keys for putting them back: forwarding first again, for it resets
// others, and router advertisements once the host is no router any more.
func restoreRank(key string) int { return []int{2, 0, 1}[setRank(key)] }
