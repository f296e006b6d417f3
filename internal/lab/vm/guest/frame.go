package guest

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// Sender writes output and events to one stream. Each piece carries its
// length, so nothing that a program prints can be taken for an event.
type Sender struct {
	mu sync.Mutex
	w  io.Writer
}

// NewSender returns a Sender on w.
func NewSender(w io.Writer) *Sender { return &Sender{w: w} }

// The two kinds of frames.
const (
	frameOutput = 'o'
	frameEvent  = 'e'
)

// maxFrame bounds a frame. The kernel takes up to 32 KiB in one write, so that
// a machine which dies while it sends leaves no part of a frame behind.
const maxFrame = 16 << 10

// Write sends output of a program.
func (s *Sender) Write(p []byte) (int, error) {
	sent := 0
	for len(p) > 0 {
		n := min(len(p), maxFrame)
		if err := s.send(frameOutput, p[:n]); err != nil {
			return sent, err
		}
		p, sent = p[n:], sent+n
	}
	return sent, nil
}

// Event sends an event.
func (s *Sender) Event(e Event) error {
	b, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encoding event: %w", err)
	}
	return s.send(frameEvent, b)
}

// send writes a frame in one piece: kind, length, payload.
func (s *Sender) send(kind byte, p []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := append(make([]byte, 0, 5+len(p)), kind)
	b = binary.BigEndian.AppendUint32(b, uint32(len(p)))
	_, err := s.w.Write(append(b, p...))
	return err
}

// Receive reads frames until the stream ends, copies output to out and calls
// event for each event.
func Receive(r io.Reader, out io.Writer, event func(Event)) error {
	for {
		var head [5]byte
		if _, err := io.ReadFull(r, head[:]); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading frame: %w", err)
		}
		n := binary.BigEndian.Uint32(head[1:])
		if n > maxFrame {
			return fmt.Errorf("reading frame: length %d", n)
		}
		p := make([]byte, n)
		if _, err := io.ReadFull(r, p); err != nil {
			return fmt.Errorf("reading frame: %w", err)
		}
		switch head[0] {
		case frameOutput:
			if _, err := out.Write(p); err != nil {
				return err
			}
		case frameEvent:
			var e Event
			if err := json.Unmarshal(p, &e); err != nil {
				return fmt.Errorf("decoding event: %w", err)
			}
			event(e)
		default:
			return fmt.Errorf("reading frame: kind %q", head[0])
		}
	}
}
