package ipsec

import (
	"encoding/binary"
	"io"
	"net"
	"sync/atomic"
)

// gate is a connection to charon that keeps events back until it is opened. While the
// library registers for events it can take none: one that comes ahead of the confirmation,
// as lines of the log do on a busy charon, would let it wait for itself for ever.
//
// Only its reader may use it beside open.
type gate struct {
	net.Conn
	opened atomic.Bool
	held   []byte // packets that wait
	ready  []byte // what is handed out
}

// open lets events through. Those that waited come ahead of the next packet, whatever
// that is.
func (g *gate) open() { g.opened.Store(true) }

// Read implements net.Conn.
func (g *gate) Read(p []byte) (int, error) {
	for len(g.ready) == 0 {
		packet, err := readPacket(g.Conn)
		if err != nil {
			return 0, err
		}
		switch opened := g.opened.Load(); {
		case opened:
			g.ready, g.held = append(g.held, packet...), nil
		case isEvent(packet):
			g.held = append(g.held, packet...)
		default:
			g.ready = packet
		}
	}
	n := copy(p, g.ready)
	g.ready = g.ready[n:]
	return n, nil
}

// The layout of a packet of vici (README of libcharon/plugins/vici): its length, without
// that, then what it is.
const (
	lengthSize  = 4
	packetEvent = 7
)

// readPacket reads one packet with its length.
func readPacket(r io.Reader) ([]byte, error) {
	length := make([]byte, lengthSize)
	if _, err := io.ReadFull(r, length); err != nil {
		return nil, err
	}
	packet := make([]byte, lengthSize+int(binary.BigEndian.Uint32(length)))
	copy(packet, length)
	_, err := io.ReadFull(r, packet[lengthSize:])
	return packet, err
}

func isEvent(packet []byte) bool {
	return len(packet) > lengthSize && packet[lengthSize] == packetEvent
}
