package wireguard_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/rtnl"
	"github.com/vpnctl/vpnctl/internal/wireguard/wireguardtest"
)

// TestPlanText compares states with hosts, and shows what an operator reads.
func TestPlanText(t *testing.T) {
	r := newRig(t)
	alice, bob := wireguardtest.Key(100).PublicKey(), wireguardtest.Key(101).PublicKey()
	live := func(h *wireguardtest.Host) {
		h.Handshake("", "wg0", alice, netip.MustParseAddrPort("198.51.100.1:7"), h.Time.Add(-time.Minute))
		h.Handshake("", "wg0", bob, netip.MustParseAddrPort("198.51.100.2:7"), h.Time.Add(-5*time.Minute))
	}
	for _, tt := range []struct {
		name  string
		have  *desired.State
		drift func(h *wireguardtest.Host)
		want  *desired.State
		text  string
	}{
		{
			name: "create", have: state(), want: state(r.wg0(r.psk(1, 200), dns([]string{"10.0.0.53"}, "example.net"))),
			text: `+ wireguard/wg0
    addresses: 10.0.0.1/24
    dns: 10.0.0.53, example.net
    listen_port: 51820
    mtu: 1420
    private_key: (secret)
+ wireguard/wg0/peer/alice
    allowed_ips: 10.0.0.2/32, 10.13.0.0/16
    endpoint: 192.0.2.7:51820
+ wireguard/wg0/peer/bob
    allowed_ips: 10.0.0.3/32, 10.14.0.0/16, 10.15.0.0/16
    preshared_key: (secret)
+ route/10.13.0.0/16
    dev: wg0
+ route/10.14.0.0/16
    dev: wg0
+ route/10.15.0.0/16
    dev: wg0
plan: 6 to create, 0 to update, 0 to delete; 0 disruptive
`,
		},
		{
			name: "the same in another order", have: state(r.wg0()),
			want: state(r.wg0(func(i *desired.Interface) { slices.Reverse(i.Peers) }, allowed(0, "10.15.0.0/16", "10.0.0.3/32", "10.14.0.0/16"))),
			text: "no changes\n",
		},
		{
			name: "a peer that roamed", have: state(r.wg0()), drift: live, want: state(r.wg0()),
			text: "no changes\n",
		},
		{
			name: "a name that does not resolve", have: state(r.wg0()), want: state(r.wg0(endpoint("gone.example.net", 1))),
			text: "no changes\n",
		},
		{
			name: "endpoint after a handshake", have: state(r.wg0()), drift: live, want: state(r.wg0(endpoint("192.0.2.8", 1))),
			text: `~ wireguard/wg0/peer/alice
    endpoint: 198.51.100.1:7 -> 192.0.2.8:1
plan: 0 to create, 1 to update, 0 to delete; 0 disruptive
`,
		},
		{
			name: "preshared key and keepalive go", want: state(r.wg0()),
			have: state(r.wg0(r.psk(0, 200), peerN(0, func(p *desired.Peer) { p.PersistentKeepalive = 25 * time.Second }))),
			text: `~ wireguard/wg0/peer/alice (takes effect once the other end applies too)
    persistent_keepalive: 25s -> (none)
    preshared_key: (secret) -> (none)
plan: 0 to create, 1 to update, 0 to delete; 0 disruptive
`,
		},
		{
			name: "a peer's key", have: state(r.wg0()), drift: live,
			want: state(r.wg0(peerN(0, func(p *desired.Peer) { p.PublicKey = wireguardtest.Key(103).PublicKey() }))),
			text: `~ wireguard/wg0/peer/alice (takes effect once the other end applies too)
    endpoint: 198.51.100.1:7 -> 192.0.2.7:51820
    public_key: ` + alice.String() + ` -> ` + wireguardtest.Key(103).PublicKey().String() + `
    ! changes the public key: ends 1 session (alice 198.51.100.1:7)
plan: 0 to create, 1 to update, 0 to delete; 1 disruptive
`,
		},
		{
			name: "settings", have: state(r.wg0()), drift: live,
			want: state(r.wg0(port(51999), mtu(1400), addresses("10.0.0.8/24"), func(i *desired.Interface) {
				i.FirewallMark = 7
			})),
			text: `~ wireguard/wg0
    addresses: 10.0.0.1/24 -> 10.0.0.8/24
    fwmark: (none) -> 7
    listen_port: 51820 -> 51999
    mtu: 1420 -> 1400
    ! changes the listen port: ends 1 session (alice 198.51.100.1:7)
plan: 0 to create, 1 to update, 0 to delete; 1 disruptive
`,
		},
		{
			name: "allowed IP that moves", have: state(r.wg0()),
			want: state(r.wg0(allowed(0, "10.0.0.2/32"), allowed(1, "10.0.0.3/32", "10.13.0.0/16", "10.14.0.0/16", "10.15.0.0/16"))),
			text: `~ wireguard/wg0/peer/alice
    allowed_ips: 10.0.0.2/32, 10.13.0.0/16 -> 10.0.0.2/32
~ wireguard/wg0/peer/bob
    allowed_ips: 10.0.0.3/32, 10.14.0.0/16, 10.15.0.0/16 -> 10.0.0.3/32, 10.13.0.0/16, 10.14.0.0/16, 10.15.0.0/16
plan: 0 to create, 2 to update, 0 to delete; 0 disruptive
`,
		},
		{
			name: "full tunnel", have: state(r.wg0()), want: state(r.wg0(allowed(0, "10.0.0.2/32", "0.0.0.0/0"))),
			text: `~ wireguard/wg0
    fwmark: (none) -> 51820
~ wireguard/wg0/peer/alice
    allowed_ips: 10.0.0.2/32, 10.13.0.0/16 -> 0.0.0.0/0, 10.0.0.2/32
+ route/0.0.0.0/0/table/51820
    dev: wg0
+ rule/ipv4/lookup-main
    rule: from all lookup main suppress_prefixlength 0
+ rule/ipv4/lookup-51820
    rule: not from all fwmark 0xca6c lookup 51820
- route/10.13.0.0/16
plan: 3 to create, 2 to update, 1 to delete; 0 disruptive
`,
		},
		{
			name: "two full tunnels share a rule", have: state(r.wg0(), r.other()),
			want: state(r.wg0(allowed(0, "0.0.0.0/0"), allowed(1)), r.other(allowed(0, "0.0.0.0/0"), allowed(1))),
			text: `~ wireguard/wg0
    fwmark: (none) -> 51820
~ wireguard/wg1
    fwmark: (none) -> 51821
~ wireguard/wg0/peer/alice
    allowed_ips: 10.0.0.2/32, 10.13.0.0/16 -> 0.0.0.0/0
~ wireguard/wg0/peer/bob
    allowed_ips: 10.0.0.3/32, 10.14.0.0/16, 10.15.0.0/16 -> (none)
~ wireguard/wg1/peer/alice
    allowed_ips: 10.1.0.2/32, 10.23.0.0/16 -> 0.0.0.0/0
~ wireguard/wg1/peer/bob
    allowed_ips: 10.1.0.3/32 -> (none)
+ route/0.0.0.0/0/table/51820
    dev: wg0
+ route/0.0.0.0/0/table/51821
    dev: wg1
+ rule/ipv4/lookup-main
    rule: from all lookup main suppress_prefixlength 0
+ rule/ipv4/lookup-51820
    rule: not from all fwmark 0xca6c lookup 51820
+ rule/ipv4/lookup-51821
    rule: not from all fwmark 0xca6d lookup 51821
- route/10.13.0.0/16
- route/10.14.0.0/16
- route/10.15.0.0/16
- route/10.23.0.0/16
plan: 5 to create, 6 to update, 4 to delete; 0 disruptive
`,
		},
		{
			name: "removal", have: state(r.wg0(), r.other()), drift: live, want: state(r.other()),
			text: `- wireguard/wg0
    ! deletes the interface: ends 1 session (alice 198.51.100.1:7)
- wireguard/wg0/peer/alice
- wireguard/wg0/peer/bob
- route/10.13.0.0/16
- route/10.14.0.0/16
- route/10.15.0.0/16
plan: 0 to create, 0 to update, 6 to delete; 1 disruptive
`,
		},
		{
			name: "network namespace", have: state(), want: state(r.wg0(netns("blue"), dropPeer(1), dropPeer(0))),
			text: `+ netns/blue
+ wireguard/wg0
    addresses: 10.0.0.1/24
    listen_port: 51820
    mtu: 1420
    netns: blue
    private_key: (secret)
plan: 2 to create, 0 to update, 0 to delete; 0 disruptive
`,
		},
		{
			name: "drift", have: state(r.wg0()), want: state(r.wg0()),
			drift: func(h *wireguardtest.Host) {
				stray := wireguardtest.Key(300)
				h.Configure("", "wg0", wgtypes.Config{Peers: []wgtypes.PeerConfig{
					{PublicKey: stray}, {PublicKey: bob, Remove: true},
				}})
				h.Must("",
					rtnl.AddAddr{Index: h.Index("", "wg0"), Prefix: netip.MustParsePrefix("10.0.0.77/24")},
					rtnl.AddRoute{Route: rtnl.Route{Dst: netip.MustParsePrefix("10.99.0.0/16"), Table: rtnl.MainTable, Protocol: unix.RTPROT_BOOT, Index: h.Index("", "wg0")}})
			},
			text: `+ wireguard/wg0/peer/bob
    allowed_ips: 10.0.0.3/32, 10.14.0.0/16, 10.15.0.0/16
- route/10.99.0.0/16
- wireguard/wg0/peer/` + wireguardtest.Key(300).String() + `
~ wireguard/wg0
    addresses: 10.0.0.1/24, 10.0.0.77/24 -> 10.0.0.1/24
plan: 1 to create, 1 to update, 2 to delete; 0 disruptive
`,
		},
		{
			name: "link down", have: state(r.wg0(hooks)), want: state(r.wg0(hooks)),
			drift: func(h *wireguardtest.Host) { h.Must("", rtnl.SetLink{Name: "wg0", Up: new(false)}) },
			text: `~ wireguard/wg0
    up: false -> true
+ route/10.13.0.0/16
    dev: wg0
+ route/10.14.0.0/16
    dev: wg0
+ route/10.15.0.0/16
    dev: wg0
plan: 3 to create, 1 to update, 0 to delete; 0 disruptive
`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := r.with(t)
			r.apply(tt.have)
			if tt.drift != nil {
				tt.drift(r.host)
			}
			if diff := cmp.Diff(tt.text, r.text(tt.want)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			r.apply(tt.want)
		})
	}
}

