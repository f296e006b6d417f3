package resolver_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vpnctl/vpnctl/internal/dbustest"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/host/hosttest"
	"github.com/vpnctl/vpnctl/internal/resolver"
)

func addrs(texts ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range texts {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

var (
	both    = resolver.Config{Servers: addrs("10.0.0.53", "fd00::53"), Search: []string{"corp.example", "example"}}
	servers = resolver.Config{Servers: addrs("fd00::54", "10.0.0.53")}
	search  = resolver.Config{Search: []string{"lab.example"}}
	none    = resolver.Config{}
)

// detect finds the resolver of a host, which ends with the test.
func detect(t *testing.T, run host.Runner, files host.Files) *resolver.Resolver {
	t.Helper()
	r, err := resolver.Detect(t.Context(), run, files)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// hosts are the resolvers that there are, each with the state behind it and what that is
// after wg0, of index 7, was given the configs above.
func hosts(t *testing.T) map[string]func(t *testing.T) (*resolver.Resolver, fmt.Stringer, map[string]string) {
	t.Helper()
	program := func(f *fakeResolvconf, files *hosttest.Files, key string) func(t *testing.T) (*resolver.Resolver, fmt.Stringer, map[string]string) {
		return func(t *testing.T) (*resolver.Resolver, fmt.Stringer, map[string]string) {
			dbustest.None(t)
			run := &hosttest.Runner{Programs: map[string]hosttest.Program{"resolvconf": f.program}}
			return detect(t, run, files), f, map[string]string{
				"both": "# resolv.conf from " + key + ", exclusive true\n" +
					"nameserver 10.0.0.53\nnameserver fd00::53\nsearch corp.example example\n",
				"servers": "# resolv.conf from " + key + ", exclusive true\nnameserver fd00::54\nnameserver 10.0.0.53\n",
				"search":  "# resolv.conf from " + key + ", exclusive false\nsearch lab.example\n",
			}
		}
	}
	var plain, order, odd hosttest.Files
	order.Put("/etc/resolvconf/interface-order", "# interface-order(5)\nlo.inet6\nlo.@(dnsmasq|pdnsd)\nlo\n tun* \ntap*\n", 0o644)
	odd.Put("/etc/resolvconf/interface-order", "lo\n@(br|eth)*\n*\n", 0o644)
	return map[string]func(t *testing.T) (*resolver.Resolver, fmt.Stringer, map[string]string){
		"openresolv":         program(&fakeResolvconf{}, &plain, "wg0"),
		"Debian":             program(&fakeResolvconf{debian: true}, &order, "tun.wg0"),
		"Debian, no pattern": program(&fakeResolvconf{debian: true}, &odd, "wg0"),
		"resolved": func(t *testing.T) (*resolver.Resolver, fmt.Stringer, map[string]string) {
			f := startResolved(t, 1, 7, 8)
			return detect(t, &hosttest.Runner{}, &plain), f, map[string]string{
				"both": "Link 7\n  DNS Server: 10.0.0.53\n  DNS Server: fd00::53\n  DNS Domain: corp.example\n" +
					"  DNS Domain: example\n  DNS Domain: ~.\n  Default Route: true\n",
				"servers": "Link 7\n  DNS Server: fd00::54\n  DNS Server: 10.0.0.53\n  DNS Domain: ~.\n  Default Route: true\n",
				"search":  "Link 7\n  DNS Domain: lab.example\n  Default Route: false\n",
			}
		},
	}
}

func set(t *testing.T, r *resolver.Resolver, iface string, index int, c resolver.Config) {
	t.Helper()
	if err := r.Set(t.Context(), iface, index, c); err != nil {
		t.Fatal(err)
	}
	got, err := r.Get(t.Context(), iface, index)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" || !got.Equal(c) {
		t.Errorf("what was set of %s (-want +got):\n%s", iface, diff)
	}
}

// TestWalk sets every config, then all of them in random order, twice each time: the
// result never depends on what was there before.
func TestWalk(t *testing.T) {
	configs := map[string]resolver.Config{"both": both, "servers": servers, "search": search, "none": none}
	names := []string{"both", "servers", "search", "none"}
	for name, start := range hosts(t) {
		t.Run(name, func(t *testing.T) {
			r, state, want := start(t)
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			rnd := rand.New(rand.NewPCG(seed, 0))
			for step := range 30 {
				n := names[step%len(names)]
				if step >= len(names) {
					n = names[rnd.IntN(len(names))]
				}
				for range 2 {
					set(t, r, "wg0", 7, configs[n])
					if diff := cmp.Diff(want[n], state.String()); diff != "" {
						t.Fatalf("step %d, %s (-want +got):\n%s", step, n, diff)
					}
				}
			}
		})
	}
}

// TestOthers shows that what belongs to another interface stays.
func TestOthers(t *testing.T) {
	for name, start := range hosts(t) {
		t.Run(name, func(t *testing.T) {
			r, state, _ := start(t)
			set(t, r, "wg00", 8, both)
			before := state.String()
			set(t, r, "wg0", 7, servers)
			set(t, r, "wg0", 7, none)
			if diff := cmp.Diff(before, state.String()); diff != "" {
				t.Errorf("state (-before +after):\n%s", diff)
			}
		})
	}
}

// TestGone sets and removes the DNS of an interface that is not there any more.
func TestGone(t *testing.T) {
	f := startResolved(t, 7)
	r := detect(t, &hosttest.Runner{}, &hosttest.Files{})
	set(t, r, "wg0", 7, both)
	f.removeLink(7)
	for _, index := range []int{7, 0} {
		set(t, r, "wg0", index, none)
	}
	err := r.Set(t.Context(), "wg0", 7, both)
	if err == nil || !strings.HasPrefix(err.Error(), "setting DNS of wg0: ") || !strings.Contains(err.Error(), "Link 7 not known") {
		t.Errorf("setting DNS of a link that is gone: %v", err)
	}
}

// TestDrift has somebody else take the routing domain away, so that the servers are
// asked for nothing any more.
func TestDrift(t *testing.T) {
	f := startResolved(t, 7)
	r := detect(t, &hosttest.Runner{}, &hosttest.Files{})
	set(t, r, "wg0", 7, both)
	if err := f.SetLinkDomains(7, []fakeDomain{{Name: "corp.example"}, {Name: "other", RouteOnly: true}}); err != nil {
		t.Fatal(err)
	}
	got, err := r.Get(t.Context(), "wg0", 7)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(resolver.Config{Search: []string{"corp.example"}}, got); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	set(t, r, "wg0", 7, both)
}

func TestFaults(t *testing.T) {
	for _, method := range []string{"SetLinkDNS", "SetLinkDomains", "SetLinkDefaultRoute", "RevertLink"} {
		t.Run(method, func(t *testing.T) {
			f := startResolved(t, 7)
			r := detect(t, &hosttest.Runner{}, &hosttest.Files{})
			f.refuse(method, dbus.NewError(resolve1+".LinkBusy", []any{"Link wg0 is managed."}))
			c, verb := both, "setting"
			if method == "RevertLink" {
				c, verb = none, "removing"
			}
			err := r.Set(t.Context(), "wg0", 7, c)
			if want := verb + " DNS of wg0: Link wg0 is managed."; err == nil || err.Error() != want {
				t.Errorf("error is %v, want %s", err, want)
			}
		})
	}
	t.Run("resolvconf", func(t *testing.T) {
		dbustest.None(t)
		f := &fakeResolvconf{}
		run := &hosttest.Runner{Programs: map[string]hosttest.Program{"resolvconf": f.program}}
		r := detect(t, run, &hosttest.Files{})
		run.Fault = func(string) error { return errors.New("disk full") }
		if err := r.Set(t.Context(), "wg0", 7, both); err == nil || err.Error() != "setting DNS of wg0: disk full" {
			t.Errorf("setting: %v", err)
		}
		if err := r.Set(t.Context(), "wg0", 7, none); err == nil || err.Error() != "removing DNS of wg0: disk full" {
			t.Errorf("removing: %v", err)
		}
		if _, err := r.Get(t.Context(), "wg0", 7); err == nil || err.Error() != "reading DNS of wg0: disk full" {
			t.Errorf("reading: %v", err)
		}
	})
}

func TestSetRefuses(t *testing.T) {
	tests := []struct {
		name string
		c    resolver.Config
		want string
	}{
		{"two words", resolver.Config{Search: []string{"a b"}}, `setting DNS of wg0: search domain "a b": invalid argument`},
		{"two lines", resolver.Config{Search: []string{"a\nnameserver 6.6.6.6"}}, `setting DNS of wg0: search domain "a\nnameserver 6.6.6.6": invalid argument`},
		{"no word", resolver.Config{Search: []string{""}}, `setting DNS of wg0: search domain "": invalid argument`},
		{"no address", resolver.Config{Servers: []netip.Addr{{}}}, `setting DNS of wg0: DNS server invalid IP: invalid argument`},
		{"zone", resolver.Config{Servers: addrs("fe80::1%eth0")}, `setting DNS of wg0: DNS server fe80::1%eth0: invalid argument`},
	}
	for host, start := range hosts(t) {
		r, state, _ := start(t)
		for _, tt := range tests {
			t.Run(host+"/"+tt.name, func(t *testing.T) {
				if err := r.Set(t.Context(), "wg0", 7, tt.c); err == nil || err.Error() != tt.want {
					t.Errorf("error is %v, want %s", err, tt.want)
				}
			})
		}
		if got := state.String(); got != "" {
			t.Errorf("%s: something was set:\n%s", host, got)
		}
	}
}

func TestDetectNone(t *testing.T) {
	standIn := func(c host.Cmd) ([]byte, error) { return nil, hosttest.Exit(c, 1, "Switch -l not supported.") }
	tests := []struct {
		name     string
		bus      func(*testing.T)
		programs map[string]hosttest.Program
		want     string
	}{
		{"no bus", dbustest.None, nil, "finding a resolver: neither systemd-resolved nor resolvconf: unsupported operation"},
		{"bus without resolved", dbustest.Start, nil, "finding a resolver: neither systemd-resolved nor resolvconf: unsupported operation"},
		{"resolved is stopped", dbustest.Start, map[string]hosttest.Program{"resolvconf": standIn},
			"finding a resolver: systemd-resolved does not run: unsupported operation"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.bus(t)
			_, err := resolver.Detect(t.Context(), &hosttest.Runner{Programs: tt.programs}, &hosttest.Files{})
			if !errors.Is(err, errors.ErrUnsupported) || err.Error() != tt.want {
				t.Errorf("error is %v, want %s", err, tt.want)
			}
		})
	}
}
