package rtnl

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Request is one change of the kernel's state: AddLink, SetLink, MoveLink, DelLink,
// AddAddr, DelAddr, AddRoute, DelRoute, AddRule, DelRule. It prints as what it is
// doing ("adding route 10.13.0.0/16").
type Request interface {
	fmt.Stringer
	encode(e *encoder, seq uint32)
}

// sendSize bounds the bytes of one system call, well below what the send buffer of a
// netlink socket takes.
const sendSize = 128 << 10

// Do makes the changes in their order, many to one system call, and returns the first
// error, an *Error that names its request. The kernel works through a call to its end
// all the same: what stands after an error is for the caller to read back.
func (c *Conn) Do(requests ...Request) error {
	for len(requests) > 0 {
		n, err := c.doChunk(requests)
		if err != nil {
			return err
		}
		requests = requests[n:]
	}
	return nil
}

// doChunk sends as many requests as one call takes. Only the last asks for an
// acknowledgement: the kernel reports errors unasked, and all before that.
func (c *Conn) doChunk(requests []Request) (int, error) {
	c.enc.reset()
	first := c.seq + 1
	n := 0
	for n < min(len(requests), c.chunk) && len(c.enc.b) < sendSize {
		requests[n].encode(&c.enc, c.next())
		c.enc.addFlags(unix.NLM_F_REQUEST)
		n++
		if n == len(requests) || n == c.chunk || len(c.enc.b) >= sendSize {
			c.enc.addFlags(unix.NLM_F_ACK)
		}
		c.enc.end()
	}
	if err := c.send(c.enc.b); err != nil {
		return 0, err
	}
	return n, c.acknowledged(requests[:n], first)
}

// acknowledged reads until the answer to the last request, and finds the first error.
func (c *Conn) acknowledged(requests []Request, first uint32) error {
	var failed error
	err := c.receive(func(m message) (bool, error) {
		at := int(m.seq - first)
		if m.typ != unix.NLMSG_ERROR || at < 0 || at >= len(requests) {
			return false, nil
		}
		if err := answer(m); err != nil && failed == nil {
			e := err.(*Error)
			e.Request = requests[at]
			failed = e
		}
		return at == len(requests)-1, nil
	})
	if err != nil {
		return fmt.Errorf("reading acknowledgements: %w", err)
	}
	return failed
}
