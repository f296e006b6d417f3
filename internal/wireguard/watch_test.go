package wireguard_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/rtnl"
	"github.com/vpnctl/vpnctl/internal/wireguard"
	"github.com/vpnctl/vpnctl/internal/wireguard/wireguardtest"
)

// hubName is the name under which alice is dialled.
const hubName = "hub.example.net"

// vigil is a Watch at work, in the time of a bubble.
type vigil struct {
	*rig
	began   time.Time
	said    []string
	busy    bool // an apply is under way
	lookups []time.Duration
	during  func() // happens while a name is looked up
	end     func()
	mu      sync.Mutex
}

// sync lets the watching goroutine see what the test did before; the other way round
// synctest.Wait does that.
func (v *vigil) sync() {
	v.mu.Lock()
	defer v.mu.Unlock()
}

// watched applies an interface whose peer alice is dialled by name, and watches.
func watched(t *testing.T, change ...func(*desired.Interface)) *vigil {
	t.Helper()
	v := &vigil{rig: newRig(t), began: time.Now(), during: func() {}}
	v.host.Time = time.Now()
	want := &desired.State{Site: "hq", Interfaces: []desired.Interface{v.wg0(append(change, endpoint(hubName, 7))...)}}
	if i := want.Interfaces[0]; i.Netns != "" {
		v.host.Names[hubName] = addrs("192.0.2.1")
	}
	v.apply(want)
	return v
}

// start watches until the test ends.
func (v *vigil) start() {
	ctx, cancel := context.WithCancel(v.t.Context())
	c := v.host.Config(v.secrets)
	c.Now = time.Now
	c.Devices = func(netns string) (wireguard.Devices, error) {
		v.sync()
		return v.host.Devices(netns)
	}
	resolve := c.Resolve
	c.Resolve = func(ctx context.Context, name string) ([]netip.Addr, error) {
		v.lookups = append(v.lookups, time.Since(v.began))
		v.during()
		return resolve(ctx, name)
	}
	done := make(chan error, 1)
	in := v.input(v.applied)
	go func() {
		done <- wireguard.New(c).Watch(ctx, &backend.Shift{
			Input:  in,
			Say:    func(format string, args ...any) { v.said = append(v.said, fmt.Sprintf(format, args...)) },
			Change: v.change,
		})
	}()
	v.end = func() {
		cancel()
		if err := <-done; err != nil {
			v.t.Errorf("watching: %v", err)
		}
	}
	synctest.Wait()
}

func (v *vigil) change(_ context.Context, fn func() error) error {
	if v.busy {
		return backend.ErrBusy
	}
	return fn()
}

// pass lets time go by.
func (v *vigil) pass(d time.Duration) {
	v.sync()
	time.Sleep(d)
	synctest.Wait()
}

// wantEndpoint compares where alice is dialled.
func (v *vigil) wantEndpoint(netns, want string) {
	v.t.Helper()
	d, err := v.host.Devices(netns)
	if err != nil {
		v.t.Fatal(err)
	}
	w, err := d.Device("wg0")
	if err != nil {
		v.t.Fatal(err)
	}
	got := "none"
	for _, p := range w.Peers {
		if p.PublicKey == aliceKey && p.Endpoint != nil {
			got = p.Endpoint.String()
		}
	}
	if got != want {
		v.t.Errorf("after %s: endpoint is %s, want %s", time.Since(v.began), got, want)
	}
}

var aliceKey = wireguardtest.Key(100).PublicKey()

func addrs(list ...string) (out []netip.Addr) {
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func (v *vigil) wantSaid(want ...string) {
	v.t.Helper()
	if diff := cmp.Diff(want, v.said); diff != "" {
		v.t.Errorf("said (-want +got):\n%s", diff)
	}
}

// TestWatchLateName has a name that does not resolve at apply: it is looked up less and
// less often, and set when it does.
func TestWatchLateName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := watched(t)
		v.start()
		v.pass(4 * time.Minute)
		v.wantEndpoint("", "none")
		want := []time.Duration{0, 5, 15, 35, 75, 135, 195}
		for i := range want {
			want[i] *= time.Second
		}
		if diff := cmp.Diff(want, v.lookups); diff != "" {
			t.Errorf("lookups (-want +got):\n%s", diff)
		}
		v.host.Names[hubName] = addrs("192.0.2.1", "192.0.2.2")
		v.pass(time.Minute)
		v.wantEndpoint("", "192.0.2.1:7")
		v.end()
		v.wantSaid(
			"wireguard/wg0/peer/alice: hub.example.net does not resolve; trying again",
			"wireguard/wg0/peer/alice: endpoint (none) -> 192.0.2.1:7 (hub.example.net)",
		)
		if p := v.plan(v.applied); len(p.Steps) > 0 {
			t.Errorf("there is something to do after watch: %+v", p.Steps)
		}
	})
}

