package rtnl

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// Query asks which way packets to an address go.
type Query struct {
	Dst  netip.Addr
	Mark int // of the packets
}

// Path is the answer to a Query. Its zero value means that there is no way.
type Path struct {
	Index int // of the link
	MTU   int // of the route; 0: the link's counts
}

// lookupSize bounds how many lookups are under way at once: an answer takes more of the
// receive queue than an acknowledgement.
const lookupSize = 64

// Lookup answers queries in their order. It asks for the route of the table, not for
// the path MTU that the kernel may have learned on it and will forget again.
func (c *Conn) Lookup(queries ...Query) ([]Path, error) {
	paths := make([]Path, len(queries))
	for at := 0; at < len(queries); at += lookupSize {
		end := min(at+lookupSize, len(queries))
		if err := c.lookup(queries[at:end], paths[at:end]); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

func (c *Conn) lookup(queries []Query, paths []Path) error {
	c.enc.reset()
	first := c.seq + 1
	for _, q := range queries {
		q.encode(&c.enc, c.next())
	}
	if err := c.send(c.enc.b); err != nil {
		return err
	}
	left := len(queries)
	return c.receive(func(m message) (bool, error) {
		at := int(m.seq - first)
		if at < 0 || at >= len(queries) {
			return false, nil
		}
		left--
		if m.typ == unix.NLMSG_ERROR {
			return left == 0, nil // unreachable, prohibited, none: no way
		}
		r, typ, err := parseRoute(m.data)
		if typ == unix.RTN_UNICAST || typ == unix.RTN_LOCAL {
			paths[at] = Path{Index: r.Index, MTU: r.MTU}
		}
		return left == 0, err
	})
}

func (q Query) encode(e *encoder, seq uint32) {
	head := e.begin(unix.RTM_GETROUTE, unix.NLM_F_REQUEST, seq, unix.SizeofRtMsg)
	head[0], head[1] = family(q.Dst), uint8(q.Dst.BitLen())
	putUint32(head[8:], unix.RTM_F_FIB_MATCH)
	e.addr(unix.RTA_DST, q.Dst)
	if q.Mark != 0 {
		e.uint32(unix.RTA_MARK, uint32(q.Mark))
	}
	e.end()
}
