package wireguard_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/wireguard/wireguardtest"
)

// crowd is an interface with that many peers, each with a route and a preshared key.
func (r *rig) crowd(n int) *desired.State {
	i := r.wg0(dropPeer(1), dropPeer(0))
	i.Peers = make([]desired.Peer, n)
	for at := range i.Peers {
		key := wireguardtest.Key(10000 + at)
		a := netip.AddrFrom4([4]byte{10, 128 + byte(at>>8), byte(at), 0})
		i.Peers[at] = desired.Peer{
			Name: fmt.Sprintf("peer%05d", at), PublicKey: wgtypes.Key(key), PresharedKey: r.secrets.Key(key),
			AllowedIPs: []netip.Prefix{netip.PrefixFrom(a, 24)},
			Endpoint:   desired.Endpoint{Host: a.String(), Port: 51820},
		}
	}
	return state(i)
}

func BenchmarkApply(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			base := newRig(b)
			want := base.crowd(n)
			for b.Loop() {
				r := base.again()
				if err := r.do(r.plan(want)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPlan(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := newRig(b)
			want := r.crowd(n)
			r.apply(want)
			w := r.backend()
			in := r.input(want)
			b.ReportAllocs()
			for b.Loop() {
				check(b, w.Check(context.Background(), in))
				steps, err := w.Plan(context.Background(), in)
				check(b, err)
				if len(steps) > 0 {
					b.Fatal("there is something to do")
				}
			}
		})
	}
}

// BenchmarkChange replaces half of all peers.
func BenchmarkChange(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			base := newRig(b)
			from, to := base.crowd(n), base.crowd(n)
			for at := range n / 2 {
				to.Interfaces[0].Peers[at].PublicKey = wireguardtest.Key(50000 + at)
			}
			for b.Loop() {
				b.StopTimer()
				r := base.again()
				check(b, r.do(r.plan(from)))
				b.StartTimer()
				check(b, r.do(r.plan(to)))
			}
		})
	}
}

func check(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
