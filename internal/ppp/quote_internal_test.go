package ppp

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/desired"
)

func TestWords(t *testing.T) {
	tests := []struct {
		line string
		want []string
		err  bool
	}{
		{"", nil, false},
		{"  # a comment", nil, false},
		{`user * "secret" 10.0.0.1 # comment`, []string{"user", "*", "secret", "10.0.0.1"}, false},
		{`a"b c"d 'e"f' g#h`, []string{"ab cd", `e"f`, "g"}, false},
		{`\#a a\ b \x41\x4a\0101 \s\t\n\q "\""`, []string{"#a", "a b", "AJ\b1", " \t\nq", `"`}, false},
		{`"no end`, nil, true},
		{`next line\`, nil, true},
		{`"" x`, []string{"", "x"}, false},
	}
	for _, tt := range tests {
		got, err := words(tt.line)
		if diff := cmp.Diff(tt.want, got); diff != "" || (err != nil) != tt.err {
			t.Errorf("%s: %v (-want +got):\n%s", tt.line, err, diff)
		}
	}
}

func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "a", `p a#s"q\`, "ä\xff\x01\n", "'", `\101`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsRune(s, 0) {
			return // pppd's strings end there, and nothing that is quoted has one
		}
		q := quote(s)
		got, err := words(q + " x")
		if diff := cmp.Diff([]string{s, "x"}, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", q, err, diff)
		}
		for i := range len(q) {
			if q[i] < ' ' || q[i] > '~' {
				t.Errorf("%q is no plain line", q)
			}
		}
	})
}

func FuzzWords(f *testing.F) {
	f.Add(`user * "secret" \x4`)
	f.Fuzz(func(_ *testing.T, line string) { _, _ = words(line) })
}

func TestParseArgv(t *testing.T) {
	tests := []struct {
		argv string
		want Session
	}{
		{"/usr/sbin/pppd plugin pppol2tp.so pppol2tp 8 pppol2tp_lns_mode pppol2tp_tunnel_id 31415 pppol2tp_session_id 7 passive nodetach " +
			"192.168.130.1:192.168.130.100 refuse-pap auth name l2tpd file /etc/ppp/options.vpnctl-l2tp-office-2",
			Session{Protocol: desired.L2TP, Name: "office-2", Tunnel: 31415}},
		{"/usr/sbin/pppd local file /etc/ppp/options.vpnctl-pptp-legacy 115200 192.168.0.1:192.168.131.100 ipparam 10.14.0.105 plugin /usr/lib/pptpd/pptpd-logwtmp.so remotenumber 10.14.0.105",
			Session{Protocol: desired.PPTP, Name: "legacy", Outer: "10.14.0.105"}},
		{"pppd call vpnctl-pptp-legacy nodetach nopersist", Session{Protocol: desired.PPTP, Name: "legacy", Link: true}},
		{"pppd plugin pppol2tp.so pppol2tp_tunnel_id 5 file /etc/ppp/peers/vpnctl-l2tp-office", Session{Protocol: desired.L2TP, Name: "office", Link: true, Tunnel: 5}},
		{"pppd call dsl-provider", Session{}},
		{"pppd file", Session{}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, parseArgv(strings.Fields(tt.argv)), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.argv, diff)
		}
	}
}

// TestParseDatabase reads what pppd's own database has of two processes, and survives any
// damage.
func TestParseDatabase(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("TDB file\n" + strings.Repeat("\x00", 31))
	entry := func(magic uint32, key, data string) {
		head := []uint32{0, 0, uint32(len(key)), uint32(len(data)), 0, magic}
		for _, n := range head {
			_ = binary.Write(&b, binary.NativeEndian, n)
		}
		b.WriteString(key + data)
		b.Write(make([]byte, (4-b.Len()%4)%4))
	}
	entry(entryMagic, "pppd123", "DEVICE=/dev/pts/1;PPPD_PID=123;PEERNAME=user 1;VPNCTL=l2tp/office;")
	entry(0xd9fee666, "pppd124", "PPPD_PID=124;PEERNAME=gone;")
	entry(entryMagic, "IFNAME=ppp0", "pppd123")
	entry(entryMagic, "pppd125", "PPPD_PID=125;VPNCTL_LINK=1;VPNCTL_USER=branch;")
	got := parseDatabase(b.Bytes())
	want := map[int]record{123: {object: "l2tp/office", user: "user 1", pid: 123}, 125: {link: true, user: "branch", pid: 125}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(record{})); diff != "" {
		t.Errorf("database (-want +got):\n%s", diff)
	}
	for n := range b.Len() {
		parseDatabase(b.Bytes()[:n])
	}
}
