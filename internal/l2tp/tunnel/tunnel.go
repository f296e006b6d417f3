// Package tunnel lists the L2TP tunnels of the kernel. They have the outer addresses of the
// sessions inside, of which neither xl2tpd nor pppd tells the ports.
package tunnel

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"

	"github.com/mdlayher/genetlink"
	"github.com/mdlayher/netlink"
)

// Tunnel is one tunnel of L2TP over UDP.
type Tunnel struct {
	ID            uint32 // this end's
	Local, Remote netip.AddrPort
}

// From linux/l2tp.h.
const (
	family    = "l2tp"
	cmdGet    = 4 // L2TP_CMD_TUNNEL_GET
	attrID    = 9 // L2TP_ATTR_CONN_ID
	attrSaddr = 24
	attrDaddr = 25
	attrSport = 26
	attrDport = 27
)

// List lists the tunnels of this network namespace, none where the kernel has no L2TP.
func List() ([]Tunnel, error) {
	c, err := genetlink.Dial(nil)
	if err != nil {
		return nil, fmt.Errorf("opening generic netlink: %w", err)
	}
	defer func() { _ = c.Close() }()
	f, err := c.GetFamily(family)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for L2TP in kernel: %w", err)
	}
	request := genetlink.Message{Header: genetlink.Header{Command: cmdGet, Version: f.Version}}
	answers, err := c.Execute(request, f.ID, netlink.Request|netlink.Dump)
	if err != nil {
		return nil, fmt.Errorf("listing L2TP tunnels: %w", err)
	}
	var out []Tunnel
	for _, a := range answers {
		t, err := parse(a.Data)
		if err != nil {
			return nil, fmt.Errorf("reading L2TP tunnel: %w", err)
		}
		out = append(out, t)
	}
	return out, nil
}

// parse reads the attributes of one tunnel.
func parse(data []byte) (Tunnel, error) {
	var t Tunnel
	var local, remote netip.Addr
	var localPort, remotePort uint16
	d, err := netlink.NewAttributeDecoder(data)
	if err != nil {
		return t, err
	}
	for d.Next() {
		switch d.Type() {
		case attrID:
			t.ID = d.Uint32()
		case attrSaddr:
			local, _ = netip.AddrFromSlice(d.Bytes())
		case attrDaddr:
			remote, _ = netip.AddrFromSlice(d.Bytes())
		case attrSport:
			localPort = d.Uint16()
		case attrDport:
			remotePort = d.Uint16()
		}
	}
	t.Local, t.Remote = netip.AddrPortFrom(local, localPort), netip.AddrPortFrom(remote, remotePort)
	return t, d.Err()
}
