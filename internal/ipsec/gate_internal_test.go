package ipsec

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// The packets of vici that a server sends and gets.
const (
	packetRequest  = 0
	packetResponse = 1
	packetRegister = 3
	packetConfirm  = 5
)

// logEvent is an event of one line.
func logEvent(line string) []byte {
	b := append([]byte{packetEvent, 3}, "log"...)
	b = append(append(b, 3, 3), "msg"...) // KEY_VALUE
	return append(binary.BigEndian.AppendUint16(b, uint16(len(line))), line...)
}

func send(t *testing.T, w io.Writer, packet []byte) {
	t.Helper()
	if _, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(packet))), packet...)); err != nil {
		t.Errorf("sending: %v", err)
	}
}

// chatter is a charon that says something before it answers anything.
func chatter(t *testing.T, conn net.Conn) {
	defer func() { _ = conn.Close() }()
	for {
		packet, err := readPacket(conn)
		if err != nil {
			return
		}
		answer := []byte{packetResponse}
		if packet[lengthSize] == packetRegister {
			answer = []byte{packetConfirm}
		}
		for _, line := range []string{"one", "two"} {
			send(t, conn, logEvent(line))
		}
		send(t, conn, answer)
	}
}

// TestListenToChatter listens to a charon whose events come ahead of the confirmation that
// they were asked for.
func TestListenToChatter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "charon.vici")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		if conn, err := l.Accept(); err == nil {
			chatter(t, conn)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s, err := dial(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	ended := make(chan error, 1)
	go func() {
		ended <- s.listen(ctx, func(e Event) {
			if lines = append(lines, e.Line); len(lines) == 4 {
				cancel()
			}
		})
	}()
	select {
	case err = <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("the library waits for itself")
	}
	if err != nil || errors.Is(ctx.Err(), context.DeadlineExceeded) || len(lines) < 4 {
		t.Errorf("heard %q, %v", lines, err)
	}
}
