package rtnl

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// errMalformed is a message that breaks off or contradicts its own lengths.
var errMalformed = errors.New("malformed netlink message")

// message is one netlink message; data is behind the header.
type message struct {
	typ   uint16
	flags uint16
	seq   uint32
	data  []byte
}

// align rounds a length up to netlink's boundary of four bytes.
func align(n int) int { return (n + 3) &^ 3 }

// parseMessage splits the first message off a datagram.
func parseMessage(b []byte) (m message, rest []byte, err error) {
	if len(b) < unix.SizeofNlMsghdr {
		return m, nil, errMalformed
	}
	n := int(binary.NativeEndian.Uint32(b))
	if n < unix.SizeofNlMsghdr || n > len(b) {
		return m, nil, errMalformed
	}
	m = message{
		typ:   binary.NativeEndian.Uint16(b[4:]),
		flags: binary.NativeEndian.Uint16(b[6:]),
		seq:   binary.NativeEndian.Uint32(b[8:]),
		data:  b[unix.SizeofNlMsghdr:n],
	}
	return m, b[min(align(n), len(b)):], nil
}

// attributes calls fn for every attribute behind a fixed part of that length.
func attributes(data []byte, fixed int, fn func(typ uint16, v []byte)) error {
	if len(data) < fixed {
		return errMalformed
	}
	b := data[min(align(fixed), len(data)):]
	for len(b) >= unix.SizeofRtAttr {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofRtAttr || n > len(b) {
			return errMalformed
		}
		fn(binary.NativeEndian.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[unix.SizeofRtAttr:n])
		b = b[min(align(n), len(b)):]
	}
	return nil
}

// number reads an unsigned integer of whatever width the kernel used.
func number(v []byte) int {
	switch {
	case len(v) >= 4:
		return int(binary.NativeEndian.Uint32(v))
	case len(v) >= 2:
		return int(binary.NativeEndian.Uint16(v))
	case len(v) == 1:
		return int(v[0])
	}
	return 0
}

// text reads a string, which the kernel ends with a zero byte.
func text(v []byte) string {
	for len(v) > 0 && v[len(v)-1] == 0 {
		v = v[:len(v)-1]
	}
	return string(v)
}

// address reads an IP address; the zero Addr for any other length.
func address(v []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(v)
	return a
}

// encoder builds messages one behind the other in a buffer that it keeps.
type encoder struct {
	b     []byte
	start int // of the message under way
}

func (e *encoder) reset() { e.b = e.b[:0] }

// begin starts a message with zeroed fixed part, which it returns for filling in.
func (e *encoder) begin(typ, flags int, seq uint32, fixed int) []byte {
	e.start = len(e.b)
	e.b = binary.NativeEndian.AppendUint32(e.b, 0)
	e.b = binary.NativeEndian.AppendUint16(e.b, uint16(typ))
	e.b = binary.NativeEndian.AppendUint16(e.b, uint16(flags))
	e.b = binary.NativeEndian.AppendUint32(e.b, seq)
	e.b = binary.NativeEndian.AppendUint32(e.b, 0)
	body := len(e.b)
	e.b = append(e.b, make([]byte, align(fixed))...)
	return e.b[body:]
}

// end completes the message.
func (e *encoder) end() {
	binary.NativeEndian.PutUint32(e.b[e.start:], uint32(len(e.b)-e.start))
}

// addFlags sets flags of the message under way.
func (e *encoder) addFlags(flags uint16) {
	b := e.b[e.start+6:]
	binary.NativeEndian.PutUint16(b, binary.NativeEndian.Uint16(b)|flags)
}

func (e *encoder) bytes(typ int, v []byte) {
	e.header(typ, len(v))
	e.b = append(e.b, v...)
	e.pad()
}

func (e *encoder) string(typ int, s string) {
	e.header(typ, len(s)+1)
	e.b = append(append(e.b, s...), 0)
	e.pad()
}

func (e *encoder) uint32(typ int, v uint32) {
	e.header(typ, 4)
	e.b = binary.NativeEndian.AppendUint32(e.b, v)
}

func (e *encoder) uint8(typ int, v uint8) {
	e.header(typ, 1)
	e.b = append(e.b, v)
	e.pad()
}

func (e *encoder) addr(typ int, a netip.Addr) {
	if a.Is4() {
		v := a.As4()
		e.bytes(typ, v[:])
		return
	}
	v := a.As16()
	e.bytes(typ, v[:])
}

// nest encloses what fn writes in an attribute.
func (e *encoder) nest(typ int, fn func()) {
	at := len(e.b)
	e.header(typ|unix.NLA_F_NESTED, 0)
	fn()
	binary.NativeEndian.PutUint16(e.b[at:], uint16(len(e.b)-at))
}

func (e *encoder) header(typ, n int) {
	e.b = binary.NativeEndian.AppendUint16(e.b, uint16(unix.SizeofRtAttr+n))
	e.b = binary.NativeEndian.AppendUint16(e.b, uint16(typ))
}

func (e *encoder) pad() {
	for len(e.b)%4 != 0 {
		e.b = append(e.b, 0)
	}
}
