package nat_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/nat"
)

// fullTunnel is what a full tunnel of the given mark brings.
func fullTunnel() desired.AntiSpoof {
	return desired.AntiSpoof{
		Object: "nat/linux2/anti-spoof/wg0", Interface: "wg0", Mark: 51820,
		Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.2")},
	}
}

// vigil is a Watch at work on a machine, in the time of a bubble.
type vigil struct {
	*machine
	t    *testing.T
	said []string
	busy bool
	mu   sync.Mutex
	end  func() error
}

func (v *vigil) start() {
	ctx, cancel := context.WithCancel(v.t.Context())
	done := make(chan error, 1)
	c, in := v.config, v.input(v.applied)
	c.Runner = synced{c.Runner, v}
	go func() {
		done <- nat.New(c).Watch(ctx, &backend.Shift{
			Input: in,
			Say:   func(format string, args ...any) { v.said = append(v.said, fmt.Sprintf(format, args...)) },
			Change: func(_ context.Context, fn func() error) error {
				v.sync()
				if v.busy {
					return backend.ErrBusy
				}
				return fn()
			},
		})
	}()
	v.end = func() error {
		cancel()
		return <-done
	}
	synctest.Wait()
}

// synced lets the watching goroutine see what the test did before, whenever it looks. The
// other way round synctest.Wait does that.
type synced struct {
	host.Runner
	v *vigil
}

func (s synced) Run(ctx context.Context, c host.Cmd) ([]byte, error) {
	s.v.sync()
	return s.Runner.Run(ctx, c)
}

func (v *vigil) sync() {
	v.mu.Lock()
	defer v.mu.Unlock()
}

// pass lets time go by, far enough for one look.
func (v *vigil) pass() {
	v.sync()
	time.Sleep(11 * time.Second)
	synctest.Wait()
}

// TestWatch lets the owner of the host do what harms the guards, and what does not.
func TestWatch(t *testing.T) {
	want := nats(masquerade("10.0.0.0/16", "ens224"))
	want.Netfilter.AntiSpoofs = append(want.Netfilter.AntiSpoofs, fullTunnel())
	want.Netfilter.Drops = []desired.Drop{{Object: "nat/linux2/drop/l2tp", Port: 1701}}
	do := func(table string, lines ...string) func(v *vigil) {
		return func(v *vigil) { v.Do(nat.IPv4, nat.NFT, table, lines...) }
	}
	for _, tt := range []struct {
		name string
		harm func(v *vigil)
		said []string
		// left is what remains to be done for apply, by object.
		left []string
	}{
		{"nothing", func(*vigil) {}, nil, nil},
		{
			"raw flushed", do("raw", "-F VPNCTL-PREROUTING", "-D PREROUTING -m comment --comment vpnctl -j VPNCTL-PREROUTING", "-X VPNCTL-PREROUTING"),
			[]string{"nat/linux2/anti-spoof/wg0: put back"}, nil,
		},
		{
			"chain emptied", do("nat", "-F VPNCTL-POSTROUTING"),
			[]string{"nat/linux2/exempt/ipsec: put back"}, []string{"nat/linux2/rule/10.0.0.0/16->ens224"},
		},
		{
			"jump gone", do("raw", "-D PREROUTING -m comment --comment vpnctl -j VPNCTL-PREROUTING"),
			[]string{"nat/linux2/jump/raw/PREROUTING: put back"}, nil,
		},
		{
			"a masquerade ahead", do("nat", "-I POSTROUTING 1 -o eth1 -j MASQUERADE"),
			[]string{"nat/linux2/jump/nat/POSTROUTING: put back"}, nil,
		},
		{
			"drops flushed", do("mangle", "-F VPNCTL-DROP-INPUT"), []string{"nat/linux2/drop/l2tp: put back"}, nil,
		},
		{"a rule of his own ahead", do("nat", "-I POSTROUTING 1 -o eth1 -j ACCEPT"), nil, nil},
		{"others of ours gone", do("filter", "-F VPNCTL-FORWARD"), nil, []string{"nat/linux2/rule/10.0.0.0/16->ens224"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := &vigil{machine: newMachine(nat.NFT), t: t}
				v.mustApply(t, want)
				tt.harm(v)
				v.start()
				v.pass()
				v.pass()
				if err := v.end(); err != nil {
					t.Error(err)
				}
				if diff := cmp.Diff(tt.said, v.said); diff != "" {
					t.Errorf("said (-want +got):\n%s", diff)
				}
				p, err := v.plan(want)
				if err != nil {
					t.Fatal(err)
				}
				var left []string
				for _, c := range p.Changes() {
					left = append(left, c.Object)
				}
				if diff := cmp.Diff(tt.left, left); diff != "" {
					t.Errorf("left to do (-want +got):\n%s", diff)
				}
				v.mustApply(t, want)
			})
		})
	}
}

