package wireguard_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/vpnctl/vpnctl/internal/rtnl"
	"github.com/vpnctl/vpnctl/internal/wireguard/wireguardtest"
)

// foreignTunnel is a whole interface of somebody else, with one of the peers of wg0.
func foreignTunnel(h *wireguardtest.Host) {
	h.Must("", rtnl.AddLink{Name: "wg0", Kind: "wireguard", MTU: 1390}, rtnl.SetLink{Name: "wg0", Alias: new("by hand"), Up: new(true)})
	index := h.Index("", "wg0")
	h.Must("",
		rtnl.AddAddr{Index: index, Prefix: netip.MustParsePrefix("10.0.0.1/24")},
		rtnl.AddRoute{Route: rtnl.Route{Dst: netip.MustParsePrefix("10.13.0.0/16"), Table: rtnl.MainTable, Protocol: unix.RTPROT_BOOT, Index: index}},
		rtnl.AddRoute{Route: rtnl.Route{Dst: netip.MustParsePrefix("10.50.0.0/16"), Table: rtnl.MainTable, Metric: 9, Protocol: unix.RTPROT_STATIC, Index: index}})
	key, psk := wireguardtest.Key(9), wireguardtest.Key(209)
	h.Configure("", "wg0", wgtypes.Config{PrivateKey: &key, ListenPort: new(4000), Peers: []wgtypes.PeerConfig{
		{
			PublicKey: wireguardtest.Key(100).PublicKey(), PresharedKey: &psk,
			Endpoint:                    &net.UDPAddr{IP: net.IPv4(192, 0, 2, 66), Port: 66},
			PersistentKeepaliveInterval: new(15 * time.Second),
			AllowedIPs:                  []net.IPNet{{IP: net.IPv4(10, 13, 0, 0).To4(), Mask: net.CIDRMask(16, 32)}},
		},
		{PublicKey: wireguardtest.Key(400).PublicKey()},
	}})
}

// TestAdopt takes over a foreign interface, and gives it back as it was.
func TestAdopt(t *testing.T) {
	r := newRig(t)
	foreignTunnel(r.host)
	before := r.state()
	r.options.Adopt = true
	if diff := cmp.Diff(`~ wireguard/wg0 (takes effect once the other end applies too)
    alias: by hand -> vpnctl:hq
    listen_port: 4000 -> 51820
    mtu: 1390 -> 1420
    private_key: (secret) -> (secret)
~ wireguard/wg0/peer/alice (takes effect once the other end applies too)
    allowed_ips: 10.13.0.0/16 -> 10.0.0.2/32, 10.13.0.0/16
    endpoint: 192.0.2.66:66 -> 192.0.2.7:51820
    persistent_keepalive: 15s -> (none)
    preshared_key: (secret) -> (none)
+ wireguard/wg0/peer/bob
    allowed_ips: 10.0.0.3/32, 10.14.0.0/16, 10.15.0.0/16
+ route/10.14.0.0/16
    dev: wg0
+ route/10.15.0.0/16
    dev: wg0
~ route/10.13.0.0/16
    protocol: 3 -> 118
- route/10.50.0.0/16
- wireguard/wg0/peer/`+wireguardtest.Key(400).PublicKey().String()+`
plan: 3 to create, 3 to update, 2 to delete; 0 disruptive
`, r.text(state(r.wg0()))); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	r.apply(state(r.wg0()))
	fresh := r.again()
	fresh.apply(state(r.wg0()))
	if diff := cmp.Diff(fresh.host.String(), r.host.String()); diff != "" {
		t.Errorf("adopted (-fresh +adopted):\n%s", diff)
	}
	r.apply(state(r.wg0(mtu(1400))))
	r.apply(state())
	if diff := cmp.Diff(before, r.state()); diff != "" {
		t.Errorf("given back (-before +after):\n%s", diff)
	}
}

// TestAdoptFaults fails every write of taking over and of giving back.
func TestAdoptFaults(t *testing.T) {
	base := newRig(t)
	for _, back := range []bool{false, true} {
		for k := 1; ; k++ {
			r := base.again()
			foreignTunnel(r.host)
			r.options.Adopt = true
			to := state(r.wg0())
			if back {
				r.apply(to)
				to = state()
			}
			before := r.state()
			p := r.plan(to)
			hit := r.failAt(k, false)
			err := r.do(p)
			r.host.Fault = nil
			if !hit() {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			if err := r.undo(); err != nil {
				t.Fatalf("write %d: %v", k, err)
			}
			if diff := cmp.Diff(before, r.state()); diff != "" {
				t.Fatalf("back %v, undone after write %d (-before +after):\n%s", back, k, diff)
			}
		}
	}
}

// TestAdoptedAndGone destroys after somebody deleted what was adopted: it comes back.
func TestAdoptedAndGone(t *testing.T) {
	r := newRig(t)
	foreignTunnel(r.host)
	before := r.state()
	r.options.Adopt = true
	r.apply(state(r.wg0()))
	r.host.Must("", rtnl.DelLink{Name: "wg0"})
	r.apply(state())
	if diff := cmp.Diff(before, r.state()); diff != "" {
		t.Errorf("given back (-before +after):\n%s", diff)
	}
}
