package rtnl

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// dumpTries bounds how often a dump is asked for again that the kernel cut because the
// table changed under it. On a host that never stands still the last answer has to do:
// whoever needs certainty reads again after acting.
const dumpTries = 8

// errInterrupted is a dump that may miss entries.
var errInterrupted = errors.New("dump interrupted")

// dump asks for all objects of a kind. The request's fixed part and attributes come
// from head; each answer goes to fn. Start is called before every try, so that the
// caller forgets what a cut dump brought.
func (c *Conn) dump(what string, start func(), head func(e *encoder, seq uint32), fn func(m message) error) error {
	var err error
	for range dumpTries {
		start()
		if err = c.dumpOnce(head, fn); !errors.Is(err, errInterrupted) {
			break
		}
	}
	if err != nil && !errors.Is(err, errInterrupted) {
		return fmt.Errorf("listing %s: %w", what, err)
	}
	return nil
}

func (c *Conn) dumpOnce(head func(e *encoder, seq uint32), fn func(m message) error) error {
	seq := c.next()
	c.enc.reset()
	head(&c.enc, seq)
	c.enc.addFlags(unix.NLM_F_REQUEST | unix.NLM_F_DUMP)
	c.enc.end()
	if err := c.send(c.enc.b); err != nil {
		return err
	}
	interrupted := false
	err := c.receive(func(m message) (bool, error) {
		if m.seq != seq {
			return false, nil // left over from an exchange that broke off
		}
		interrupted = interrupted || m.flags&unix.NLM_F_DUMP_INTR != 0
		switch m.typ {
		case unix.NLMSG_DONE, unix.NLMSG_ERROR:
			return true, answer(m)
		}
		return false, fn(m)
	})
	if err == nil && interrupted {
		return errInterrupted
	}
	return err
}

// get asks for one object.
func (c *Conn) get(head func(e *encoder, seq uint32), fn func(m message) error) error {
	seq := c.next()
	c.enc.reset()
	head(&c.enc, seq)
	c.enc.addFlags(unix.NLM_F_REQUEST)
	c.enc.end()
	if err := c.send(c.enc.b); err != nil {
		return err
	}
	return c.receive(func(m message) (bool, error) {
		if m.seq != seq {
			return false, nil
		}
		if m.typ == unix.NLMSG_ERROR {
			return true, answer(m)
		}
		return true, fn(m)
	})
}
