package ipsec

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"
	"time"

	"github.com/strongswan/govici/vici"
	"golang.org/x/sys/unix"

	"github.com/vpnctl/vpnctl/internal/host"
)

// ErrNotRunning says that nobody answers on charon's socket.
var ErrNotRunning = errors.New("charon is not running")

// Session is one conversation with charon, in vici's messages.
type Session interface {
	// Call sends a command and returns its answer. One that charon refuses is a
	// *CommandError.
	Call(ctx context.Context, command string, in *vici.Message) (*vici.Message, error)
	// Stream is Call for a command that answers by events; each goes to fn.
	Stream(ctx context.Context, command, event string, in *vici.Message, fn func(*vici.Message)) error
	// PID is the process that has the socket, 0 where that cannot be told.
	PID() int
	// Run tells one run of charon from another. What charon itself says of its start is
	// off by a second now and then, and moves with the clock.
	Run() (string, error)
	Close() error
}

// CommandError is charon's own word on why it does not do something.
type CommandError struct {
	Command string
	Message string
}

func (e *CommandError) Error() string { return e.Command + ": " + e.Message }

// sockets are where charon listens, in the order in which they are tried.
var sockets = []string{"/run/charon.vici", "/var/run/charon.vici"}

// patience bounds a command whose caller sets no limit: charon answers at once, or is
// stuck.
const patience = 30 * time.Second

// Dial opens a session with the charon of this host.
func Dial(ctx context.Context) (Session, error) {
	err := error(fs.ErrNotExist)
	for _, path := range sockets {
		var s *session
		if s, err = dial(ctx, path); err == nil {
			return s, nil
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED) {
			break
		}
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, ErrNotRunning
	}
	return nil, fmt.Errorf("connecting to charon: %w", err)
}

// session is a Session over vici's socket.
type session struct {
	vici *vici.Session
	gate *gate
	pid  int
}

func dial(ctx context.Context, path string) (*session, error) {
	s := &session{}
	var err error
	s.vici, err = vici.NewSession(vici.WithSocketPath(path), vici.WithDialContext(
		func(_ context.Context, network, addr string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			s.pid, s.gate = peerOf(conn), &gate{Conn: conn}
			return s.gate, nil
		}))
	if err != nil {
		return nil, err
	}
	return s, nil
}

// peerOf is the process at the other end of a socket.
func peerOf(conn net.Conn) int {
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return 0
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	_ = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	return pid
}

// PID implements Session.
func (s *session) PID() int { return s.pid }

// hidden is every run of a charon that a pid namespace hides. That it has lost something in
// between, its lists still tell.
const hidden = "hidden"

// Run implements Session.
func (s *session) Run() (string, error) {
	id, err := host.RunID(s.pid)
	if errors.Is(err, fs.ErrNotExist) {
		return hidden, nil
	}
	return id, err
}

// Close implements Session.
func (s *session) Close() error { return s.vici.Close() }

// Call implements Session.
func (s *session) Call(ctx context.Context, command string, in *vici.Message) (*vici.Message, error) {
	ctx, cancel := limited(ctx)
	defer cancel()
	out, err := s.vici.Call(ctx, command, in)
	return out, answered(command, out, err)
}

// Stream implements Session. The library's own CallStreaming may take a command's answer
// before the events that came ahead of it, and loses those; so this subscribes to them.
func (s *session) Stream(ctx context.Context, command, event string, in *vici.Message, fn func(*vici.Message)) error {
	if err := s.vici.Subscribe(event); err != nil {
		return fmt.Errorf("asking charon for %s: %w", event, err)
	}
	s.gate.open()
	events := make(chan vici.Event, streamBuffer)
	s.vici.NotifyEvents(events)
	ended, drained := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(drained)
		drain(events, ended, event, fn)
	}()
	_, err := s.Call(ctx, command, in)
	s.vici.StopEvents(events)
	close(ended)
	<-drained
	return err
}

// streamBuffer is how many events may wait while one is dealt with: the library drops
// what finds no room.
const streamBuffer = 4096

// drain hands events on until the command has ended and none is left: the library passes
// events on in the order in which they and the answer come.
func drain(events <-chan vici.Event, ended <-chan struct{}, name string, fn func(*vici.Message)) {
	for over := false; ; {
		select {
		case e, ok := <-events:
			if !ok {
				return // charon has closed the connection
			}
			if e.Name == name {
				fn(e.Message)
			}
			continue
		default:
		}
		if over {
			return
		}
		select {
		case e, ok := <-events:
			if !ok {
				return
			}
			if e.Name == name {
				fn(e.Message)
			}
		case <-ended:
			over = true
		}
	}
}

// limited gives a command an end: without one, the library gives up after five seconds of
// silence.
func limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, patience)
}

// answered turns what became of a command into an error.
func answered(command string, out *vici.Message, err error) error {
	if err == nil {
		return nil
	}
	if out != nil && out.Err() != nil {
		message, _ := out.Get("errmsg").(string)
		return &CommandError{Command: command, Message: message}
	}
	return fmt.Errorf("asking charon for %s: %w", command, err)
}
