package wireguard

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/mdlayher/genetlink"
	"golang.org/x/sys/unix"
)

// Probe tells what the host can do, without doing it.
type Probe interface {
	// Privileged reports whether this process may configure the network.
	Privileged() bool
	// Kernel reports whether the kernel has WireGuard.
	Kernel() bool
	// Tun reports whether there is /dev/net/tun, which userspace WireGuard needs.
	Tun() bool
	// Ports lists the UDP ports in use in the host's own network namespace, where the
	// sockets of all interfaces are.
	Ports() (map[int]bool, error)
}

// kernel is the Probe of the real host.
type kernel struct{}

func (kernel) Privileged() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	return data[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0
}

// Kernel asks for WireGuard's generic netlink family; the kernel loads the module for
// whoever asks, and a module is no state of the network.
func (kernel) Kernel() bool {
	c, err := genetlink.Dial(nil)
	if err != nil {
		return false
	}
	defer func() { _ = c.Close() }()
	_, err = c.GetFamily(unix.WG_GENL_NAME)
	return err == nil
}

func (kernel) Tun() bool {
	_, err := os.Stat("/dev/net/tun")
	return err == nil
}

func (kernel) Ports() (map[int]bool, error) {
	ports := map[int]bool{}
	for _, name := range []string{"/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"} {
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("listing UDP ports: %w", err)
		}
		err = parsePorts(f, ports)
		_ = f.Close()
		if err != nil {
			return nil, fmt.Errorf("listing UDP ports: %w", err)
		}
	}
	return ports, nil
}

// parsePorts reads the local ports of a table in the form of /proc/net/udp, whose second
// column is ADDRESS:PORT in hexadecimal digits.
func parsePorts(r io.Reader, ports map[int]bool) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		columns := strings.Fields(lines.Text())
		if len(columns) < 2 {
			continue
		}
		_, hex, ok := strings.Cut(columns[1], ":")
		if port, err := strconv.ParseUint(hex, 16, 16); ok && err == nil {
			ports[int(port)] = true
		}
	}
	return lines.Err()
}
