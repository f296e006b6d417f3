package charontest

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/vpnctl/vpnctl/internal/ipsec"
)

// SAD is what the kernel has of charon's SAs: those by which it sends, of the charon that
// runs and of those that were killed.
type SAD struct {
	Charon *Charon
}

var _ ipsec.SAD = SAD{}

// SAs implements ipsec.SAD.
func (s SAD) SAs() ([]ipsec.KernelSA, error) {
	s.Charon.mu.Lock()
	defer s.Charon.mu.Unlock()
	return s.Charon.inKernel(), nil
}

// Put adds one, as somebody else would.
func (s SAD) Put(sa ipsec.KernelSA) {
	s.Charon.mu.Lock()
	defer s.Charon.mu.Unlock()
	s.Charon.orphans = append(s.Charon.orphans, sa)
}

// Delete implements ipsec.SAD.
func (s SAD) Delete(sa ipsec.KernelSA) error {
	s.Charon.mu.Lock()
	defer s.Charon.mu.Unlock()
	s.Charon.orphans = slices.DeleteFunc(s.Charon.orphans, func(o ipsec.KernelSA) bool { return o == sa })
	return nil
}

// inKernel is asked with the lock held.
func (c *Charon) inKernel() []ipsec.KernelSA {
	out := slices.Clone(c.orphans)
	for _, sa := range c.sas {
		peer, err := netip.ParseAddr(sa.Remote)
		if err != nil {
			continue
		}
		for n, child := range sa.Children {
			out = append(out, ipsec.KernelSA{Dst: peer, Protocol: unix.IPPROTO_ESP, SPI: spiOut(child.ID), ReqID: uint32(n + 1)})
		}
	}
	return out
}

// spiOut is the SPI by which a CHILD_SA sends.
func spiOut(id int) uint32 { return 0xd0000000 | uint32(id) }
