package rtnl

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// Addr is an address of a link, with the length of its subnet.
type Addr struct {
	Index  int // of the link
	Prefix netip.Prefix
	// Peer is the other end of a link between two, not valid on any other.
	Peer netip.Addr
	// Kernel marks an address that the kernel gave the link by itself, as it does
	// with the link-local one of a tun device.
	Kernel bool
}

// From linux/if_addr.h: the attribute that tells who made an address, since Linux 5.18,
// and the largest of its values that mean the kernel itself.
const (
	attrProtocol   = 11 // IFA_PROTO
	kernelProtocol = 3  // IFAPROT_KERNEL_LL
)

// Addrs lists the addresses of the link with that index, of all links for 0, in both
// families.
func (c *Conn) Addrs(index int) ([]Addr, error) {
	var addrs []Addr
	err := c.dump("addresses", func() { addrs = addrs[:0] }, func(e *encoder, seq uint32) {
		head := e.begin(unix.RTM_GETADDR, 0, seq, unix.SizeofIfAddrmsg)
		putUint32(head[4:], uint32(index))
	}, func(m message) error {
		a, err := parseAddr(m.data)
		// A kernel without strict checking ignores the filter.
		if err == nil && (index == 0 || a.Index == index) && a.Prefix.IsValid() {
			addrs = append(addrs, a)
		}
		return err
	})
	return addrs, err
}

func parseAddr(data []byte) (Addr, error) {
	if len(data) < unix.SizeofIfAddrmsg {
		return Addr{}, errMalformed
	}
	a := Addr{Index: number(data[4:8])}
	var local, peer netip.Addr
	var flags, proto int
	err := attributes(data, unix.SizeofIfAddrmsg, func(typ uint16, v []byte) {
		switch typ {
		case unix.IFA_LOCAL:
			local = address(v)
		case unix.IFA_ADDRESS:
			peer = address(v)
		case unix.IFA_FLAGS:
			flags = number(v)
		case attrProtocol:
			proto = number(v)
		}
	})
	if !local.IsValid() {
		local = peer // IPv6 gives its address there
	}
	if peer != local {
		a.Peer = peer
	}
	a.Prefix = netip.PrefixFrom(local, int(data[1]))
	a.Kernel = proto > 0 && proto <= kernelProtocol || flags&unix.IFA_F_STABLE_PRIVACY != 0
	return a, err
}

// AddAddr gives a link an address.
type AddAddr struct {
	Index  int
	Prefix netip.Prefix
}

func (r AddAddr) String() string { return "adding address " + r.Prefix.String() }

func (r AddAddr) encode(e *encoder, seq uint32) {
	encodeAddr(e, unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, seq, r.Index, r.Prefix)
	if r.Prefix.Addr().Is6() {
		// The address is assigned, not found: a probe for duplicates, on a link
		// that has no neighbours, would only delay its use.
		e.uint32(unix.IFA_FLAGS, unix.IFA_F_NODAD)
	}
}

// DelAddr takes an address from a link.
type DelAddr struct {
	Index  int
	Prefix netip.Prefix
}

func (r DelAddr) String() string { return "deleting address " + r.Prefix.String() }

func (r DelAddr) encode(e *encoder, seq uint32) {
	encodeAddr(e, unix.RTM_DELADDR, 0, seq, r.Index, r.Prefix)
}

func encodeAddr(e *encoder, typ, flags int, seq uint32, index int, p netip.Prefix) {
	head := e.begin(typ, flags, seq, unix.SizeofIfAddrmsg)
	head[0], head[1] = family(p.Addr()), uint8(p.Bits())
	putUint32(head[4:], uint32(index))
	e.addr(unix.IFA_LOCAL, p.Addr())
	e.addr(unix.IFA_ADDRESS, p.Addr())
}

// family is the address family of a.
func family(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
