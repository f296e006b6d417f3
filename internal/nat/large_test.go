package nat_test

import (
	"fmt"
	"testing"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/nat"
)

// forwards is a state of n forwarded networks.
func forwards(n int) *desired.State {
	var f desired.Netfilter
	for i := range n {
		net := fmt.Sprintf("10.%d.%d.0/24", i/256, i%256)
		f.Forwards = append(f.Forwards, desired.Forward{Object: "nat/linux2/forward/wg0->" + net, In: "wg0", To: prefix(net)})
		f.Masquerades = append(f.Masquerades, masquerade(net, "ens224"))
	}
	return state(f)
}

// BenchmarkPlan plans with nothing to do, and the way back, so that what grows faster than
// the rules shows.
func BenchmarkPlan(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		m := newMachine(nat.NFT)
		if err := m.apply(forwards(n)); err != nil {
			b.Fatal(err)
		}
		for name, want := range map[string]*desired.State{"nothing": forwards(n), "removal": nothing()} {
			b.Run(fmt.Sprintf("%d/%s", n, name), func(b *testing.B) {
				for b.Loop() {
					if _, err := m.plan(want); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
