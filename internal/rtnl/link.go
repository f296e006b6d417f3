package rtnl

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Link is one network interface.
type Link struct {
	Index    int
	Name     string
	Kind     string // "wireguard", "tun"; "" for hardware and the loopback
	Alias    string
	MTU      int
	Up       bool
	Loopback bool
	IfID     uint32 // of kind "xfrm": the policies that are the link's
}

// skipStats leaves the counters out of a link's answer, which make up most of it
// (RTEXT_FILTER_SKIP_STATS in linux/rtnetlink.h).
const skipStats = 1 << 3

// Links lists the links of the namespace.
func (c *Conn) Links() ([]Link, error) {
	var links []Link
	err := c.dump("links", func() { links = links[:0] }, func(e *encoder, seq uint32) {
		e.begin(unix.RTM_GETLINK, 0, seq, unix.SizeofIfInfomsg)
		e.uint32(unix.IFLA_EXT_MASK, skipStats)
	}, func(m message) error {
		l, err := parseLink(m.data)
		links = append(links, l)
		return err
	})
	return links, err
}

// Link finds one link by name; none of that name is fs.ErrNotExist.
func (c *Conn) Link(name string) (Link, error) {
	var l Link
	err := c.get(func(e *encoder, seq uint32) {
		e.begin(unix.RTM_GETLINK, 0, seq, unix.SizeofIfInfomsg)
		e.string(unix.IFLA_IFNAME, name)
		e.uint32(unix.IFLA_EXT_MASK, skipStats)
	}, func(m message) (err error) {
		l, err = parseLink(m.data)
		return err
	})
	if err != nil {
		return Link{}, fmt.Errorf("finding link %s: %w", name, err)
	}
	return l, nil
}

// Counters tells how many bytes a link has received and sent; no link of that name is
// fs.ErrNotExist.
func (c *Conn) Counters(name string) (rx, tx uint64, err error) {
	err = c.get(func(e *encoder, seq uint32) {
		e.begin(unix.RTM_GETLINK, 0, seq, unix.SizeofIfInfomsg)
		e.string(unix.IFLA_IFNAME, name)
	}, func(m message) error {
		return attributes(m.data, unix.SizeofIfInfomsg, func(typ uint16, v []byte) {
			// rtnl_link_stats64: packets in and out, then bytes in and out.
			if typ == unix.IFLA_STATS64 && len(v) >= 32 {
				rx, tx = binary.NativeEndian.Uint64(v[16:]), binary.NativeEndian.Uint64(v[24:])
			}
		})
	})
	if err != nil {
		return 0, 0, fmt.Errorf("counting bytes of %s: %w", name, err)
	}
	return rx, tx, nil
}

func parseLink(data []byte) (Link, error) {
	if len(data) < unix.SizeofIfInfomsg {
		return Link{}, errMalformed
	}
	flags := number(data[8:12])
	l := Link{Index: number(data[4:8]), Up: flags&unix.IFF_UP != 0, Loopback: flags&unix.IFF_LOOPBACK != 0}
	var info []byte
	err := attributes(data, unix.SizeofIfInfomsg, func(typ uint16, v []byte) {
		switch typ {
		case unix.IFLA_IFNAME:
			l.Name = text(v)
		case unix.IFLA_IFALIAS:
			l.Alias = text(v)
		case unix.IFLA_MTU:
			l.MTU = number(v)
		case unix.IFLA_LINKINFO:
			info = v
		}
	})
	if err != nil || info == nil {
		return l, err
	}
	var specific []byte
	err = attributes(info, 0, func(typ uint16, v []byte) {
		switch typ {
		case unix.IFLA_INFO_KIND:
			l.Kind = text(v)
		case unix.IFLA_INFO_DATA:
			specific = v
		}
	})
	if err != nil || l.Kind != "xfrm" {
		return l, err
	}
	return l, attributes(specific, 0, func(typ uint16, v []byte) {
		if typ == xfrmIfID {
			l.IfID = uint32(number(v))
		}
	})
}

// xfrmIfID is IFLA_XFRM_IF_ID of linux/if_link.h.
const xfrmIfID = 2

// AddLink makes a link, which is down.
type AddLink struct {
	Name string
	Kind string
	MTU  int    // 0: the kind's own
	IfID uint32 // of kind "xfrm"
}

func (r AddLink) String() string { return "adding link " + r.Name }

func (r AddLink) encode(e *encoder, seq uint32) {
	e.begin(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, seq, unix.SizeofIfInfomsg)
	e.string(unix.IFLA_IFNAME, r.Name)
	if r.MTU != 0 {
		e.uint32(unix.IFLA_MTU, uint32(r.MTU))
	}
	e.nest(unix.IFLA_LINKINFO, func() {
		e.string(unix.IFLA_INFO_KIND, r.Kind)
		if r.IfID != 0 {
			e.nest(unix.IFLA_INFO_DATA, func() { e.uint32(xfrmIfID, r.IfID) })
		}
	})
}

// SetLink changes a link; what is nil or zero stays.
type SetLink struct {
	Name  string
	Alias *string
	MTU   int
	Up    *bool
}

func (r SetLink) String() string { return "setting link " + r.Name }

func (r SetLink) encode(e *encoder, seq uint32) {
	head := e.begin(unix.RTM_NEWLINK, 0, seq, unix.SizeofIfInfomsg)
	if r.Up != nil {
		if *r.Up {
			head[8] = unix.IFF_UP
		}
		head[12] = unix.IFF_UP // the mask of what changes
	}
	e.string(unix.IFLA_IFNAME, r.Name)
	if r.Alias != nil {
		// Without its zero byte: of length zero it removes the alias.
		e.bytes(unix.IFLA_IFALIAS, []byte(*r.Alias))
	}
	if r.MTU != 0 {
		e.uint32(unix.IFLA_MTU, uint32(r.MTU))
	}
}

// MoveLink moves a link into another namespace, where it arrives down and without its
// addresses.
type MoveLink struct {
	Name string
	To   *os.File // the namespace, as OpenNamespace gives it
}

func (r MoveLink) String() string { return "moving link " + r.Name + " to " + r.To.Name() }

func (r MoveLink) encode(e *encoder, seq uint32) {
	e.begin(unix.RTM_NEWLINK, 0, seq, unix.SizeofIfInfomsg)
	e.string(unix.IFLA_IFNAME, r.Name)
	e.uint32(unix.IFLA_NET_NS_FD, uint32(r.To.Fd()))
}

// DelLink removes a link, and with it its addresses and routes.
type DelLink struct{ Name string }

func (r DelLink) String() string { return "deleting link " + r.Name }

func (r DelLink) encode(e *encoder, seq uint32) {
	e.begin(unix.RTM_DELLINK, 0, seq, unix.SizeofIfInfomsg)
	e.string(unix.IFLA_IFNAME, r.Name)
}
