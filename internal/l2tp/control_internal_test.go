package l2tp

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What xl2tpd 1.3.18 says.
const available = `00 OK
00 AVAILABLE lns.0.name=vpnctl-office-bbbbbbbb
00 AVAILABLE lns.1.name=vpnctl-office-aaaaaaaa
00 AVAILABLE lns.count=2
00 AVAILABLE lac.0.name=vpnctl-far-cccccccc
00 AVAILABLE lac.1.name=
00 AVAILABLE lac.count=2
00 AVAILABLE tunnel 0x564d837ca460, id 40138, ourtid 57293 has 1 calls and self 0x564d837cadc0
00 AVAILABLE tunnel 0x564d837cb460, id 4013, ourtid 572 has 0 calls and self 0x564d837cbdc0
00 AVAILABLE tunnel 0x564d837cc460, id 7, ourtid 8 has 0 calls and self 0x564d837ccdc0
00 AVAILABLE tunnels count=3
00 AVAILABLE calls count=0
`

func TestParseList(t *testing.T) {
	want := Loaded{LNS: []string{"vpnctl-office-bbbbbbbb", "vpnctl-office-aaaaaaaa"}, LAC: []string{"vpnctl-far-cccccccc"}}
	if diff := cmp.Diff(want, parseList(available)); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
}

func TestTunnelsOf(t *testing.T) {
	status := "00 OK\n00 STATUS tunnels.0.id=40138\n00 STATUS tunnels.0.peer=10.13.0.106:1701\n" +
		"00 STATUS tunnels.0.calls.0.id=7\n00 STATUS tunnels.1.id=4013\n00 STATUS tunnels.count=2\n"
	if diff := cmp.Diff([]string{"57293", "572"}, tunnelsOf(status, available)); diff != "" {
		t.Errorf("tunnels (-want +got):\n%s", diff)
	}
}

func TestSplit(t *testing.T) {
	var options []string
	for range 100 {
		options = append(options, "ip range = 192.168.130.100-192.168.130.200")
	}
	lines := split("z name ", options)
	var again []string
	for _, line := range lines {
		if len(line) > maxCommand {
			t.Errorf("a line of %d bytes", len(line))
		}
		rest, ok := strings.CutPrefix(line, "z name ")
		if !ok {
			t.Errorf("line is %q", line)
		}
		again = append(again, strings.Split(strings.TrimSuffix(rest, ";"), ";")...)
	}
	if diff := cmp.Diff(options, again); diff != "" || len(lines) < 4 {
		t.Errorf("%d lines hold (-want +got):\n%s", len(lines), diff)
	}
	if got := split("a name ", options[:2]); len(got) != 1 {
		t.Errorf("two options are %q", got)
	}
}

func TestRefused(t *testing.T) {
	for answer, want := range map[string]string{
		"00 OK\n": "", "00 OK: Saved value\n": "", "": "xl2tpd: no answer", "03 Configuration parse error\n": "xl2tpd: 03 Configuration parse error",
	} {
		got := ""
		if err := refused(answer); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q means %q, want %q", answer, got, want)
		}
	}
}
