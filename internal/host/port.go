package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Listeners lists the processes that take what comes to a port of this network namespace
// from anybody, by number, and reports whether somebody does: one of another pid namespace
// cannot be seen from here. The network is "tcp" or "udp", for both families.
func Listeners(network string, port int) (pids []int, taken bool, err error) {
	sockets := map[string]bool{}
	for _, family := range []string{network, network + "6"} {
		table, err := os.ReadFile("/proc/thread-self/net/" + family)
		if errors.Is(err, fs.ErrNotExist) {
			continue // without IPv6
		}
		if err != nil {
			return nil, false, fmt.Errorf("listing sockets: %w", err)
		}
		for _, inode := range listening(string(table), network, port) {
			sockets["socket:["+inode+"]"] = true
		}
	}
	if len(sockets) == 0 {
		return nil, false, nil
	}
	files, err := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, path := range files {
		if target, err := os.Readlink(path); err == nil && sockets[target] {
			pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return slices.Compact(pids), true, err
}

// tcpListen is TCP_LISTEN of the kernel; UDP has no such state, but a far end of zeros.
const tcpListen = "0A"

// listening reads a table such as /proc/net/tcp: the numbers of the sockets.
func listening(table, network string, port int) []string {
	var out []string
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 10 || !strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
			continue
		}
		if network == "tcp" && f[3] == tcpListen || network == "udp" && strings.HasSuffix(f[2], ":0000") {
			out = append(out, f[9])
		}
	}
	return out
}
