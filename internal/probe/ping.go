package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"
)

// The types of ICMP (RFC 792) and ICMPv6 (RFC 4443) that a ping has.
const (
	echoRequest4, echoReply4 = 8, 0
	echoRequest6, echoReply6 = 128, 129
	echoSize                 = 8
)

// number tells the pings of a process apart.
var number atomic.Uint32

// Ping sends one echo request and waits for its answer.
func Ping(ctx context.Context, addr netip.Addr) error {
	network, request, reply := "ip4:icmp", byte(echoRequest4), byte(echoReply4)
	if addr.Is6() {
		network, request, reply = "ip6:ipv6-icmp", echoRequest6, echoReply6
	}
	conn, err := net.DialIP(network, nil, &net.IPAddr{IP: addr.AsSlice(), Zone: addr.Zone()})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	deadline := time.Now().Add(answerTime)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	id := uint32(os.Getpid())<<16 | number.Add(1)&0xffff
	if _, err := conn.Write(echo(request, id)); err != nil {
		return err
	}
	return answer(conn, reply, id)
}

// answer waits for the reply of that number among all that comes from there.
func answer(conn *net.IPConn, reply byte, id uint32) error {
	b := make([]byte, 1500)
	for {
		n, _, err := conn.ReadFrom(b) // Read would hand out the header of IPv4, too
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("no answer within %v", answerTime)
		}
		if err != nil {
			return err
		}
		if n >= echoSize && b[0] == reply && binary.BigEndian.Uint32(b[4:]) == id {
			return nil
		}
	}
}

// echo is a request. The kernel fills in the checksum of ICMPv6 alone.
func echo(kind byte, id uint32) []byte {
	b := make([]byte, echoSize)
	b[0] = kind
	binary.BigEndian.PutUint32(b[4:], id)
	if kind == echoRequest4 {
		binary.BigEndian.PutUint16(b[2:], checksum(b))
	}
	return b
}

// checksum is that of RFC 1071, of an even number of bytes.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
