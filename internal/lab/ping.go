package lab

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Ping waits until dst answers, and fails the test when it does not within ten
// seconds (longer in the virtual machine). Options are those of ping(8).
func (h *Host) Ping(dst string, opts ...string) {
	h.t.Helper()
	h.Eventually(10*time.Second, func() error {
		// With -w, ping goes on after a loss, and ends at the first answer.
		out, err := h.ping(dst, append(opts, "-c1", "-i0.2", "-w3"))
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	})
}

// Unreachable fails the test when dst answers one of three pings.
func (h *Host) Unreachable(dst string, opts ...string) {
	h.t.Helper()
	out, err := h.ping(dst, append(opts, "-c3", "-i0.2", "-W1"))
	if err == nil {
		h.t.Fatalf("pinging %s on %s: answered\n%s", dst, h.name, out)
	}
	// No answer is what was asked for, an unknown host or option is not.
	if !strings.Contains(out, "packets transmitted") && !strings.Contains(err.Error(), "unreachable") {
		h.t.Fatalf("%v\n%s", err, out)
	}
}

// ping runs ping(8).
func (h *Host) ping(dst string, opts []string) (string, error) {
	return h.Try(slices.Concat([]string{"ping", "-n"}, opts, []string{dst})...)
}

// Pinging is a ping in the background, to see what a change costs.
type Pinging struct {
	p *Process
}

// Loss is the result of a background ping.
type Loss struct {
	Sent, Lost int
}

// String formats the loss for a message.
func (l Loss) String() string { return fmt.Sprintf("%d of %d pings lost", l.Lost, l.Sent) }

// PingLoop pings dst five times a second until Stop. It returns when the first
// answer has come.
func (h *Host) PingLoop(dst string, opts ...string) *Pinging {
	h.t.Helper()
	p := h.Start(slices.Concat([]string{"ping", "-n", "-i0.2"}, opts, []string{dst})...)
	p.Await("icmp_seq=")
	return &Pinging{p}
}

// Await waits for n further answers, so that the pings span what comes before
// and after a change.
func (p *Pinging) Await(n int) {
	p.p.host.t.Helper()
	want := answers(p.p.Output()) + n
	err := Await(time.Duration(n)*200*time.Millisecond+10*time.Second, func() error {
		if have := answers(p.p.Output()); have < want {
			return fmt.Errorf("%d of %d answers", have, want)
		}
		return nil
	})
	if err != nil {
		p.p.host.t.Fatalf("pinging on %s: %v\n%s", p.p.host.name, err, p.p.Output())
	}
}

// answers counts the answers in the output of ping.
func answers(out string) int { return strings.Count(out, " time=") }

// Stop ends the ping and returns how many were lost.
func (p *Pinging) Stop() Loss {
	p.p.host.t.Helper()
	// At SIGINT ping prints its summary.
	out := p.p.stop(syscall.SIGINT)
	l, err := parseLoss(out)
	if err != nil {
		p.p.host.t.Fatalf("reading ping on %s: %v\n%s", p.p.host.name, err, out)
	}
	return l
}

var (
	summary = regexp.MustCompile(`(\d+) packets transmitted, (\d+) received`)
	answer  = regexp.MustCompile(`icmp_seq=(\d+) .*time=`)
)

// parseLoss reads the output of ping.
func parseLoss(out string) (Loss, error) {
	m := summary.FindStringSubmatch(out)
	if m == nil {
		return Loss{}, fmt.Errorf("no summary")
	}
	sent, _ := strconv.Atoi(m[1])
	received, _ := strconv.Atoi(m[2])
	last := 0
	for _, a := range answer.FindAllStringSubmatch(out, -1) {
		seq, _ := strconv.Atoi(a[1])
		last = max(last, seq)
	}
	if last == sent-1 {
		// The very last one was under way when ping ended: not lost.
		sent--
	}
	return Loss{Sent: sent, Lost: sent - received}, nil
}
