package l2tp

import (
	"bytes"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/vpnctl/vpnctl/internal/host"
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

// portOwner names a process that has L2TP's port and is no xl2tpd, "" for none.
func portOwner() (string, error) {
	pids, taken, err := host.Listeners("udp", port)
	if err != nil || !taken {
		return "", err
	}
	ours := host.Processes(program)
	pids = slices.DeleteFunc(pids, func(pid int) bool { return slices.Contains(ours, pid) })
	switch {
	case len(pids) > 0:
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pids[0]))
		return fmt.Sprintf("%s (process %d)", bytes.TrimSpace(comm), pids[0]), nil
	case len(ours) > 0:
		return "", nil
	}
	return "a process that cannot be seen from here", nil
}