// TestWatchBusy leaves an apply alone, and looks again when it is over.
func TestWatchBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vigil{machine: newMachine(nat.NFT), t: t}
		want := state(desired.Netfilter{AntiSpoofs: []desired.AntiSpoof{fullTunnel()}})
		v.mustApply(t, want)
		v.Do(nat.IPv4, nat.NFT, "raw", "-F VPNCTL-PREROUTING")
		v.busy = true
		v.start()
		v.pass()
		if len(v.said) > 0 {
			t.Errorf("during an apply: %q", v.said)
		}
		v.busy = false
		v.pass()
		if err := v.end(); err != nil || len(v.said) != 1 {
			t.Errorf("after it: %q, %v", v.said, err)
		}
	})
}

// TestWatchCheap runs one program a look, and only where there is a guard.
func TestWatchCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vigil{machine: newMachine(nat.NFT), t: t}
		v.mustApply(t, state(desired.Netfilter{AntiSpoofs: []desired.AntiSpoof{fullTunnel()}}))
		v.start()
		v.Runs = nil
		v.pass()
		if diff := cmp.Diff([]string{"iptables-nft-save"}, v.Runs); diff != "" {
			t.Errorf("runs of one look (-want +got):\n%s", diff)
		}
		v.Fault, v.Broken = func(string) error { return nil }, "no memory"
		v.pass()
		if err := v.end(); err == nil || !strings.HasPrefix(err.Error(), "putting guards back: ") {
			t.Errorf("error is %v", err)
		}
	})
	unguarded := state(desired.Netfilter{OpenPorts: []desired.OpenPort{{Protocol: "udp", Port: 1}}})
	m := newMachine(nat.NFT)
	if err := nat.New(m.config).Watch(t.Context(), &backend.Shift{Input: m.input(unguarded)}); err != nil || len(m.Runs) > 0 {
		t.Errorf("without a guard: %v, ran %q", err, m.Runs)
	}
}

// TestWatchFault tells a write that fails, and writes nothing to a kind of iptables that
// held no rules of ours.
func TestWatchFault(t *testing.T) {
	want := state(desired.Netfilter{AntiSpoofs: []desired.AntiSpoof{fullTunnel()}})
	synctest.Test(t, func(t *testing.T) {
		v := &vigil{machine: newMachine(nat.NFT), t: t}
		v.mustApply(t, want)
		v.Do(nat.IPv4, nat.NFT, "raw", "-F VPNCTL-PREROUTING")
		broken := errors.New("injected fault")
		v.Fault = func(string) error { return broken }
		v.start()
		if err := v.end(); !errors.Is(err, broken) {
			t.Errorf("error is %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		v := &vigil{machine: newMachine(nat.NFT, nat.Legacy), t: t}
		v.mustApply(t, want)
		v.Do(nat.IPv4, nat.Legacy, "filter", "-A INPUT -j ACCEPT")
		before := v.String()
		v.start()
		v.pass()
		if err := v.end(); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(before, v.String()); diff != "" {
			t.Errorf("host (-before +after):\n%s", diff)
		}
	})
}