// TestWatchMoved moves the name of a peer that is alive, and then is not.
func TestWatchMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := watched(t)
		v.host.Names[hubName] = addrs("192.0.2.1")
		roamed := netip.MustParseAddrPort("198.51.100.1:9")
		v.host.Handshake("", "wg0", aliceKey, roamed, time.Now())
		v.start()
		v.pass(179 * time.Second)
		v.wantEndpoint("", "198.51.100.1:9")
		if len(v.lookups) > 0 {
			t.Errorf("a peer that is alive was looked up: %s", v.lookups)
		}
		v.pass(6 * time.Second)
		v.wantEndpoint("", "192.0.2.1:7")
		v.host.Names[hubName] = addrs("192.0.2.9", "192.0.2.1") // one of them is what it has
		v.pass(2 * time.Minute)
		v.wantEndpoint("", "192.0.2.1:7")
		v.host.Names[hubName] = addrs("192.0.2.9")
		v.pass(time.Minute)
		v.wantEndpoint("", "192.0.2.9:7")
		v.end()
		v.wantSaid(
			"wireguard/wg0/peer/alice: endpoint 198.51.100.1:9 -> 192.0.2.1:7 (hub.example.net)",
			"wireguard/wg0/peer/alice: endpoint 192.0.2.1:7 -> 192.0.2.9:7 (hub.example.net)",
		)
	})
}

// TestWatchLeavesAlone has what is not for watch to change.
func TestWatchLeavesAlone(t *testing.T) {
	for name, spoil := range map[string]func(v *vigil){
		"an apply is under way": func(v *vigil) { v.busy = true },
		"link is gone":          func(v *vigil) { v.host.Must("", rtnl.DelLink{Name: "wg0"}) },
		"somebody else's link": func(v *vigil) {
			v.host.Must("", rtnl.SetLink{Name: "wg0", Alias: new("mine")})
		},
		"who calls during the lookup": func(v *vigil) {
			v.during = func() {
				v.host.Handshake("", "wg0", aliceKey, netip.MustParseAddrPort("198.51.100.1:9"), time.Now())
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := watched(t)
				v.host.Names[hubName] = addrs("192.0.2.1")
				spoil(v)
				writes := 0
				v.host.Fault = func(string) error {
					writes++
					return nil
				}
				v.start()
				v.pass(2 * time.Minute)
				v.end()
				v.wantSaid()
				if writes > 0 {
					t.Errorf("%d writes to\n%s", writes, v.host)
				}
			})
		})
	}
}

// TestWatchBusy sets what it could not set during an apply.
func TestWatchBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := watched(t)
		v.host.Names[hubName] = addrs("192.0.2.1")
		v.busy = true
		v.start()
		v.wantEndpoint("", "none")
		v.busy = false
		v.pass(6 * time.Second)
		v.wantEndpoint("", "192.0.2.1:7")
		v.end()
	})
}

// TestWatchNamespace finds an interface where it is.
func TestWatchNamespace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := watched(t, netns("vpn"))
		v.wantEndpoint("vpn", "192.0.2.1:7")
		v.host.Names[hubName] = addrs("192.0.2.9")
		v.start()
		v.pass(time.Second)
		v.wantEndpoint("vpn", "192.0.2.9:7")
		v.end()
	})
}

// TestWatchNothing returns at once where no endpoint is a name, and with the error where
// the host cannot be read.
func TestWatchNothing(t *testing.T) {
	r := newRig(t)
	want := &desired.State{Site: "hq", Interfaces: []desired.Interface{r.wg0()}}
	r.apply(want)
	if err := r.backend().Watch(t.Context(), &backend.Shift{Input: r.input(want)}); err != nil {
		t.Error(err)
	}
	want.Interfaces[0].Peers = slices.Clone(want.Interfaces[0].Peers)
	want.Interfaces[0].Peers[0].Endpoint = desired.Endpoint{Host: hubName, Port: 7}
	c := r.host.Config(r.secrets)
	c.Devices = func(string) (wireguard.Devices, error) { return nil, errFault }
	err := wireguard.New(c).Watch(t.Context(), &backend.Shift{Input: r.input(want)})
	if err == nil || !strings.HasPrefix(err.Error(), "reading interface wg0: ") {
		t.Errorf("error is %v", err)
	}
}
