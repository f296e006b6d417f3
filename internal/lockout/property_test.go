package lockout

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/vault"
	"github.com/vpnctl/vpnctl/internal/wireguard"
	"github.com/vpnctl/vpnctl/internal/wireguard/wireguardtest"
)

// TestForeseen walks a host through random states of WireGuard: the way that was foreseen
// for a packet is the way that it takes when the state is applied, and what is applied
// already changes none.
func TestForeseen(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := &walk{rnd: rand.New(rand.NewPCG(seed, 0)), host: wireguardtest.New(), vault: vault.Ephemeral()}
	w.backend = wireguard.New(w.host.Config(w.vault))
	before := &desired.State{Site: "hq"}
	moved, tunnelled := 0, 0
	for range 40 {
		q := &Question{Want: w.state(), Applied: before}
		o := w.observe(t)
		packets := make([]packet, 20)
		foreseen := make([]way, len(packets))
		for i := range packets {
			packets[i] = w.packet(o)
			foreseen[i] = newBuilder(o, q).then().follow(packets[i])
			if firstDifference(newBuilder(o, q).now().follow(packets[i]), foreseen[i]) >= 0 {
				moved++
			}
		}
		w.converge(t, q)
		o, q = w.observe(t), &Question{Want: q.Want, Applied: q.Want}
		for i, p := range packets {
			now, then := newBuilder(o, q).now().follow(p), newBuilder(o, q).then().follow(p)
			if firstDifference(foreseen[i], now) >= 0 || firstDifference(now, then) >= 0 {
				t.Fatalf("%v\nwas foreseen %v\nand goes      %v\nand shall go  %v\n%s", p, foreseen[i], now, then, w.host)
			}
			if len(now) > 2 {
				tunnelled++
			}
		}
		before = q.Want
	}
	t.Logf("%d packets moved, %d went by a tunnel", moved, tunnelled)
	if moved < 100 || tunnelled < 50 {
		t.Error("hardly anything happened")
	}
}

type walk struct {
	rnd     *rand.Rand
	host    *wireguardtest.Host
	vault   *vault.Vault
	backend *wireguard.Backend
}

func (w *walk) observe(t *testing.T) *Observed {
	t.Helper()
	c := w.host.Config(w.vault)
	o, err := Host{
		Network:  func() (wireguard.Network, error) { return c.Network("") },
		Devices:  func() (wireguard.Devices, error) { return c.Devices("") },
		Policies: func() ([]Policy, error) { return nil, nil },
	}.Observe(w.vault)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// packet goes from one of the host's addresses, present or not, to anywhere.
func (w *walk) packet(o *Observed) packet {
	p := packet{proto: "tcp", sport: 22, dport: 50000, dst: w.addr()}
	if w.rnd.IntN(4) > 0 {
		p.src = o.Addrs[w.rnd.IntN(len(o.Addrs))].Prefix.Addr()
	}
	if p.src.IsValid() && p.src.Is4() != p.dst.Is4() {
		p.src = netip.Addr{}
	}
	return p
}

// addr is one of few, so that they meet.
func (w *walk) addr() netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(w.rnd.IntN(6)), byte(w.rnd.IntN(2)), byte(w.rnd.IntN(6) + 1)})
}

// state has up to two interfaces, whose allowed IPs are apart: even and odd.
func (w *walk) state() *desired.State {
	s := &desired.State{Site: "hq", Node: "gw"}
	for i := range 2 {
		if w.rnd.IntN(5) == 0 {
			continue
		}
		key := w.key(byte(10*i + w.rnd.IntN(2)))
		d := desired.Interface{
			Name: fmt.Sprintf("wg%d", i), PrivateKey: w.vault.ID(secret.New([]byte(key.String()))), PublicKey: key.PublicKey(),
			ListenPort: 51820 + 10*i + w.rnd.IntN(2), MTU: 1400,
			Addresses: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(20 + i), 0, byte(w.rnd.IntN(3) + 1)}), 24+8*w.rnd.IntN(2))},
		}
		d.Table.Off = w.rnd.IntN(8) == 0
		w.addPeers(&d, i)
		s.Interfaces = append(s.Interfaces, d)
	}
	return s
}

func (w *walk) addPeers(d *desired.Interface, i int) {
	taken := map[netip.Prefix]bool{}
	for n := range 3 {
		if w.rnd.IntN(4) == 0 {
			continue
		}
		p := desired.Peer{Name: fmt.Sprintf("p%d", n), PublicKey: w.key(byte(100 + 10*i + n)).PublicKey()}
		if w.rnd.IntN(4) > 0 {
			p.Endpoint = desired.Endpoint{Host: w.addr().String(), Port: 51820 + w.rnd.IntN(2)}
		}
		for range w.rnd.IntN(4) {
			a := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(2*w.rnd.IntN(3) + i), byte(w.rnd.IntN(2)), byte(w.rnd.IntN(6) + 1)}),
				[]int{16, 24, 32}[w.rnd.IntN(3)]).Masked()
			if w.rnd.IntN(8) == 0 {
				a = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
			}
			if !taken[a] {
				taken[a] = true
				p.AllowedIPs = append(p.AllowedIPs, a)
			}
		}
		slices.SortFunc(p.AllowedIPs, func(a, b netip.Prefix) int {
			return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
		})
		d.Peers = append(d.Peers, p)
	}
}

func (w *walk) key(n byte) wgtypes.Key {
	k := wgtypes.Key{n, 31: 64}
	k[0] &= 248
	k[1] = n
	return k
}

// converge does what the backend plans.
func (w *walk) converge(t *testing.T, q *Question) {
	t.Helper()
	in := backend.Input{Want: q.Want, Applied: q.Applied, Memory: backend.Memory{}, Secrets: w.vault}
	if len(q.Applied.Interfaces)+len(q.Want.Interfaces) == 0 {
		return
	}
	steps, err := w.backend.Plan(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortStableFunc(steps, func(a, b backend.Step) int { return cmp.Compare(a.Phase, b.Phase) })
	handlers := w.backend.Handlers()
	for _, s := range steps {
		if s.Op.Kind == backend.MemoryOp {
			continue
		}
		if err := handlers[s.Op.Kind].Apply(context.Background(), s.Op.From, s.Op.To); err != nil {
			t.Fatalf("%s: %v\n%s", s.Op.Kind, err, w.host)
		}
	}
}
