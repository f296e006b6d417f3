package lockout_test

import (
	"net/netip"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/lockout"
	"github.com/vpnctl/vpnctl/internal/management"
	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// TestLarge looks at ten thousand peers, a route each, in less time than anybody notices:
// what is quadratic takes minutes.
func TestLarge(t *testing.T) {
	want, o := applied(), observed()
	d := &want.Interfaces[0]
	for i := range 10_000 {
		a := netip.PrefixFrom(netip.AddrFrom4([4]byte{11, byte(i >> 8), byte(i), 1}), 32)
		k := wgtypes.Key{0: 200, 1: byte(i >> 8), 2: byte(i)}
		d.Peers = append(d.Peers, desired.Peer{Name: k.String(), PublicKey: k, AllowedIPs: []netip.Prefix{a}})
		o.Tunnels[0].Peers = append(o.Tunnels[0].Peers, lockout.Peer{Key: k.String(), AllowedIPs: []netip.Prefix{a}})
		o.Routes = append(o.Routes, rtnl.Route{Dst: a, Table: rtnl.MainTable, Index: wg0, Protocol: 118})
	}
	c, _ := management.Parse(inside)
	began := time.Now()
	if found := lockout.Analyse(c, o, &lockout.Question{Want: want, Applied: want}); len(found) > 0 {
		t.Errorf("refused: %s", found[0])
	}
	took := time.Since(began)
	if t.Logf("took %v", took); took > 5*time.Second {
		t.Error("that is too long")
	}
}
