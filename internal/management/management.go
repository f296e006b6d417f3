// Package management finds the connection by which the operator is on this host: what must
// not be lost, whatever is applied.
package management

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Connection is one, seen from here. Local is not valid where only the far end is known, a
// port that is not known is 0.
type Connection struct{ Local, Remote netip.AddrPort }

// Variable is what sshd tells its children.
const Variable = "SSH_CONNECTION"

// Parse reads SSH_CONNECTION: the client's address and port, then the server's. It reports
// false for anything else, as for a shell behind a pipe ("UNKNOWN 65535 …").
func Parse(s string) (Connection, bool) {
	f := strings.Fields(s)
	if len(f) != 4 {
		return Connection{}, false
	}
	remote, err := netip.ParseAddrPort(join(f[0], f[1]))
	if err != nil {
		return Connection{}, false
	}
	local, err := netip.ParseAddrPort(join(f[2], f[3]))
	return Connection{Local: unmap(local), Remote: unmap(remote)}, err == nil
}

// ParseAddr reads where the operator is: an address, with or without a port.
func ParseAddr(s string) (Connection, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return Connection{Remote: netip.AddrPortFrom(a.Unmap(), 0)}, nil
	}
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		return Connection{}, fmt.Errorf("%q is no address such as 192.0.2.7, 192.0.2.7:50022 or 2001:db8::7", s)
	}
	return Connection{Remote: unmap(a)}, nil
}

func join(addr, port string) string {
	if strings.Contains(addr, ":") {
		addr = "[" + addr + "]"
	}
	return addr + ":" + port
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// Find looks for the connection of this process: that of SSH_CONNECTION, else, where sudo
// removed it, the nearest ancestor's, else that of the sshd that is an ancestor. It reports
// false where there is none.
func Find(getenv func(name string) (string, bool)) (Connection, bool) {
	return find("/proc", os.Getppid(), getenv)
}

func find(proc string, pid int, getenv func(string) (string, bool)) (Connection, bool) {
	if s, ok := getenv(Variable); ok {
		if c, ok := Parse(s); ok {
			return c, true
		}
	}
	for _, p := range ancestors(proc, pid) {
		if c, ok := Parse(p.variable(Variable)); ok {
			return c, true
		}
	}
	for _, p := range ancestors(proc, pid) {
		if c, ok := p.connection(); ok {
			return c, true
		}
	}
	return Connection{}, false
}

// process is a folder of proc(5).
type process string

// generations bounds the way up, for process ids that are used again meanwhile.
const generations = 32

// ancestors are a process and those above it, but for the first of all.
func ancestors(proc string, pid int) []process {
	var out []process
	for range generations {
		if pid <= 1 {
			break
		}
		p := process(filepath.Join(proc, strconv.Itoa(pid)))
		parent, err := p.parent()
		if err != nil {
			break // it ended, or is not ours to look at
		}
		out, pid = append(out, p), parent
	}
	return out
}

// variable is one of the environment that a process began with; "" for none.
func (p process) variable(name string) string {
	environ, err := os.ReadFile(filepath.Join(string(p), "environ"))
	if err != nil {
		return ""
	}
	for v := range strings.SplitSeq(string(environ), "\x00") {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

// parent reads the fourth field of stat, counted from behind the name, which may hold
// anything.
func (p process) parent() (int, error) {
	b, err := os.ReadFile(filepath.Join(string(p), "stat"))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) < 2 {
		return 0, os.ErrInvalid
	}
	return strconv.Atoi(fields[1])
}
