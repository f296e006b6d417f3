package l2tp

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// protoL2TP is PX_PROTO_OL2TP of linux/if_pppox.h.
const protoL2TP = 1

// kernelCarries reports whether the kernel has L2TP for PPP. Asking for a socket is what
// loads the module.
func kernelCarries() bool {
	fd, err := unix.Socket(unix.AF_PPPOX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, protoL2TP)
	if err != nil {
		return false
	}
	_ = unix.Close(fd)
	return true
}

// portOwner names a process other than the given ones that listens on L2TP's port, "" for
// none.
func portOwner(not []int) (string, error) {
	var inodes []string
	for _, family := range []string{"udp", "udp6"} {
		table, err := os.ReadFile("/proc/thread-self/net/" + family)
		if errors.Is(err, fs.ErrNotExist) {
			continue // without IPv6
		}
		if err != nil {
			return "", err
		}
		inodes = append(inodes, listeners(table)...)
	}
	for _, inode := range inodes {
		socket := "socket:[" + inode + "]"
		if slices.ContainsFunc(not, func(pid int) bool { return len(holders(strconv.Itoa(pid), socket)) > 0 }) {
			continue
		}
		pids := holders("[0-9]*", socket)
		if len(pids) == 0 {
			return "a process that cannot be seen from here", nil
		}
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pids[0]))
		return fmt.Sprintf("%s (process %d)", bytes.TrimSpace(comm), pids[0]), nil
	}
	return "", nil
}

// listeners reads a table such as /proc/net/udp: the numbers of the sockets that take
// packets for L2TP's port from anybody.
func listeners(table []byte) []string {
	var out []string
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) > 9 && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) && strings.HasSuffix(f[2], ":0000") {
			out = append(out, f[9])
		}
	}
	return out
}

// holders lists those of some processes that have a file open.
func holders(processes, target string) []int {
	paths, err := filepath.Glob("/proc/" + processes + "/fd/*")
	if err != nil {
		return nil
	}
	var pids []int
	for _, path := range paths {
		if got, err := os.Readlink(path); err == nil && got == target {
			pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
			pids = append(pids, pid)
		}
	}
	return slices.Compact(pids)
}
