package rtnl

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// readBuffer is the size wanted of the socket's receive queue. All answers to one chunk
// of a batch wait there at once, because the kernel answers before sendmsg returns.
const readBuffer = 2 << 20

// messageBuffer holds one datagram. The kernel makes those of a dump as large as the
// largest read so far, up to 32 KiB.
const messageBuffer = 64 << 10

// Conn is a handle on one network namespace. It is not safe for concurrent use.
type Conn struct {
	c     *netlink.Conn
	raw   syscall.RawConn
	seq   uint32
	chunk int // requests that may be under way at once
	buf   []byte
	enc   encoder
}

// Open opens a handle on the namespace of that name below /run/netns, or on the
// caller's own where the name is empty. A namespace that does not exist is
// fs.ErrNotExist.
func Open(netns string) (*Conn, error) {
	var config netlink.Config
	if netns != "" {
		f, err := os.Open(NamespacePath(netns))
		if err != nil {
			return nil, fmt.Errorf("opening network namespace: %w", err)
		}
		defer func() { _ = f.Close() }()
		config.NetNS = int(f.Fd())
	}
	c, err := netlink.Dial(unix.NETLINK_ROUTE, &config)
	if err != nil {
		return nil, fmt.Errorf("opening rtnetlink: %w", err)
	}
	conn := &Conn{c: c, buf: make([]byte, messageBuffer)}
	if err := conn.setup(); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("opening rtnetlink: %w", err)
	}
	return conn, nil
}

// Close closes the handle.
func (c *Conn) Close() error { return c.c.Close() }

func (c *Conn) setup() error {
	raw, err := c.c.SyscallConn()
	if err != nil {
		return err
	}
	c.raw = raw
	// A kernel without one of these answers in more words or filters less: the
	// callers check what they get.
	for _, o := range []netlink.ConnOption{netlink.ExtendedAcknowledge, netlink.CapAcknowledge, netlink.GetStrictCheck} {
		_ = c.c.SetOption(o, true)
	}
	c.chunk, err = c.sizeChunk()
	return err
}

// sizeChunk raises the receive queue and computes how many answers it holds. The limit
// of net.core.rmem_max does not apply to who may force it.
func (c *Conn) sizeChunk() (int, error) {
	err := c.control(func(fd int) error {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, readBuffer) == nil {
			return nil
		}
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, readBuffer)
	})
	if err != nil {
		return 0, err
	}
	size, err := c.c.ReadBuffer()
	// An answer with its bookkeeping takes less than 2 KiB of the queue.
	return min(max(size/2048, 16), 1024), err
}

// control runs fn on the socket's descriptor.
func (c *Conn) control(fn func(fd int) error) error {
	var inner error
	if err := c.raw.Control(func(fd uintptr) { inner = fn(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// send hands the encoded requests to the kernel in one system call.
func (c *Conn) send(b []byte) error {
	var inner error
	to := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	err := c.raw.Write(func(fd uintptr) bool {
		inner = unix.Sendto(int(fd), b, 0, to)
		return !errors.Is(inner, unix.EAGAIN)
	})
	return errors.Join(err, os.NewSyscallError("sendto", inner))
}

// receive reads one datagram and passes its messages to fn until that reports that
// the answer is complete.
func (c *Conn) receive(fn func(m message) (done bool, err error)) error {
	for {
		b, err := c.read()
		if err != nil {
			return err
		}
		for len(b) > 0 {
			var m message
			if m, b, err = parseMessage(b); err != nil {
				return err
			}
			if done, err := fn(m); done || err != nil {
				return err
			}
		}
	}
}

// read returns one datagram; it is valid until the next read.
func (c *Conn) read() ([]byte, error) {
	var n int
	var inner error
	err := c.raw.Read(func(fd uintptr) bool {
		n, _, inner = unix.Recvfrom(int(fd), c.buf, 0)
		return !errors.Is(inner, unix.EAGAIN)
	})
	if err := errors.Join(err, os.NewSyscallError("recvfrom", inner)); err != nil {
		return nil, err
	}
	return c.buf[:n], nil
}

// next returns a fresh sequence number; 0 is the kernel's own.
func (c *Conn) next() uint32 {
	if c.seq++; c.seq == 0 {
		c.seq = 1
	}
	return c.seq
}
