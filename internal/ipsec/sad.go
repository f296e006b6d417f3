package ipsec

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// SAD is the kernel's database of SAs (RFC 4301, section 4.4.2).
type SAD interface {
	// SAs lists them all. A kernel without IPsec has none.
	SAs() ([]KernelSA, error)
	// Delete takes one out. One that is gone already is no error.
	Delete(sa KernelSA) error
}

// KernelSA is an SA as the kernel knows it.
type KernelSA struct {
	Src, Dst netip.Addr // outer addresses: the sender's, the receiver's
	Protocol uint8      // unix.IPPROTO_ESP, IPPROTO_AH or IPPROTO_COMP
	SPI      uint32
	ReqID    uint32 // by which policies find it; 0: by none
	Mark     [2]uint32
}

// kernelSAD is the SAD of the real host.
type kernelSAD struct{}

// SAs implements SAD.
func (kernelSAD) SAs() ([]KernelSA, error) {
	states, err := netlink.XfrmStateList(netlink.FAMILY_ALL)
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the kernel's SAs: %w", err)
	}
	out := make([]KernelSA, 0, len(states))
	for i := range states {
		s := &states[i]
		src, _ := netip.AddrFromSlice(s.Src)
		dst, _ := netip.AddrFromSlice(s.Dst)
		sa := KernelSA{
			Src: src.Unmap(), Dst: dst.Unmap(), Protocol: uint8(s.Proto),
			SPI: uint32(s.Spi), ReqID: uint32(s.Reqid),
		}
		if s.Mark != nil {
			sa.Mark = [2]uint32{s.Mark.Value, s.Mark.Mask}
		}
		out = append(out, sa)
	}
	return out, nil
}

// Delete implements SAD.
func (kernelSAD) Delete(sa KernelSA) error {
	s := &netlink.XfrmState{Src: sa.Src.AsSlice(), Dst: sa.Dst.AsSlice(), Proto: netlink.Proto(sa.Protocol), Spi: int(sa.SPI)}
	if sa.Mark[1] != 0 {
		s.Mark = &netlink.XfrmMark{Value: sa.Mark[0], Mask: sa.Mark[1]}
	}
	if err := netlink.XfrmStateDel(s); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("deleting SA %08x to %s: %w", sa.SPI, sa.Dst, err)
	}
	return nil
}

// orphans are the SAs by which this host sends to a peer of ours, and which charon does not
// know: those of one that was killed, or has crashed. The next one counts reqids from 1
// again, so the kernel finds an orphan for what a trap covers and never asks charon for an
// SA, until the orphan's hard lifetime ends; the peer has long given it up. What comes from
// the peer by its twin goes on being read meanwhile: whoever answers it brings the tunnel up.
//
// The kernel's list must be older than charon's: what came between the two is in charon's.
func (w *watcher) orphans(ctx context.Context, kernel []KernelSA, charon []ikeSA) []KernelSA {
	known := map[uint32]bool{}
	for i := range charon {
		for _, c := range charon[i].Children {
			if spi, err := strconv.ParseUint(c.SPIOut, 16, 32); err == nil {
				known[uint32(spi)] = true
			}
		}
	}
	unknown := slices.DeleteFunc(kernel, func(sa KernelSA) bool {
		// One of IPComp has another number, and does nothing without that of ESP or AH.
		protects := sa.Protocol == unix.IPPROTO_ESP || sa.Protocol == unix.IPPROTO_AH
		return sa.ReqID == 0 || !protects || known[sa.SPI]
	})
	if len(unknown) == 0 {
		return nil
	}
	var peers []netip.Addr
	for _, k := range w.kept {
		peers = append(peers, w.addresses(ctx, k.conn.RemoteAddrs)...)
	}
	return slices.DeleteFunc(unknown, func(sa KernelSA) bool { return !slices.Contains(peers, sa.Dst) })
}

// resolvePatience bounds a question to the DNS while other tunnels wait.
const resolvePatience = 2 * time.Second

// addresses are those of a peer, without "%any". A name that the DNS does not know now has
// none.
func (b *Backend) addresses(ctx context.Context, of []string) []netip.Addr {
	var out []netip.Addr
	for _, text := range of {
		if text == "%any" {
			continue
		}
		if a, err := netip.ParseAddr(text); err == nil {
			out = append(out, a)
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, resolvePatience)
		found, _ := b.Resolve(ctx, text)
		cancel()
		for _, a := range found {
			out = append(out, a.Unmap())
		}
	}
	return out
}
