package lockout

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"

	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/rtnl"
	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/wireguard"
)

// Host reads what decides which way packets go.
type Host struct {
	Network  func() (wireguard.Network, error)
	Devices  func() (wireguard.Devices, error)
	Policies func() ([]Policy, error)
	Closed   func() bool
}

// Kernel is the real host.
func Kernel() Host {
	return Host{
		Network:  func() (wireguard.Network, error) { return rtnl.Open("") },
		Devices:  func() (wireguard.Devices, error) { return wgctrl.New() },
		Policies: readPolicies,
		Closed:   readClosed,
	}
}

// Observe reads a host.
func (h Host) Observe(secrets backend.Secrets) (*Observed, error) {
	o := &Observed{Closed: h.Closed}
	n, err := h.Network()
	if err != nil {
		return nil, err
	}
	defer func() { _ = n.Close() }()
	if o.Links, err = n.Links(); err != nil {
		return nil, err
	}
	if o.Addrs, err = n.Addrs(0); err != nil {
		return nil, err
	}
	if o.Routes, err = n.Routes(rtnl.RouteFilter{}); err != nil {
		return nil, err
	}
	dead, err := n.Routes(rtnl.RouteFilter{Unreachable: true})
	if err != nil {
		return nil, err
	}
	o.Routes = append(o.Routes, dead...)
	if o.Rules, err = n.Rules(); err != nil {
		return nil, err
	}
	if o.Tunnels, err = h.tunnels(o.Links, secrets); err != nil {
		return nil, err
	}
	o.Policies, err = h.Policies()
	return o, err
}

// tunnels reads those links that are WireGuard's; a tun device may be somebody else's.
func (h Host) tunnels(links []rtnl.Link, secrets backend.Secrets) ([]Tunnel, error) {
	var c wireguard.Devices
	var out []Tunnel
	for _, l := range links {
		if l.Kind != "wireguard" && l.Kind != "tun" {
			continue
		}
		if c == nil {
			var err error
			if c, err = h.Devices(); err != nil {
				return nil, fmt.Errorf("opening WireGuard: %w", err)
			}
			defer func() { _ = c.Close() }()
		}
		d, err := c.Device(l.Name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading interface %s: %w", l.Name, err)
		}
		out = append(out, tunnelOf(d, secrets))
	}
	return out, nil
}

func tunnelOf(d *wgtypes.Device, secrets backend.Secrets) Tunnel {
	t := Tunnel{Name: d.Name, Key: d.PublicKey.String(), Port: d.ListenPort, Mark: d.FirewallMark}
	for i := range d.Peers {
		p := &d.Peers[i]
		peer := Peer{Key: p.PublicKey.String()}
		if p.PresharedKey != (wgtypes.Key{}) {
			// As the topology's is compared: by the base64 of wg(8).
			peer.Preshared = string(secrets.ID(secret.New([]byte(p.PresharedKey.String()))))
		}
		if p.Endpoint != nil {
			a := p.Endpoint.AddrPort()
			peer.Endpoint = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
		}
		for _, n := range p.AllowedIPs {
			a, _ := netip.AddrFromSlice(n.IP)
			bits, size := n.Mask.Size()
			if a = a.Unmap(); size == 128 && a.Is4() {
				bits -= 96
			}
			peer.AllowedIPs = append(peer.AllowedIPs, netip.PrefixFrom(a, bits))
		}
		t.Peers = append(t.Peers, peer)
	}
	return t
}
