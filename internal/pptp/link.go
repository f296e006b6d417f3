package pptp

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/ppp"
	"github.com/vpnctl/vpnctl/internal/reason"
)

// peerOf and peerPath are what pppd's `call` names a link's options by, and their file.
func peerOf(name string) string   { return ppp.PeerName(tunnel(name)) }
func peerPath(name string) string { return ppp.PeerPath(tunnel(name)) }

func tunnel(name string) *desired.PPPTunnel {
	return &desired.PPPTunnel{Protocol: desired.PPTP, Name: name}
}

// optionsVariable is how a pppd's command line says which options it has read.
const optionsVariable = "VPNCTL_OPTIONS="

// optionsDigest is the digest of a link's options, but for its routes: those change under a
// session.
func optionsDigest(data []byte) string {
	var rest []byte
	for line := range bytes.Lines(data) {
		if !bytes.HasPrefix(line, []byte(`set "VPNCTL_ROUTES=`)) {
			rest = append(rest, line...)
		}
	}
	return digest(rest)[:16]
}

// optionsOf is the digest on a pppd's command line, "" for none.
func optionsOf(args []string) string {
	for _, a := range args {
		if sum, ok := strings.CutPrefix(a, optionsVariable); ok {
			return sum
		}
	}
	return ""
}

// DialArgs is the command line of a link's pppd, with the options of its file. pppd alone
// would dial again and again with those that it has read once.
func DialArgs(name string, options []byte) []string {
	return []string{pppd, "call", peerOf(name), "nodetach", "nopersist", "set", optionsVariable + optionsDigest(options)}
}

// The time between two attempts to dial: the first is for a server that restarts, the last
// for one that is away for longer. A session that was up starts anew.
const (
	firstPause = 2 * time.Second
	lastPause  = time.Minute
)

// Dialer keeps one link up. Fields that are nil get the real host's.
type Dialer struct {
	Name      string
	Files     host.Files
	Processes Processes
	Reasons   *reason.Store
	// Attend runs a program; see host.Attend.
	Attend func(ctx context.Context, argv []string, line func(text string)) (status int, err error)
	// Sleep waits, or returns sooner when ctx ends.
	Sleep func(ctx context.Context, d time.Duration)
}

// Dial keeps a link up until ctx ends.
func Dial(ctx context.Context, name string) error {
	d := Dialer{
		Name: name, Files: host.Disk{}, Processes: processes{}, Reasons: reason.Open(reason.Dir), Attend: host.Attend,
		Sleep: func(ctx context.Context, d time.Duration) {
			select {
			case <-ctx.Done():
			case <-time.After(d):
			}
		},
	}
	return d.Run(ctx)
}

// Run dials until ctx ends.
func (d *Dialer) Run(ctx context.Context) error {
	pause := firstPause
	for ctx.Err() == nil {
		if err := d.adopt(ctx); err != nil || ctx.Err() != nil {
			return err
		}
		up, err := d.once(ctx)
		if err != nil {
			return err
		}
		if up {
			pause = firstPause
		}
		d.Sleep(ctx, pause)
		pause = min(2*pause, lastPause)
	}
	return nil
}

// adopt waits for the end of a pppd that an earlier process of this link has left behind:
// its session is as good as one of ours.
func (d *Dialer) adopt(ctx context.Context) error {
	for ctx.Err() == nil {
		all, err := d.Processes.List()
		if err != nil || !slices.ContainsFunc(all, func(p Process) bool { return p.dials(peerOf(d.Name)) }) {
			return err
		}
		d.Sleep(ctx, time.Second)
	}
	return nil
}

// once runs one pppd to its end, keeps why it has ended, and reports whether it was up.
func (d *Dialer) once(ctx context.Context) (up bool, err error) {
	f, err := d.Files.Read(peerPath(d.Name))
	if err != nil {
		return false, fmt.Errorf("reading options of link %s: %w", d.Name, err)
	}
	var said story
	status, err := d.Attend(ctx, DialArgs(d.Name, f.Data), func(text string) {
		said.hear(text)
		if said.up {
			// It is up: nothing is wrong any more. Who asks meanwhile sees an old reason.
			_ = d.Reasons.Clear(reasonKey(d.Name))
		}
	})
	if err != nil || ctx.Err() != nil {
		return said.up, err
	}
	return said.up, d.Reasons.Put(reasonKey(d.Name), reason.Reason{Text: said.why(status), Time: time.Now()})
}

// story is what a pppd and its pptp have said.
type story struct {
	up    bool
	known string // a reason that is worth more than what comes after
	last  string
}

// words are what they say, and what that means to an operator.
var words = []struct{ said, means string }{
	{"authentication failed", "the server refuses user or password"},
	{"MPPE required", "server and link do not agree on MPPE of 128 bits"},
	{"timeout sending Config-Requests", "the server takes calls (TCP 1723), but none of its GRE (IP protocol 47) arrives"},
	{"No response to ", "the server no longer answers"},
	{"LCP terminated by peer", "the server has ended the session"},
	{"refused to authenticate", "the server refuses to log in by the link's way"},
}

// hear takes in one line.
func (s *story) hear(text string) {
	switch {
	case strings.HasPrefix(text, "local  IP address"):
		s.up, s.known = true, ""
	case text == "Modem hangup", strings.HasPrefix(text, "Connection terminated"), strings.HasPrefix(text, "Sent "),
		strings.HasPrefix(text, "Connect time"), text == "":
		return // these end every story
	}
	s.last = text
	if s.known != "" {
		return
	}
	for _, w := range words {
		if strings.Contains(text, w.said) {
			s.known = w.means
			return
		}
	}
	// pptp-linux, by its own log: "anon warn[open_inetsock:pptp_callmgr.c:352]: connect: No route to host".
	if _, why, ok := strings.Cut(text, "]: connect: "); ok {
		s.known = "connecting to the server: " + strings.ToLower(why)
	}
}

// The statuses of pppd that say enough by themselves; see pppd(8).
const (
	statusSignal = 5
	statusIdle   = 12
	statusAuth   = 19
)

// why is the reason of the end.
func (s *story) why(status int) string {
	switch {
	case status == statusAuth:
		return words[0].means
	case s.known != "":
		return s.known
	case status == statusSignal:
		return "pppd was told to end"
	case status == statusIdle:
		return "nothing went through it for too long"
	case s.up:
		return "the session was lost"
	case s.last != "":
		return "pppd: " + s.last
	}
	return fmt.Sprintf("pppd ended with status %d", status)
}
