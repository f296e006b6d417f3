package ipsec

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/strongswan/govici/vici"
)

// Event is what charon says unasked: a line of its log, or that an SA came or went.
type Event struct {
	// Connection is whose it is, "" for nobody's.
	Connection string
	// Line is a line of the log, "" for an SA's coming or going.
	Line string
	// Up says that the Children have come up.
	Up       bool
	Children []string
}

// events are those that are listened to.
var events = []string{"child-updown", "log"}

// Listen hands on what charon says until ctx ends, or charon does, which is
// ErrNotRunning.
func Listen(ctx context.Context, fn func(Event)) error {
	var s *session
	err := error(fs.ErrNotExist)
	for _, path := range sockets {
		if s, err = dial(ctx, path); err == nil {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	return s.listen(ctx, fn)
}

// listen is Listen on a session, which it closes.
func (s *session) listen(ctx context.Context, fn func(Event)) error {
	defer func() { _ = s.Close() }()
	said := make(chan vici.Event, streamBuffer)
	s.vici.NotifyEvents(said)
	if err := s.subscribe(ctx, events...); err != nil {
		return fmt.Errorf("listening to charon: %w", err)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-said:
			if !ok {
				return errors.Join(ErrNotRunning, ctx.Err())
			}
			for _, e := range eventsOf(e.Name, e.Message) {
				fn(e)
			}
		}
	}
}

// subscribe asks for events that come unasked.
func (s *session) subscribe(ctx context.Context, events ...string) error {
	if err := s.vici.Subscribe(events...); err != nil {
		return err
	}
	s.gate.open()
	// Its answer brings along what waited.
	_, err := s.Call(ctx, "version", nil)
	return err
}

// eventsOf reads one message.
func eventsOf(name string, m *vici.Message) []Event {
	if name == "log" {
		connection, _ := m.Get("ikesa-name").(string)
		line, _ := m.Get("msg").(string)
		return []Event{{Connection: connection, Line: line}}
	}
	var out []Event
	up, _ := m.Get("up").(string)
	for _, conn := range m.Keys() {
		section, ok := m.Get(conn).(*vici.Message)
		if !ok {
			continue
		}
		sa, err := parseSA(conn, section)
		if err != nil {
			continue // it is told by list-sas as well
		}
		e := Event{Connection: conn, Up: up == "yes"}
		for _, c := range sa.Children {
			e.Children = append(e.Children, c.Name)
		}
		out = append(out, e)
	}
	return out
}
