// Package ppptest has a host's pppds for tests: sessions that begin and end.
package ppptest

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/ppp"
)

// Fake is a ppp.Sessions without processes. The zero value has no session.
type Fake struct {
	// Fault is asked before each session is ended, with "ending ppp0 of user1".
	Fault func(write string) error

	sessions []ppp.Session
	pid      int
}

var _ ppp.Sessions = (*Fake)(nil)

// Begin adds a session, and completes what the caller leaves out: interface and process.
func (f *Fake) Begin(s ppp.Session) ppp.Session {
	f.pid++
	if s.PID == 0 {
		s.PID = 1000 + f.pid
	}
	for n := 0; s.Interface == ""; n++ {
		name := fmt.Sprintf("ppp%d", n)
		if !slices.ContainsFunc(f.sessions, func(o ppp.Session) bool { return o.Interface == name }) {
			s.Interface = name
		}
	}
	f.sessions = append(f.sessions, s)
	return s
}

// Drop ends the sessions that match, as their far ends would.
func (f *Fake) Drop(match func(s ppp.Session) bool) {
	f.sessions = slices.DeleteFunc(f.sessions, match)
}

// List implements ppp.Sessions.
func (f *Fake) List(context.Context) ([]ppp.Session, error) { return slices.Clone(f.sessions), nil }

// End implements ppp.Sessions.
func (f *Fake) End(_ context.Context, s ppp.Session) error {
	if f.Fault != nil {
		if err := f.Fault(fmt.Sprintf("ending %s of %s", s.Interface, s.User)); err != nil {
			return err
		}
	}
	f.Drop(func(o ppp.Session) bool { return o.PID == s.PID })
	return nil
}

// String is what a `pgrep` and an `ip address` would show of the sessions, one a line.
func (f *Fake) String() string {
	var b strings.Builder
	for _, s := range f.sessions {
		fmt.Fprintf(&b, "%s %s user=%q local=%s remote=%s pid=%d\n", s.Interface, s.Object(), s.User, text(s.Local), text(s.Remote), s.PID)
	}
	return b.String()
}

func text(a netip.Addr) string {
	if !a.IsValid() {
		return "-"
	}
	return a.String()
}
