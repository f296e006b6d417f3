package wireguard_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/rtnl"
	"github.com/vpnctl/vpnctl/internal/wireguard/wireguardtest"
)

func TestStatus(t *testing.T) {
	base := newRig(t)
	keepalive := peerN(0, func(p *desired.Peer) { p.PersistentKeepalive = 25 * time.Second })
	alice := wireguardtest.Key(100).PublicKey()
	handshake := func(age time.Duration) func(h *wireguardtest.Host) {
		return func(h *wireguardtest.Host) {
			h.Handshake("", "wg0", alice, netip.MustParseAddrPort("198.51.100.1:7"), h.Time.Add(-age))
		}
	}
	type brief struct {
		State  backend.State
		Reason string
		Remote string
	}
	for _, tt := range []struct {
		name  string
		want  desired.Interface
		drift func(h *wireguardtest.Host)
		alice brief
	}{
		{"up", base.wg0(), handshake(179 * time.Second), brief{backend.Up, "", "198.51.100.1:7"}},
		{"idle after a session", base.wg0(), handshake(time.Hour), brief{backend.Idle, "", "198.51.100.1:7"}},
		{"idle", base.wg0(), nil, brief{backend.Idle, "", "192.0.2.7:51820"}},
		{"kept up", base.wg0(keepalive), handshake(time.Second), brief{backend.Up, "", "198.51.100.1:7"}},
		{"no handshake", base.wg0(keepalive), nil, brief{backend.Down, "no handshake yet", "192.0.2.7:51820"}},
		{"old handshake", base.wg0(keepalive), handshake(5*time.Minute + 2*time.Second), brief{backend.Down, "last handshake 5m ago", "198.51.100.1:7"}},
		{"very old handshake", base.wg0(keepalive), handshake(100 * time.Hour), brief{backend.Down, "last handshake 4d ago", "198.51.100.1:7"}},
		{"name", base.wg0(keepalive, endpoint("gone.example.net", 7)), nil, brief{backend.Down, "name gone.example.net does not resolve", ""}},
		{
			"link down", base.wg0(), func(h *wireguardtest.Host) { h.Must("", rtnl.SetLink{Name: "wg0", Up: new(false)}) },
			brief{backend.Down, "interface wg0 is down", ""},
		},
		{
			"link missing", base.wg0(), func(h *wireguardtest.Host) { h.Must("", rtnl.DelLink{Name: "wg0"}) },
			brief{backend.Down, "interface wg0 is missing", ""},
		},
		{
			"somebody else's link", base.wg0(), func(h *wireguardtest.Host) {
				h.Must("", rtnl.DelLink{Name: "wg0"}, rtnl.AddLink{Name: "wg0", Kind: "wireguard"})
			},
			brief{backend.Down, "interface wg0 is missing", ""},
		},
		{
			"peer missing", base.wg0(), func(h *wireguardtest.Host) {
				h.Configure("", "wg0", wgtypes.Config{Peers: []wgtypes.PeerConfig{{PublicKey: alice, Remove: true}}})
			},
			brief{backend.Down, "the peer is missing on interface wg0", ""},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := base.with(t)
			r.apply(state(tt.want))
			if tt.drift != nil {
				tt.drift(r.host)
			}
			rows, err := r.backend().Status(context.Background(), r.input(state(tt.want)))
			if err != nil || len(rows) != 2 {
				t.Fatalf("%d rows, %v", len(rows), err)
			}
			a := rows[0]
			if diff := cmp.Diff(tt.alice, brief{a.State, a.Reason, a.Remote}); diff != "" {
				t.Errorf("alice (-want +got):\n%s", diff)
			}
		})
	}
}

// TestStatusConnecting looks at a peer that is kept up and does not answer, at different
// times after the apply.
func TestStatusConnecting(t *testing.T) {
	base := newRig(t)
	keepalive := peerN(0, func(p *desired.Peer) { p.PersistentKeepalive = 25 * time.Second })
	alice := wireguardtest.Key(100).PublicKey()
	for _, tt := range []struct {
		name      string
		applied   time.Duration // ago
		handshake time.Duration // ago; 0 for none
		want      backend.State
	}{
		{"just applied", 29 * time.Second, 0, backend.Connecting},
		{"applied a while ago", 30 * time.Second, 0, backend.Down},
		{"just lost", time.Hour, 209 * time.Second, backend.Connecting},
		{"lost a while ago", time.Hour, 210 * time.Second, backend.Down},
		{"lost before the apply", 5 * time.Second, time.Hour, backend.Connecting},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := base.with(t)
			want := state(base.wg0(keepalive))
			r.apply(want)
			if tt.handshake != 0 {
				r.host.Handshake("", "wg0", alice, netip.MustParseAddrPort("198.51.100.1:7"), r.host.Time.Add(-tt.handshake))
			}
			in := r.input(want)
			in.AppliedAt = r.host.Time.Add(-tt.applied)
			rows, err := r.backend().Status(context.Background(), in)
			if err != nil || rows[0].State != tt.want {
				t.Errorf("alice is %s, want %s; %v", rows[0].State, tt.want, err)
			}
		})
	}
}

func TestStatusRow(t *testing.T) {
	r := newRig(t)
	r.options.Userspace = true
	want := state(r.wg0(endpoint("2001:db8::7", 51820)))
	r.apply(want)
	at := r.host.Time.Add(-time.Minute)
	r.host.Handshake("", "wg0", wireguardtest.Key(100).PublicKey(), netip.MustParseAddrPort("[2001:db8::8]:7"), at)
	foreign := "by hand"
	r.host.Must("", rtnl.AddLink{Name: "wg9", Kind: "wireguard"}, rtnl.SetLink{Name: "wg9", Alias: &foreign})
	rows, err := r.backend().Status(context.Background(), r.input(want))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]backend.Tunnel{
		{
			Protocol: backend.WireGuard, Name: "wg0", Peer: "alice", State: backend.Up, Backend: "userspace",
			Interface: "wg0", Remote: "[2001:db8::8]:7", Endpoint: "[2001:db8::7]:51820",
			Addresses: []string{"10.0.0.2/32", "10.13.0.0/16"}, LastHandshake: at, RxBytes: new(uint64(92)), TxBytes: new(uint64(148)),
		},
		{
			Protocol: backend.WireGuard, Name: "wg0", Peer: "bob", State: backend.Idle, Backend: "userspace",
			Interface: "wg0", Addresses: []string{"10.0.0.3/32", "10.14.0.0/16", "10.15.0.0/16"},
			RxBytes: new(uint64(0)), TxBytes: new(uint64(0)),
		},
	}, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}
