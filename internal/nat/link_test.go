package nat_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/nat"
	"github.com/vpnctl/vpnctl/internal/nat/nattest"
)

const linkRules = `-A VPNCTL-FORWARD -s 10.10.0.0/24 -d 10.14.0.0/24 -o ipsec0 -p tcp -m tcp --tcp-flags SYN,RST SYN -m comment --comment "nat/linux2/clamp/ipsec/hq" -j TCPMSS --clamp-mss-to-pmtu
-A VPNCTL-FORWARD -s 10.14.0.0/24 -d 10.10.0.0/24 -i ipsec0 -p tcp -m tcp --tcp-flags SYN,RST SYN -m comment --comment "nat/linux2/clamp/ipsec/hq" -j TCPMSS --clamp-mss-to-pmtu
-A VPNCTL-GUARD-FORWARD -s 10.10.0.0/24 -d 10.14.0.0/24 ! -o ipsec0 -m comment --comment "nat/linux2/guard/hq" -j DROP
-A VPNCTL-GUARD-OUTPUT -s 10.10.0.0/24 -d 10.14.0.0/24 ! -o ipsec0 -m comment --comment "nat/linux2/guard/hq" -j DROP
-A VPNCTL-POSTROUTING -o ipsec0 -m comment --comment "nat/linux2/exempt/ipsec" -j ACCEPT
-A VPNCTL-POSTROUTING -s 10.10.0.0/24 -d 10.14.0.0/24 -m comment --comment "nat/linux2/exempt/hq" -j ACCEPT
-A VPNCTL-FORWARD -s 10.10.0.0/24 -d 10.14.0.0/24 -o ipsec0 -m comment --comment "nat/linux2/forward/ipsec/hq" -j ACCEPT
-A VPNCTL-FORWARD -s 10.14.0.0/24 -d 10.10.0.0/24 -i ipsec0 -m comment --comment "nat/linux2/forward/ipsec/hq" -j ACCEPT
-A VPNCTL-INPUT -i ipsec0 -m comment --comment "nat/linux2/inner/ipsec0" -j ACCEPT
-A VPNCTL-OUTPUT -o ipsec0 -m comment --comment "nat/linux2/inner/ipsec0" -j ACCEPT
`

// TestLink: where charon encrypts itself, nothing asks for a policy of the kernel, and
// everything for its link.
func TestLink(t *testing.T) {
	local, remote := netip.MustParsePrefix("10.10.0.0/24"), netip.MustParsePrefix("10.14.0.0/24")
	n := desired.Netfilter{
		Guards:  []desired.Guard{{Object: "nat/linux2/guard/hq", Source: local, Dest: remote}},
		Exempts: []desired.Exempt{{Object: "nat/linux2/exempt/hq", Source: local, Dest: remote}},
		Forwards: []desired.Forward{
			{Object: "nat/linux2/forward/ipsec/hq", From: local, To: remote, IPsec: "out"},
			{Object: "nat/linux2/forward/ipsec/hq", From: remote, To: local, IPsec: "in"},
		},
		Clamps:     []desired.Clamp{{Object: "nat/linux2/clamp/ipsec/hq", Local: local, Remote: remote, MSS: 1366}},
		InnerIPsec: []desired.Inner{{Object: "nat/linux2/inner/ipsec/hq", Remote: remote}},
	}
	m := newMachine(nat.NFT)
	m.config.Link = func(*desired.State) string { return "ipsec0" }
	want := state(n)
	m.mustApply(t, want)
	v4, _, _ := strings.Cut(m.Host.String(), "# ip6 ")
	var got strings.Builder
	for line := range strings.Lines(v4) {
		if strings.HasPrefix(line, "-A VPNCTL") && !strings.Contains(line, "-j RETURN") {
			got.WriteString(line)
		}
	}
	if diff := cmp.Diff(linkRules, got.String()); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	if p, err := m.plan(want); err != nil || len(p.Steps) > 0 {
		t.Errorf("plans %v, %v", p, err)
	}
	m.mustApply(t, nothing())
	if diff := cmp.Diff(nattest.New(nat.NFT).String(), m.Host.String()); diff != "" {
		t.Errorf("after all (-want +got):\n%s", diff)
	}
}