// with is a rig with another host, for a subtest.
func (r *rig) with(t testing.TB) *rig {
	fresh := r.again()
	fresh.t = t
	return fresh
}

// TestHooks counts the lines that run: only where an interface comes up or goes down.
func TestHooks(t *testing.T) {
	r := newRig(t)
	ran := func(want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, r.host.Ran); diff != "" {
			t.Errorf("hooks (-want +ran):\n%s", diff)
		}
		r.host.Ran = nil
	}
	r.apply(state(r.wg0(hooks)))
	ran("pre up wg0", "post up wg0")
	r.apply(state(r.wg0(hooks, mtu(1300), func(i *desired.Interface) { i.Hooks.PostUp = []string{"other"} })))
	ran()
	r.host.Must("", rtnl.SetLink{Name: "wg0", Up: new(false)})
	r.apply(state(r.wg0(hooks)))
	ran("pre up wg0", "post up wg0")
	r.apply(state())
	ran("pre down wg0", "post down wg0")

	r.host.HookFault = func(line string) error {
		if line == "post up wg0" {
			return errFault
		}
		return nil
	}
	if err := r.do(r.plan(state(r.wg0(hooks)))); err == nil {
		t.Fatal("a failed hook went unnoticed")
	}
	if err := r.undo(); err != nil {
		t.Fatal(err)
	}
	ran("pre up wg0", "pre down wg0", "post down wg0")
}

