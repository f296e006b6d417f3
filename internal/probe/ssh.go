package probe

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// The messages of sock_diag(7) about TCP, as linux/inet_diag.h lays them out.
const (
	diagByFamily = 20 // SOCK_DIAG_BY_FAMILY
	diagInfo     = 2  // INET_DIAG_INFO
	requestSize  = 56
	answerSize   = 72
	established  = 1
	// Where struct tcp_info (linux/tcp.h) has the packets that nobody has acknowledged,
	// and how long ago, in milliseconds, the last acknowledgement came.
	infoUnacked = 24
	infoLastAck = 56
)

// quiet is how long a connection over which something is being sent may go unacknowledged.
const quiet = 3 * time.Second

// Passes reports whether a TCP connection of this host still passes data: say is called to
// send something over it, which the other end must acknowledge.
func Passes(local, remote netip.AddrPort, say func()) func(context.Context) error {
	return func(context.Context) error {
		say()
		info, err := tcpInfo(local, remote)
		if err != nil {
			return err
		}
		unacked := binary.NativeEndian.Uint32(info[infoUnacked:])
		last := time.Duration(binary.NativeEndian.Uint32(info[infoLastAck:])) * time.Millisecond
		switch {
		case last > quiet && unacked == 0:
			return fmt.Errorf("nothing that vpnctl says goes over the connection with %s, which so cannot be tested", remote)
		case last > quiet:
			return fmt.Errorf("%d packets to %s are not acknowledged, the last was %v ago", unacked, remote, last.Round(time.Second))
		}
		return nil
	}
}

// tcpInfo is the kernel's struct tcp_info of an established connection.
func tcpInfo(local, remote netip.AddrPort) ([]byte, error) {
	c, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return nil, fmt.Errorf("asking for the connection: %w", err)
	}
	defer func() { _ = c.Close() }()
	// sshd(8) may listen on IPv6 for both.
	for _, mapped := range []bool{false, true} {
		if mapped && local.Addr().Is6() {
			continue
		}
		answers, err := c.Execute(netlink.Message{
			Header: netlink.Header{Type: diagByFamily, Flags: netlink.Request}, Data: diagRequest(local, remote, mapped),
		})
		if err != nil || len(answers) == 0 {
			continue
		}
		if info := infoOf(answers[0].Data); info != nil {
			return info, nil
		}
	}
	return nil, fmt.Errorf("the connection from %s is gone", remote)
}

// diagRequest asks for one connection, with its tcp_info.
func diagRequest(local, remote netip.AddrPort, mapped bool) []byte {
	b := make([]byte, requestSize)
	b[0], b[1], b[2] = unix.AF_INET, unix.IPPROTO_TCP, 1<<(diagInfo-1)
	binary.NativeEndian.PutUint32(b[4:], 1<<established)
	binary.BigEndian.PutUint16(b[8:], local.Port())
	binary.BigEndian.PutUint16(b[10:], remote.Port())
	if mapped || local.Addr().Is6() {
		b[0] = unix.AF_INET6
	}
	for i, a := range []netip.Addr{local.Addr(), remote.Addr()} {
		raw := a.AsSlice()
		if mapped {
			full := a.As16()
			raw = full[:]
		}
		copy(b[12+16*i:], raw)
	}
	for i := 48; i < requestSize; i++ {
		b[i] = 0xff // INET_DIAG_NOCOOKIE
	}
	return b
}

// infoOf takes tcp_info out of an answer, nil where it has none.
func infoOf(b []byte) []byte {
	if len(b) < answerSize || b[1] != established {
		return nil
	}
	d, err := netlink.NewAttributeDecoder(b[answerSize:])
	if err != nil {
		return nil
	}
	for d.Next() {
		if d.Type() == diagInfo && len(d.Bytes()) >= infoLastAck+4 {
			return d.Bytes()
		}
	}
	return nil
}
