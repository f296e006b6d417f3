package main

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/netip"
	"strings"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/vpnctl/vpnctl/internal/lab"
)

// privateKey is the gateway's; it guards nothing.
const privateKey = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="

// peer is the i-th peer: its public key and its address. The key is a hash, which no
// private key is known for, and nobody needs one.
func peer(i int) (key string, addr netip.Addr) {
	sum := sha256.Sum256(fmt.Appendf(nil, "peer %d", i))
	return base64.StdEncoding.EncodeToString(sum[:]), netip.AddrFrom4([4]byte{10, 100, byte(i >> 8), byte(i)})
}

// writeFiles writes the same peers for every side.
func writeFiles(h *lab.Host, n int) {
	plain, hub := site(n, ""), site(n, "    hub: gw\n")
	h.WriteFile(keyFile, privateKey+"\n", 0o600)
	h.WriteFile(topology, plain, 0o600)
	h.WriteFile(hubs, hub, 0o600)
	h.WriteFile(setconf, config(n, ""), 0o600)
	h.WriteFile(quick, config(n, "Address = 10.255.0.1/32\n"), 0o600)
	var b strings.Builder
	for i := range n {
		_, addr := peer(i)
		fmt.Fprintf(&b, "route add %s/32 dev wg0\n", addr)
	}
	h.WriteFile(routes, b.String(), 0o600)
}

// site is the topology.
func site(n int, more string) string {
	key, err := wgtypes.ParseKey(privateKey)
	if err != nil {
		panic(err) // it is a constant
	}
	var b strings.Builder
	fmt.Fprintf(&b, `version: 1
site: bench
nodes:
  gw: {addresses: [192.0.2.1]}
wireguard:
  wg0:
    listen_port: 51820
%s    members:
      gw:
        addresses: [10.255.0.1/32]
        public_key: %s
        private_key: {file: wg0.key}
    peers:
`, more, key.PublicKey())
	for i := range n {
		key, addr := peer(i)
		fmt.Fprintf(&b, "      p%05d: {addresses: [%s/32], public_key: %s}\n", i, addr, key)
	}
	return b.String()
}

// config is the file of wg(8), and with the lines that only wg-quick(8) knows, of that.
func config(n int, more string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[Interface]\nPrivateKey = %s\nListenPort = 51820\n%s", privateKey, more)
	for i := range n {
		key, addr := peer(i)
		fmt.Fprintf(&b, "\n[Peer]\nPublicKey = %s\nAllowedIPs = %s/32\n", key, addr)
	}
	return b.String()
}