// TestRoamedPeerStays changes another field of a peer that has moved since the plan was
// made: it is not called back.
func TestRoamedPeerStays(t *testing.T) {
	r := newRig(t)
	r.apply(state(r.wg0()))
	p := r.plan(state(r.wg0(r.psk(0, 200))))
	r.host.Handshake("", "wg0", wireguardtest.Key(100).PublicKey(), netip.MustParseAddrPort("198.51.100.1:7"), r.host.Time)
	before := r.host.String()
	if err := r.do(p); err != nil {
		t.Fatal(err)
	}
	if err := r.undo(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, r.host.String()); diff != "" {
		t.Errorf("after undo (-before +after):\n%s", diff)
	}
}

// TestBootAsksNoDNS brings up what can be; the name is set later.
func TestBootAsksNoDNS(t *testing.T) {
	r := newRig(t).resolvable()
	r.options.Boot = true
	want := state(r.wg0(endpoint("vpn.example.net", 4711)))
	r.apply(want)
	r.options.Boot = false
	if diff := cmp.Diff(`~ wireguard/wg0/peer/alice
    endpoint: (none) -> 192.0.2.99:4711
plan: 0 to create, 1 to update, 0 to delete; 0 disruptive
`, r.text(want)); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}

// TestMTU computes the MTU as wg-quick(8) does.
func TestMTU(t *testing.T) {
	auto := []change{mtu(0), peerN(0, func(p *desired.Peer) { p.AllowedIPs = prefixes("192.0.2.0/24") })}
	eth0 := func(n int) func(h *wireguardtest.Host) {
		return func(h *wireguardtest.Host) { h.Must("", rtnl.SetLink{Name: "eth0", MTU: n}) }
	}
	way := func(dst string, n int) func(h *wireguardtest.Host) {
		return func(h *wireguardtest.Host) {
			h.Must("", rtnl.AddRoute{Route: rtnl.Route{
				Dst: netip.MustParsePrefix(dst), Table: rtnl.MainTable, Index: h.Index("", "eth0"), MTU: n, Metric: 5,
			}})
		}
	}
	for _, tt := range []struct {
		name   string
		change []change
		host   func(h *wireguardtest.Host)
		mtu    string
	}{
		{"Ethernet", nil, nil, "1420"},
		{"jumbo frames", nil, eth0(9000), "8920"},
		{"a route's own", nil, way("192.0.2.7/32", 1400), "1320"},
		{"no way at all", nil, eth0Down, "1420"},
		{"the peer calls", []change{endpoint("", 0)}, eth0(1400), "1320"},
		{"IPv6 needs its least", []change{addresses("fd00::1/64")}, eth0(1300), "1280"},
		{"IPv4 does not", nil, eth0(1300), "1220"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			if tt.host != nil {
				tt.host(r.host)
			}
			// The endpoint lies behind the tunnel itself, once that has its route: what
			// was computed without it has to stand.
			r.apply(state(r.wg0(append(slices.Clone(auto), tt.change...)...)))
			if s := r.host.String(); !strings.Contains(s, "wg0: <NOARP,UP> mtu "+tt.mtu+"\n") {
				t.Errorf("not mtu %s:\n%s", tt.mtu, s)
			}
		})
	}
}

func eth0Down(h *wireguardtest.Host) { h.Must("", rtnl.SetLink{Name: "eth0", Up: new(false)}) }

// TestSharedRule has two full tunnels: one rule spares the main table for both, and stays
// as long as one of them does.
func TestSharedRule(t *testing.T) {
	r := newRig(t)
	full := allowed(0, "0.0.0.0/0")
	for _, s := range []*desired.State{state(r.wg0(full), r.other(full)), state(r.other(full))} {
		r.apply(s)
		if n := strings.Count(r.host.String(), "suppress_prefixlength"); n != 1 {
			t.Errorf("%d rules:\n%s", n, r.host)
		}
	}
}

// TestMessages counts calls: wgctrl sends what is larger peer by peer.
func TestMessages(t *testing.T) {
	r := newRig(t)
	r.apply(r.crowd(1000))
	if n := r.host.Messages; n > 1000/32+3 {
		t.Errorf("%d messages for 1000 peers", n)
	}
}
