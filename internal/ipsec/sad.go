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
	// Delete takes out one that has no mark. One that is gone already is no error.
	Delete(sa KernelSA) error
}

// KernelSA is an SA as the kernel knows it.
type KernelSA struct {
	Src, Dst netip.Addr // outer addresses: the sender's, the receiver's
	Protocol uint8      // unix.IPPROTO_ESP, IPPROTO_AH or IPPROTO_COMP
	SPI      uint32
	ReqID    uint32 // by which policies find it; 0: by none
	Marked   bool   // for packets of a mark alone
}

// kernelSAD is the SAD of the real host.
type kernelSAD struct{}

// dumpTries bounds how often a list is asked for that changes meanwhile.
const dumpTries = 5

// SAs implements SAD.
func (kernelSAD) SAs() ([]KernelSA, error) {
	states, err := netlink.XfrmStateList(netlink.FAMILY_ALL)
	for try := 1; errors.Is(err, netlink.ErrDumpInterrupted) && try < dumpTries; try++ {
		states, err = netlink.XfrmStateList(netlink.FAMILY_ALL)
	}
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
		out = append(out, KernelSA{
			Src: src.Unmap(), Dst: dst.Unmap(), Protocol: uint8(s.Proto),
			SPI: uint32(s.Spi), ReqID: uint32(s.Reqid), Marked: s.Mark != nil && s.Mark.Mask != 0,
		})
	}
	return out, nil
}

// Delete implements SAD.
func (kernelSAD) Delete(sa KernelSA) error {
	s := &netlink.XfrmState{Src: sa.Src.AsSlice(), Dst: sa.Dst.AsSlice(), Proto: netlink.Proto(sa.Protocol), Spi: int(sa.SPI)}
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
// It reports false where a peer's name is not known now, and may have some.
func (w *watcher) orphans(ctx context.Context, kernel []KernelSA, charon []ikeSA) ([]KernelSA, bool) {
	unknown := unknownTo(charon, kernel)
	if len(unknown) == 0 {
		return nil, true
	}
	peers, known := map[string][]netip.Addr{}, true
	for _, k := range w.kept {
		for _, text := range k.conn.RemoteAddrs {
			if _, asked := peers[text]; asked || text == "%any" {
				continue
			}
			addrs, err := w.addresses(ctx, text)
			peers[text], known = addrs, known && err == nil
		}
	}
	return slices.DeleteFunc(unknown, func(sa KernelSA) bool {
		for _, addrs := range peers {
			if slices.Contains(addrs, sa.Dst) {
				return false
			}
		}
		return true
	}), known
}

// unknownTo are the SAs that could be a charon's and are not this one's. It marks none unless
// a child says so, as others do.
func unknownTo(charon []ikeSA, kernel []KernelSA) []KernelSA {
	known := map[uint32]bool{}
	for i := range charon {
		for _, c := range charon[i].Children {
			if spi, err := strconv.ParseUint(c.SPIOut, 16, 32); err == nil {
				known[uint32(spi)] = true
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(kernel), func(sa KernelSA) bool {
		// One of IPComp has another number, and does nothing without that of ESP or AH.
		protects := sa.Protocol == unix.IPPROTO_ESP || sa.Protocol == unix.IPPROTO_AH
		return sa.ReqID == 0 || sa.Marked || !protects || known[sa.SPI]
	})
}

// dropOrphans deletes them, but for those that charon tells of now: its list is no snapshot,
// and an IKE_SA that is being rekeyed may have moved while it was made.
func (w *watcher) dropOrphans(ctx context.Context, c *client, orphans []KernelSA) error {
	if len(orphans) == 0 {
		return nil
	}
	sas, err := c.sas(ctx)
	if err != nil {
		return err
	}
	for _, sa := range unknownTo(sas, orphans) {
		if err := w.SAD.Delete(sa); err != nil {
			return err
		}
		w.shift.Say("ipsec: deleted SA %08x to %s, which an earlier charon left behind", sa.SPI, sa.Dst)
	}
	return nil
}

// resolvePatience bounds a question to the DNS while other tunnels wait.
const resolvePatience = 2 * time.Second

// addresses are those of a peer.
func (b *Backend) addresses(ctx context.Context, text string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return []netip.Addr{a}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolvePatience)
	defer cancel()
	addrs, err := b.Resolve(ctx, text)
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, err
}
