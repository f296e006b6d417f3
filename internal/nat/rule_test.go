package nat

import (
	"maps"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSpellings: what one kind or version of iptables prints and another prints
// differently is the same rule.
func TestSpellings(t *testing.T) {
	for name, pair := range map[string][2]string{
		"order of options": {
			"-s 10.0.0.0/16 -o ens224 -m comment --comment x -j MASQUERADE",
			"-o ens224 -s 10.0.0.0/16 -m comment --comment x -j MASQUERADE",
		},
		"order of matches": {
			"-m comment --comment x -m policy --pol ipsec --dir out -j ACCEPT",
			"-m policy --dir out --pol ipsec -m comment --comment x -j ACCEPT",
		},
		"mask":             {"-s 10.0.0.0/255.255.0.0 -j ACCEPT", "-s 10.0.0.0/16 -j ACCEPT"},
		"host":             {"-d 10.0.0.1 -j ACCEPT", "-d 10.0.0.1/32 -j ACCEPT"},
		"host, IPv6":       {"-d FD00::1 -j ACCEPT", "-d fd00::1/128 -j ACCEPT"},
		"bits of the host": {"-d 10.0.7.1/16 -j ACCEPT", "-d 10.0.0.0/16 -j ACCEPT"},
		"any":              {"-s 0.0.0.0/0 -i + -p all -j ACCEPT", "-j ACCEPT"},
		"any, IPv6":        {"-s ::/0 -j ACCEPT", "-j ACCEPT"},
		"long options":     {"--source 10.0.0.1 --in-interface a --jump DROP", "-s 10.0.0.1/32 -i a -j DROP"},
		"negation":         {"! -i wg0 -d 10.0.0.1/32 -j DROP", "-d 10.0.0.1/32 ! -i wg0 -j DROP"},
		"protocol by number": {
			"-p 17 -m udp --dport 53 -j ACCEPT",
			"-p udp -m udp --dport 53 -j ACCEPT",
		},
		"protocol as match": {"-p udp --dport 53 -j ACCEPT", "-p udp -m udp --dport 53 -j ACCEPT"},
		"flags": {
			"-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",
			"-p tcp -m tcp --tcp-flags RST,SYN SYN -j TCPMSS --clamp-mss-to-pmtu",
		},
		"syn":         {"-p tcp --syn -j DROP", "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j DROP"},
		"states":      {"-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"},
		"mark":        {"-m mark --mark 51820 -j ACCEPT", "-m mark --mark 0xca6c/0xffffffff -j ACCEPT"},
		"masks":       {"-j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff", "-j CONNMARK --save-mark"},
		"quotes":      {`-m comment --comment "x" -j ACCEPT`, `-m comment --comment x -j ACCEPT`},
		"escapes":     {`-m comment --comment "a \'b" -j ACCEPT`, `-m comment --comment "a 'b" -j ACCEPT`},
		"counters":    {"-c 4 336 -j ACCEPT", "-j ACCEPT"},
		"white space": {"  -s 10.0.0.1\t-j  ACCEPT", "-s 10.0.0.1/32 -j ACCEPT"},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := mustParse(t, pair[0]), mustParse(t, pair[1])
			if diff := cmp.Diff(a, b); diff != "" {
				t.Error(diff)
			}
			if a.String() != b.String() {
				t.Errorf("equal rules render as\n%s\n%s", a, b)
			}
		})
	}
}

// TestDistinct: what looks alike and means something else.
func TestDistinct(t *testing.T) {
	for name, pair := range map[string][2]string{
		"negation":     {"-i wg0 -j DROP", "! -i wg0 -j DROP"},
		"bare match":   {"-m ah -j ACCEPT", "-j ACCEPT"},
		"direction":    {"-s 10.0.0.1 -j DROP", "-d 10.0.0.1 -j DROP"},
		"target":       {"-j MASQUERADE", "-j MASQUERADE --random"},
		"mask of mark": {"-m mark --mark 1/1 -j DROP", "-m mark --mark 1 -j DROP"},
		"mask":         {"-j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff", "-j CONNMARK --save-mark"},
		"comment":      {`-m comment --comment "a b" -j ACCEPT`, `-m comment --comment "a  b" -j ACCEPT`},
		"repetition":   {"-m set --match-set a src -j DROP", "-m set --match-set a src -m set --match-set b dst -j DROP"},
		"jump":         {"-j X", "-g X"},
	} {
		t.Run(name, func(t *testing.T) {
			if a, b := mustParse(t, pair[0]), mustParse(t, pair[1]); maps.Equal(a, b) || a.String() == b.String() {
				t.Errorf("both are %q", a)
			}
		})
	}
}

