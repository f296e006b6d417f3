// Package probe looks whether what an operator cares for still works: it answers the
// question that decides between keeping an apply and going back.
package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// Probe is one question.
type Probe struct {
	// Text is the probe as it was written: "ping:10.0.0.2".
	Text string
	ask  func(ctx context.Context, h Host) error
}

// Host is what probes need that is not on the wire.
type Host struct {
	// Up reports whether a tunnel or peer of that name is up, or why not.
	Up func(ctx context.Context, name string) error
	// SSH is the operator's own connection, by what is printed to it; nil where there is none.
	SSH func(ctx context.Context) error
}

// forms are what Parse takes, for messages.
const forms = "ping:ADDR, tcp:ADDR:PORT, handshake:NAME or ssh"

// Parse reads a probe.
func Parse(text string) (Probe, error) {
	kind, rest, _ := strings.Cut(text, ":")
	switch {
	case kind == "ping":
		addr, err := netip.ParseAddr(rest)
		if err != nil {
			return Probe{}, fmt.Errorf("%q: %q is no address", text, rest)
		}
		return Probe{text, func(ctx context.Context, _ Host) error { return Ping(ctx, addr) }}, nil
	case kind == "tcp":
		to, err := netip.ParseAddrPort(rest)
		if err != nil || to.Port() == 0 {
			return Probe{}, fmt.Errorf("%q: %q is no ADDR:PORT", text, rest)
		}
		return Probe{text, func(ctx context.Context, _ Host) error { return connect(ctx, to) }}, nil
	case kind == "handshake" && rest != "":
		return Probe{text, func(ctx context.Context, h Host) error { return h.Up(ctx, rest) }}, nil
	case text == "ssh":
		return Probe{text, func(ctx context.Context, h Host) error {
			if h.SSH == nil {
				return errors.New("no SSH connection was found by which you are here")
			}
			return h.SSH(ctx)
		}}, nil
	}
	return Probe{}, fmt.Errorf("%q: give %s", text, forms)
}

// Holds asks, and says why the answer is no.
func (p Probe) Holds(ctx context.Context, h Host) error {
	if err := p.ask(ctx, h); err != nil {
		return fmt.Errorf("%s: %w", p.Text, err)
	}
	return nil
}

// answerTime bounds one question.
const answerTime = 2 * time.Second

func connect(ctx context.Context, to netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", to.String())
	if err != nil {
		return err
	}
	return conn.Close()
}

// Pace is how long Wait takes. Fields that are zero get what is due.
type Pace struct {
	Hold time.Duration // that all probes must hold together
	Poll time.Duration // between two rounds
}

// Wait returns nil once all probes have held for as long as pace says, without a no in
// between. When ctx ends first, it returns the last no.
func Wait(ctx context.Context, probes []Probe, h Host, pace Pace) error {
	if pace.Hold == 0 {
		pace.Hold = 10 * time.Second
	}
	if pace.Poll == 0 {
		pace.Poll = time.Second
	}
	var since time.Time
	last := errors.New("no probe has answered yet")
	for {
		began := time.Now()
		err := all(ctx, probes, h)
		switch {
		case ctx.Err() != nil:
			return last
		case err != nil:
			since, last = time.Time{}, err
		case since.IsZero():
			since, last = began, fmt.Errorf("the probes have not held for %v yet", pace.Hold)
		}
		if !since.IsZero() && time.Since(since) >= pace.Hold {
			return nil
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(pace.Poll):
		}
	}
}

// all asks all probes at once, and joins what they object.
func all(ctx context.Context, probes []Probe, h Host) error {
	answers := make(chan error, len(probes))
	for _, p := range probes {
		go func() { answers <- p.Holds(ctx, h) }()
	}
	var errs []error
	for range probes {
		errs = append(errs, <-answers)
	}
	return errors.Join(errs...)
}
