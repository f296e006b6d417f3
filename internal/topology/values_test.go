package topology

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/secret"
)

// parsed returns what a parser made of a text, or why it refuses.
func parsed[T any](parse func(string) (T, error)) func(string) string {
	return func(s string) string {
		v, err := parse(s)
		if err != nil {
			return "! " + err.Error()
		}
		return fmt.Sprint(v)
	}
}

func TestValues(t *testing.T) {
	tests := []struct {
		name  string
		parse func(string) string
		// want maps texts to what they are, or to "! why not".
		want map[string]string
	}{
		{"selectors", parsed(ParseSelector), map[string]string{
			"10.1.2.3/16":                 "10.1.0.0/16",
			"10.1.2.3":                    "10.1.2.3/32",
			"10.0.0.1-10.0.0.9[tcp]":      "10.0.0.1-10.0.0.9[tcp]",
			"fd00::/8[17/domain]":         "fd00::/8[17/53]",
			"dynamic":                     "dynamic",
			"dynamic[/443]":               "dynamic[/443]",
			"dynamic[any/any]":            "dynamic",
			"10.0.0.0/8[tcp/1024-2048]":   "10.0.0.0/8[tcp/1024-2048]",
			"10.0.0.0/8[gre/opaque]":      "10.0.0.0/8[gre/opaque]",
			"10.0.0.0/8[tcp/2048-1024]":   "! names no port: use a number, a range such as 1024-2048, or opaque",
			"10.0.0.0/8[tcp/70000]":       "! names no port: use a number, a range such as 1024-2048, or opaque",
			"10.0.0.0/8[300]":             "! names an unknown protocol: use tcp, udp, icmp, gre, … or a number",
			"10.0.0.0/8[tcp":              "! does not end with ]",
			"%dynamic":                    "! is no traffic selector such as 10.1.0.0/16, 10.1.0.0/16[tcp/80] or dynamic",
			"10.0.0.9-10.0.0.1":           "! ends before it begins",
			"10.0.0.9-x":                  "! is no range such as 10.0.0.10-10.0.0.20",
			"0.0.0.0/0[udp/%any]":         "! names the port %any: any port is what [udp] alone means",
			"::ffff:10.0.0.0/104[tcp/80]": "! is no traffic selector such as 10.1.0.0/16, 10.1.0.0/16[tcp/80] or dynamic",
		}},
		{"endpoints", parsed(parseEndpoint), map[string]string{
			"vpn.example.net:51820": "vpn.example.net:51820",
			"192.0.2.1:1":           "192.0.2.1:1",
			"[2001:db8::1]:7":       "[2001:db8::1]:7",
			"2001:db8::1:7":         "! is no endpoint: an IPv6 address goes in brackets, as in [2001:db8::1]:51820",
			"vpn.example.net":       "! is no endpoint such as vpn.example.net:51820",
			"vpn.example.net:0":     "! is no endpoint such as vpn.example.net:51820",
			"vpn.example.net:65536": "! is no endpoint such as vpn.example.net:51820",
			"[2001:db8::1:7":        "! is no endpoint such as vpn.example.net:51820",
			"10.0.0.300:7":          "! is neither an IP address nor a DNS name",
			"0.0.0.0:7":             "! is the address of no single machine",
		}},
		{"prefixes", parsed(parsePrefix), map[string]string{
			"10.0.0.0/8":          "10.0.0.0/8",
			"10.0.0.1":            "10.0.0.1/32",
			"fd00::1":             "fd00::1/128",
			"::ffff:10.0.0.1":     "10.0.0.1/32",
			"::ffff:10.0.0.1/128": "! is no prefix such as 10.0.0.0/24",
			"fe80::1%eth0":        "! is no prefix such as 10.0.0.0/24",
			"10.0.0.0/08":         "! is no prefix such as 10.0.0.0/24",
			"10.0.0/8":            "! is no prefix such as 10.0.0.0/24",
		}},
		{"addresses", parsed(parseAddr), map[string]string{
			"192.0.2.1":        "192.0.2.1",
			"::ffff:192.0.2.1": "192.0.2.1",
			"224.0.0.1":        "! is the address of no single machine",
			"255.255.255.255":  "! is the address of no single machine",
			"::":               "! is the address of no single machine",
			"fe80::1%eth0":     "! has a zone, and nothing here is bound to one interface",
			"192.0.2":          "! is no IP address",
		}},
		{"ranges", parsed(parseRange), map[string]string{
			"10.0.0.1-10.0.0.9":    "10.0.0.1-10.0.0.9",
			"10.0.0.1 - 10.0.0.1":  "10.0.0.1",
			"10.0.0.1":             "10.0.0.1",
			"10.0.0.1-fd00::1":     "! begins and ends in different address families",
			"10.0.0.1-":            "! is no range such as 10.0.0.10-10.0.0.20",
			"10.0.0.10-20":         "! is no range such as 10.0.0.10-10.0.0.20",
			"10.0.0.0/24":          "! is no range such as 10.0.0.10-10.0.0.20",
			"fd00::1-fd00::ffff:1": "fd00::1-fd00::ffff:1",
		}},
		{"durations", parsed(parseDuration), map[string]string{
			"25s": "25s", "90m": "1h30m0s", "7d": "168h0m0s", "0": "0s",
			"7": `! time: missing unit in duration "7"`,
		}},
	}
	for _, tt := range tests {
		for text, want := range tt.want {
			if diff := cmp.Diff(want, tt.parse(text)); diff != "" {
				t.Errorf("%s %q (-want +got):\n%s", tt.name, text, diff)
			}
		}
	}
}

