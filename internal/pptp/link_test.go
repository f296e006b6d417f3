package pptp_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/pptp"
	"github.com/vpnctl/vpnctl/internal/reason"
)

// attempt is what one pppd says, and its status.
type attempt struct {
	says   string
	status int
}

// dial runs a Dialer through some attempts; it returns how long it waited after each, and
// the reason that it then had.
func (r *rig) dial(attempts ...attempt) (pauses []time.Duration, reasons, commands []string) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	d := pptp.Dialer{
		Name: "home", Files: r.w.Files, Processes: r.w, Reasons: r.reasons,
		Attend: func(_ context.Context, argv []string, line func(string)) (int, error) {
			commands = append(commands, strings.Join(argv, " "))
			for text := range strings.Lines(attempts[0].says) {
				line(strings.TrimSuffix(text, "\n"))
			}
			return attempts[0].status, nil
		},
		Sleep: func(_ context.Context, p time.Duration) {
			pauses, reasons = append(pauses, p), append(reasons, r.backend().Reason("home"))
			if attempts = attempts[1:]; len(attempts) == 0 {
				cancel()
			}
		},
	}
	if err := d.Run(ctx); err != nil {
		r.t.Fatal(err)
	}
	return pauses, reasons, commands
}

const wentUp = "Using interface ppp0\nlocal  IP address 192.168.131.100\nremote IP address 192.168.0.1\n"

func TestDial(t *testing.T) {
	r := newRig(t, false)
	r.w.Away = true
	r.apply(linked(nil))
	away := attempt{"Using interface ppp0\nanon warn[open_inetsock:pptp_callmgr.c:352]: connect: No route to host\n" +
		"anon fatal[callmgr_main:pptp_callmgr.c:134]: Could not open control connection to 10.14.0.99\nModem hangup\nConnection terminated.\n", 16}
	pauses, reasons, commands := r.dial(away, away, away, away, away, away, away,
		attempt{wentUp + "No response to 3 echo-requests\nSerial link appears to be disconnected.\nConnection terminated.\n", 15}, away)
	want := []time.Duration{2, 4, 8, 16, 32, 60, 60, 2, 4}
	for i := range want {
		want[i] *= time.Second
	}
	if diff := cmp.Diff(want, pauses); diff != "" {
		t.Errorf("pauses (-want +got):\n%s", diff)
	}
	const noRoute = "connecting to the server: no route to host"
	if diff := cmp.Diff([]string{noRoute, "the server no longer answers", noRoute}, reasons[6:]); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
	if !strings.HasPrefix(commands[0], "pppd call vpnctl-pptp-home nodetach nopersist set VPNCTL_OPTIONS=") {
		t.Errorf("pppd runs as %s", commands[0])
	}
}

func TestReasons(t *testing.T) {
	for _, tt := range []struct {
		attempt
		want string
	}{
		{attempt{"Connect: ppp0 <--> /dev/pts/0\nCHAP authentication failed: Access denied\nConnection terminated.\n", 19}, "the server refuses user or password"},
		{attempt{"", 19}, "the server refuses user or password"},
		{
			attempt{"CHAP authentication succeeded\nLCP terminated by peer (MPPE required but peer refused)\nModem hangup\n", 16},
			"server and link do not agree on MPPE of 128 bits",
		},
		{
			attempt{"LCP: timeout sending Config-Requests\nConnection terminated.\nModem hangup\n", 16},
			"the server takes calls (TCP 1723), but none of its GRE (IP protocol 47) arrives",
		},
		{attempt{wentUp + "LCP terminated by peer\nModem hangup\n", 16}, "the server has ended the session"},
		{attempt{wentUp + "Modem hangup\n", 16}, "the session was lost"},
		{attempt{wentUp, 5}, "pppd was told to end"},
		{attempt{wentUp, 12}, "nothing went through it for too long"},
		{attempt{"Couldn't open the /dev/ppp device\n", 4}, "pppd: Couldn't open the /dev/ppp device"},
		{attempt{"", 1}, "pppd ended with status 1"},
	} {
		r := newRig(t, false)
		r.w.Away = true
		r.apply(linked(nil))
		if _, reasons, _ := r.dial(tt.attempt); !slices.Equal(reasons, []string{tt.want}) {
			t.Errorf("%q, %d: reasons are %q, want %q", tt.says, tt.status, reasons, tt.want)
		}
	}
}

// TestAdoptSession: a pppd whose process of vpnctl was killed goes on, and is waited for.
func TestAdoptSession(t *testing.T) {
	r := newRig(t, false)
	r.apply(linked(nil))
	r.w.KillLink("home")
	slept := 0
	d := pptp.Dialer{Name: "home", Files: r.w.Files, Processes: r.w, Reasons: r.reasons,
		Attend: func(context.Context, []string, func(string)) (int, error) {
			t.Error("a second pppd is started")
			return 0, nil
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	d.Sleep = func(context.Context, time.Duration) {
		if slept++; slept == 3 {
			cancel()
		}
	}
	if err := d.Run(ctx); err != nil || slept != 3 {
		t.Errorf("slept %d times, %v", slept, err)
	}
}

// TestReasonGoes: a link that is gone, or begun anew, has no reason left.
func TestReasonGoes(t *testing.T) {
	r := newRig(t, false)
	put := func() {
		if err := r.reasons.Put(reason.Key{Connection: "pptp:home", Child: "link"}, reason.Reason{Text: "why"}); err != nil {
			t.Fatal(err)
		}
	}
	put()
	r.apply(linked(nil))
	if why := r.backend().Reason("home"); why != "" {
		t.Errorf("of a new link it is known that %q", why)
	}
	put()
	r.apply(none)
	if why := r.backend().Reason("home"); why != "" {
		t.Errorf("of a link that is gone it is known that %q", why)
	}
}
