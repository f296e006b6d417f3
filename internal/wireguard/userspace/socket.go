package userspace

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// socketPath is where wg(8) and wgctrl look for the device of an interface.
func socketPath(name string) string { return "/var/run/wireguard/" + name + ".sock" }

// probe asks the device behind the socket for its configuration, and throws that away:
// it holds the keys.
func probe(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", socketPath(name))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "get=1\n\n"); err != nil {
		return err
	}
	return readStatus(c)
}

// readStatus reads the last line of an answer.
func readStatus(r io.Reader) error {
	s := bufio.NewScanner(r)
	for s.Scan() {
		status, ok := strings.CutPrefix(s.Text(), "errno=")
		switch {
		case ok && status == "0":
			return nil
		case ok:
			return fmt.Errorf("device answers errno %s", status)
		}
	}
	if err := s.Err(); err != nil {
		return err
	}
	return errors.New("device ends its answer early")
}

// fatal is an error that waiting does not cure.
type fatal struct{ error }

func (f fatal) Unwrap() error { return f.error }

// await asks until cond holds, or fails for good, and says why it did not when ctx ends.
func await(ctx context.Context, cond func() error) error {
	pause := 5 * time.Millisecond
	for {
		err := cond()
		if err == nil {
			return nil
		}
		if f := (fatal{}); errors.As(err, &f) {
			return f.error
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", err, ctx.Err())
		case <-time.After(pause):
			pause = min(2*pause, 100*time.Millisecond)
		}
	}
}
