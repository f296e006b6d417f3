package wireguard

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/vpnctl/vpnctl/internal/rtnl"
	"github.com/vpnctl/vpnctl/internal/secret"
)

// publicKey is a WireGuard public key; in JSON it is base64, as wg(8) writes it.
type publicKey wgtypes.Key

func (k publicKey) String() string { return wgtypes.Key(k).String() }

// MarshalText implements encoding.TextMarshaler.
func (k publicKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *publicKey) UnmarshalText(b []byte) error {
	key, err := wgtypes.ParseKey(string(b))
	*k = publicKey(key)
	return err
}

// place is where an interface lives.
type place struct {
	Name  string `json:"name"`
	Netns string `json:"netns,omitempty"`
}

// link is a whole interface, as it is or shall be. Nothing in it is symbolic.
type link struct {
	place
	Alias        string         `json:"alias"`
	Userspace    bool           `json:"userspace,omitempty"` // carried by a process; no difference once it is there
	MTU          int            `json:"mtu,omitempty"`
	Up           bool           `json:"up"`
	PrivateKey   secret.ID      `json:"private_key,omitempty"`
	ListenPort   int            `json:"listen_port,omitempty"`
	FirewallMark int            `json:"fwmark,omitempty"`
	Addresses    []netip.Prefix `json:"addresses,omitempty"` // sorted
	Peers        []peer         `json:"peers,omitempty"`     // sorted by name or key
	Routes       []rtnl.Route   `json:"routes,omitempty"`    // sorted, without the kernel's own
}

// peer is one peer of a link.
type peer struct {
	Name         string         `json:"-"` // as the topology calls it; "" for a stray one
	PublicKey    publicKey      `json:"public_key"`
	PresharedKey secret.ID      `json:"preshared_key,omitempty"`
	Endpoint     netip.AddrPort `json:"endpoint,omitzero"`
	Keepalive    time.Duration  `json:"keepalive,omitempty"`
	AllowedIPs   []netip.Prefix `json:"allowed_ips,omitempty"` // masked, sorted
}

// comparePrefixes is the order of prefixes wherever they are listed.
func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

func sortPrefixes(p []netip.Prefix) []netip.Prefix {
	slices.SortFunc(p, comparePrefixes)
	return p
}

// compareRoutes is the order of routes.
func compareRoutes(a, b rtnl.Route) int {
	return cmp.Or(comparePrefixes(a.Dst, b.Dst), cmp.Compare(a.Table, b.Table), cmp.Compare(a.Metric, b.Metric))
}

// without returns what is in a and not in b; both are sorted.
func without(a, b []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range a {
		if _, ok := slices.BinarySearchFunc(b, p, comparePrefixes); !ok {
			out = append(out, p)
		}
	}
	return out
}

// toIPNets converts prefixes for wgctrl.
func toIPNets(prefixes []netip.Prefix) []net.IPNet {
	nets := make([]net.IPNet, len(prefixes))
	for i, p := range prefixes {
		nets[i] = net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
	}
	return nets
}

// toPrefix converts what wgctrl read, which holds IPv4 in 4 or 16 bytes.
func toPrefix(n net.IPNet) netip.Prefix {
	a, _ := netip.AddrFromSlice(n.IP)
	bits, size := n.Mask.Size()
	a = a.Unmap()
	if size == 128 && a.Is4() {
		bits -= 96
	}
	return netip.PrefixFrom(a, bits)
}

// toAddrPort converts an endpoint; nil is none.
func toAddrPort(a *net.UDPAddr) netip.AddrPort {
	if a == nil {
		return netip.AddrPort{}
	}
	ap := a.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// keyText is the form in which a key is a secret: the base64 of wg(8), so that a key
// read from a file and one read from the kernel have the same id.
func keyText(k wgtypes.Key) secret.Value { return secret.New([]byte(k.String())) }

// parseKey is the inverse of keyText.
func parseKey(v secret.Value) (wgtypes.Key, error) {
	k, err := wgtypes.ParseKey(string(v.Reveal()))
	if err != nil {
		// The parser's own words would quote the secret.
		return k, fmt.Errorf("reading key: not 32 bytes in base64")
	}
	return k, nil
}