func TestRepeatedMatch(t *testing.T) {
	const spec = "-m set --match-set a src -m set ! --match-set b dst -m set --match-set c dst -j DROP"
	want := "-m set --match-set a src -m set ! --match-set b dst -m set --match-set c dst -j DROP"
	if got := mustParse(t, spec).String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestUnreadable: what is no address or mark stays as it was.
func TestUnreadable(t *testing.T) {
	for _, spec := range []string{
		"-s 10.0.0.0/255.0.255.0 -j ACCEPT", "-s 10.0.0.0/99 -j ACCEPT", "-s host.example.net -j ACCEPT", "-p sctp -j ACCEPT",
		"-m mark --mark x -j ACCEPT", "-m mark --mark 1/x -j ACCEPT", "-m mark --mark 0x1/0xff -j ACCEPT",
	} {
		if got := mustParse(t, spec).String(); got != spec {
			t.Errorf("%s becomes %s", spec, got)
		}
	}
}

// TestComment: a comment is one line of at most 255 bytes.
func TestComment(t *testing.T) {
	r := rule{}
	r.setComment("nat/a\nb/" + strings.Repeat("x", 300))
	if got, want := r.comment(), "nat/a?b/"+strings.Repeat("x", 247); got != want {
		t.Errorf("got %q", got)
	}
}

func TestParseRuleErrors(t *testing.T) {
	for _, spec := range []string{`-m comment --comment "a`, `-m comment --comment "a\`} {
		if r, err := parseRule(spec); err == nil {
			t.Errorf("%s: parsed as %v", spec, r)
		}
	}
}

func mustParse(t *testing.T, spec string) rule {
	t.Helper()
	r, err := parseRule(spec)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// FuzzRule: what is rendered is read back as it was.
func FuzzRule(f *testing.F) {
	f.Add("nat/linux2/rule/10.0.0.0/16->ens224", "ens224", "10.0.0.0/16", uint16(53), false)
	f.Add(`a "b\" c'`, "eth0.100", "fd00::/64", uint16(0), true)
	f.Add("-j ACCEPT", "!", "0.0.0.0/0", uint16(1), true)
	f.Fuzz(func(t *testing.T, comment, in, source string, port uint16, not bool) {
		want := rule{optProto: "udp", "udp --dport": normalMark(string(rune('0' + port%10))), optJump: "SNAT", "SNAT --to-source": "203.0.113.5"}
		want.setComment(comment)
		if in != "" && in != "+" && strings.IndexFunc(in, func(c rune) bool { return c < ' ' }) < 0 {
			key := optIn
			if not {
				key = "! " + optIn
			}
			want[key] = quote(in)
		}
		if p, err := netip.ParsePrefix(source); err == nil && p.Bits() > 0 && p.Addr().Zone() == "" {
			want[optSource] = p.Masked().String()
		}
		got, err := parseRule(want.String())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", want, diff)
		}
	})
}

// FuzzParseRule: whatever a foreign rule looks like, reading it ends, and no rule reads as
// ours by accident.
func FuzzParseRule(f *testing.F) {
	f.Add("-s 10.0.0.0/16 -o ens224 -m comment --comment x -j MASQUERADE")
	f.Add(`-A X ! -i wg0 -d 10.0.0.1/32 -m addrtype ! --src-type LOCAL -j DROP`)
	f.Add(`-m string --string "a b" --algo bm --hex-string "|0a|" -j DROP`)
	f.Add("! ! - -m -m -j")
	f.Fuzz(func(t *testing.T, spec string) {
		r, err := parseRule(spec)
		if err != nil {
			return
		}
		if _, ours := jumpTo(spec); ours && !strings.Contains(spec, jumpComment) {
			t.Errorf("%s is taken for our jump: %v", spec, r)
		}
		if again, err := parseRule(r.String()); err == nil && again.comment() != r.comment() && r[optComment] != "" {
			t.Errorf("%q: comment %q becomes %q", spec, r.comment(), again.comment())
		}
	})
}

// FuzzSplit: words put together with single blanks are the same words.
func FuzzSplit(f *testing.F) {
	f.Add(`-A X -m comment --comment "a \"b\" c" -j ACCEPT`)
	f.Add(`a"b c"d  e`)
	f.Fuzz(func(t *testing.T, line string) {
		words, err := split(line)
		if err != nil {
			return
		}
		again, err := split(strings.Join(words, " "))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(words, again); diff != "" {
			t.Error(diff)
		}
		for _, w := range words {
			if got := unquote(quote(unquote(w))); got != unquote(w) {
				t.Errorf("%q quoted and unquoted is %q", unquote(w), got)
			}
		}
	})
}