func TestSettings(t *testing.T) {
	top := load(t, `
ipsec:
  x:
    ends: {a: {}, b: {}}
    auth: {psk: {env: P}}
    mobike: no
    fragmentation: true
    reauth_time: 90m
    over_time: 0
    keyingtries: 007
    local_port: 4500
    ppk_id: "a b"
    dscp: "000000"
    life_bytes: 500m
    mark_out: "%unique"
    copy_df: "yes"
    life_packets: 1000000
`)
	want := []Setting{
		{"dscp", "000000"}, {"fragmentation", "yes"}, {"keyingtries", "7"}, {"local_port", "4500"}, {"mobike", "no"},
		{"over_time", "0s"}, {"ppk_id", "a b"}, {"reauth_time", "5400s"},
	}
	if diff := cmp.Diff(want, top.IPsec[0].Settings); diff != "" {
		t.Errorf("of the connection (-want +got):\n%s", diff)
	}
	want = []Setting{{"copy_df", "yes"}, {"life_bytes", "500m"}, {"life_packets", "1000000"}, {"mark_out", "%unique"}}
	if diff := cmp.Diff(want, top.IPsec[0].Children[0].Settings); diff != "" {
		t.Errorf("of its child (-want +got):\n%s", diff)
	}
}

func TestHostNames(t *testing.T) {
	for name, want := range map[string]bool{
		"gw1": true, "gw1.example.net": true, "gw1.example.net.": true, "_x._tcp.example.net": true,
		"": false, ".": false, "a..b": false, "-a": false, "a-": false, "1.2.3": false, "10.0.0.1": false,
		strings.Repeat("a", 64): false, strings.Repeat("a.", 126) + "a": true, strings.Repeat("a.", 127) + "a": false,
	} {
		if isHostName(name) != want {
			t.Errorf("isHostName(%q) = %v", name, !want)
		}
	}
}

func TestStartActionsHaveTheirDPDAction(t *testing.T) {
	for start, want := range map[StartAction]DPDAction{StartStart: DPDRestart, StartTrap: DPDTrap, StartNone: DPDClear} {
		if got := start.DPDAction(); got != want {
			t.Errorf("%s goes with %s, want %s", start, got, want)
		}
	}
}

func TestPPPPasswordsAtTheirLimits(t *testing.T) {
	long := strings.Repeat("x", 255)
	for text, want := range map[string]string{
		long: "", long + "x": "is longer than 255 bytes, and pppd reads no more",
		" \"\\#*": "", "@": "", "@/": "begins with @/, which pppd takes for the name of a file",
		"a\x00b": "has a line break or another control character, which chap-secrets cannot carry",
	} {
		got := ""
		if err := PPPPassword(secret.New([]byte(text))); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("PPPPassword(%d bytes) = %q, want %q", len(text), got, want)
		}
	}
}

func TestPAPSecrets(t *testing.T) {
	for text, want := range map[string]string{
		" \"\\#*": "", "@login2": "", "": "is empty, and pppd's PAP takes any password for that",
		"pässwörd": "is not ASCII, and pppd's PAP refuses it: take pap out of auth",
		"@login":   "is @login, for which pppd's PAP takes the password of this host's own user",
	} {
		got := ""
		if err := PAPSecret(secret.New([]byte(text))); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("PAPSecret(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestDurationsAreWholeSecondsInBounds(t *testing.T) {
	for text, want := range map[string]string{
		"1500ms": `"1500ms" is not allowed: use whole seconds, none below zero`,
		"-5s":    `"-5s" is not allowed: use whole seconds, none below zero`,
		"60000d": `"60000d" is not allowed: use whole seconds, none below zero`,
		"49710d": "",
	} {
		_, errs, _ := parseText(t, head+"ipsec: {x: {ends: {a: {}, b: {}}, auth: {psk: {env: P}}, ike_rekey: "+text+"}}\n")
		got := ""
		if len(errs) == 1 {
			_, got, _ = strings.Cut(errs[0], "ike_rekey: ")
		}
		if got != want || len(errs) > 1 {
			t.Errorf("%s: %q, want %q", text, errs, want)
		}
	}
	if maxDuration < 49710*24*time.Hour {
		t.Error("the bound is lower than the test believes")
	}
}
