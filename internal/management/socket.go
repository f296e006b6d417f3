package management

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// servers are the programs whose connection is an operator's.
var servers = []string{"sshd", "sshd-session", "dropbear"}

// established is TCP_ESTABLISHED, as proc(5) has it.
const established = "01"

// connection is that of a server of SSH; false for another process.
func (p process) connection() (Connection, bool) {
	comm, err := os.ReadFile(filepath.Join(string(p), "comm"))
	if err != nil || !slices.Contains(servers, strings.TrimSpace(string(comm))) {
		return Connection{}, false
	}
	inodes := p.sockets()
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(filepath.Join(string(p), "net", table))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) < 10 || f[3] != established || !inodes[f[9]] {
				continue
			}
			local, ok := parseEnd(f[1])
			remote, also := parseEnd(f[2])
			if ok && also {
				return Connection{Local: local, Remote: remote}, true
			}
		}
	}
	return Connection{}, false
}

// sockets are the inodes of a process's sockets.
func (p process) sockets() map[string]bool {
	out := map[string]bool{}
	fds, err := filepath.Glob(filepath.Join(string(p), "fd", "*"))
	if err != nil {
		return out
	}
	for _, fd := range fds {
		name, err := os.Readlink(fd)
		if err != nil {
			continue
		}
		if inode, ok := strings.CutPrefix(name, "socket:["); ok {
			out[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return out
}

// parseEnd reads an address and port as /proc/net/tcp has them: in hex, the address in
// words of the machine's order.
func parseEnd(s string) (netip.AddrPort, bool) {
	addr, port, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(addr)
	if err != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	n, err := strconv.ParseUint(port, 16, 16)
	a, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), ok && err == nil
}
