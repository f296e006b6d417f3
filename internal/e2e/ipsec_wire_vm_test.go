//go:build vm

package e2e

import (
	"regexp"
	"strings"
	"testing"

	"github.com/vpnctl/vpnctl/internal/lab"
)

// wire is a capture between gateways, of everything.
type wire struct {
	t    *testing.T
	at   *lab.Host
	seen *lab.Process
}

// kinds are what a wire may show, by the words of tcpdump. What is none of them is clear.
var kinds = []struct {
	name    string
	pattern *regexp.Regexp
}{
	// AH does not hide what it carries: the first pattern counts.
	{"AH", regexp.MustCompile(`: AH\(`)},
	{"ESP in UDP", regexp.MustCompile(`UDP-encap: ESP\(`)},
	{"ESP", regexp.MustCompile(`: ESP\(`)},
	{"IKE", regexp.MustCompile(`\.(500|4500)(: | > ).*(isakmp|NONESP-encap)|\.(500|4500) > \S+\.(500|4500): `)},
	{"neighbours", regexp.MustCompile(` ARP, |ICMP6, (router|neighbor)|HBH ICMP6, multicast| > ff02::`)},
	{"marker", regexp.MustCompile(` 127\.0\.0\.1 > 127\.0\.0\.1: `)},
	{"refusal", regexp.MustCompile(`: ICMP (host |net )?\S+ (udp port \d+ )?(unreachable|net|host)`)},
}

// watchWire begins to capture on all interfaces of a host between gateways.
func watchWire(t *testing.T, at *lab.Host) *wire {
	t.Helper()
	return &wire{t: t, at: at, seen: at.Capture("any")}
}

// stop ends the capture, when all that was sent before has been seen, and returns the
// packets by their kind, those in clear as "".
func (w *wire) stop() map[string][]string {
	w.t.Helper()
	w.at.Run("ping", "-n", "-c1", "127.0.0.1")
	w.seen.Await("127.0.0.1 > 127.0.0.1: ICMP echo reply")
	packets := make(map[string][]string)
	for line := range strings.Lines(w.seen.Stop()) {
		if strings.TrimSpace(line) == "" || line[0] == '\t' || line[0] == ' ' {
			continue // goes with the line before
		}
		packets[kindOf(line)] = append(packets[kindOf(line)], line)
	}
	return packets
}

func kindOf(line string) string {
	for _, k := range kinds {
		if k.pattern.MatchString(line) {
			return k.name
		}
	}
	return ""
}

// sealed ends the capture and fails the test unless packets of the wanted kind were seen,
// and none in clear. Without a wanted kind there may have been nothing at all.
func (w *wire) sealed(want string) {
	w.t.Helper()
	packets := w.stop()
	if open := packets[""]; len(open) > 0 {
		w.t.Errorf("%d packets in clear on the wire, the first:\n%s", len(open), strings.Join(open[:min(5, len(open))], ""))
	}
	if want != "" && len(packets[want]) < 2 {
		w.t.Errorf("no packets of %s on the wire: %v", want, packets)
	}
	for _, other := range []string{"AH", "ESP", "ESP in UDP"} {
		if other != want && len(packets[other]) > 0 && want != "" {
			w.t.Errorf("%s on the wire, not %s: %s", other, want, packets[other][0])
		}
	}
}
