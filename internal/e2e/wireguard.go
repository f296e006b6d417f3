package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vpnctl/vpnctl/internal/lab"
)

// wgPeer is a peer as wg(8) shows it.
type wgPeer struct {
	preshared  string // "(none)"
	endpoint   string
	allowedIPs []string
	handshake  int64
	keepalive  string // "off"
}

// wgPeers reads `wg show wg0 dump`, by public key.
func (n *node) wgPeers() map[string]wgPeer {
	n.t.Helper()
	peers := make(map[string]wgPeer)
	for line := range strings.Lines(n.Run("wg", "show", "wg0", "dump")) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 8 {
			continue // the interface's own line has four
		}
		handshake, err := strconv.ParseInt(f[4], 10, 64)
		if err != nil {
			n.t.Fatalf("reading wg on %s: %v", n.Name(), err)
		}
		ips := strings.Split(f[3], ",")
		slices.Sort(ips)
		peers[f[0]] = wgPeer{preshared: f[1], endpoint: f[2], allowedIPs: ips, handshake: handshake, keepalive: f[7]}
	}
	return peers
}

// wgPeer returns one peer, which must be there.
func (n *node) wgPeer(key string) wgPeer {
	n.t.Helper()
	p, ok := n.wgPeers()[key]
	if !ok {
		n.t.Fatalf("wg0 on %s has no peer %s", n.Name(), key)
	}
	return p
}

// carrier is what carries WireGuard here, in the words of status.
func carrier() (string, error) {
	has, err := lab.HasLinkType("wireguard")
	if err != nil {
		return "", fmt.Errorf("asking the kernel for WireGuard: %w", err)
	}
	if has {
		return "kernel", nil
	}
	return "userspace", nil
}
