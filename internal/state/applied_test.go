package state

import (
	"bytes"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/topology"
)

// fullPeer sets every field: one that is new and that the format does not know fails the
// test.
func fullPeer(t testing.TB, i int) desired.Peer {
	p := desired.Peer{
		Name: fmt.Sprintf("peer-%d.example", i), PresharedKey: "secret:00",
		Endpoint:            desired.Endpoint{Host: "2001:db8::1", Port: 51820 + i},
		AllowedIPs:          []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::/0")},
		PersistentKeepalive: 25 * time.Second,
	}
	p.PublicKey[0], p.PublicKey[31] = byte(i), 0xff
	for v, at := reflect.ValueOf(p), 0; at < v.NumField(); at++ {
		if v.Field(at).IsZero() {
			t.Fatalf("the field %s is not tested", v.Type().Field(at).Name)
		}
	}
	return p
}

func full(t testing.TB) *Applied {
	bare := desired.Peer{Name: "bare"}
	return &Applied{
		Site: "hq", Node: "gw", At: time.Unix(1700000000, 0).UTC(), File: "/etc/site.yaml", Dir: "/etc",
		Topology: "version: 1\n# ü\n\nsite: hq", Secrets: map[string]secret.ID{"a.b": "secret:00"},
		Reading: &Reading{
			Program: "vpnctl 1", Name: "site.yaml", Source: "secret:01", Mode: 0o600, Warnings: []string{"a\nb"},
			Nodes: []topology.Node{{
				Name: "gw", Hostname: "gw.example", Addresses: []topology.Host{{Addr: netip.MustParseAddr("192.0.2.1")}, {Name: "gw.example"}},
			}},
			Files: []SecretFile{{Name: "key", Public: true, Encoding: secret.Hex, ID: "secret:02"}},
		},
		State: &desired.State{Site: "hq", Node: "gw", Interfaces: []desired.Interface{
			{Name: "wg0", Peers: []desired.Peer{fullPeer(t, 1), bare, fullPeer(t, 2)}}, {Name: "wg1"},
			{Name: "wg2", MTU: 1400, Peers: []desired.Peer{fullPeer(t, 3)}},
		}},
	}
}

var comparePrefixes = cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})

func TestAppliedRoundTrip(t *testing.T) {
	for name, want := range map[string]*Applied{
		"all": full(t), "without state": {Site: "hq"}, "without peers": {State: &desired.State{Site: "hq"}},
	} {
		data, err := formatApplied(want)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := parseApplied(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got, comparePrefixes); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestAppliedIsNotChangedByWriting guards the state of a running apply, from which
// writing borrows.
func TestAppliedIsNotChangedByWriting(t *testing.T) {
	a := full(t)
	if _, err := formatApplied(a); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(full(t), a, comparePrefixes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestAppliedCut cuts the file at every byte: it is refused, and never taken for less
// than it was.
func TestAppliedCut(t *testing.T) {
	whole, err := formatApplied(full(t))
	if err != nil {
		t.Fatal(err)
	}
	for cut := range whole {
		if got, err := parseApplied(whole[:cut]); err == nil {
			t.Fatalf("cut at %d of %d: read %+v", cut, len(whole), got)
		}
	}
}

func TestAppliedDamaged(t *testing.T) {
	whole, err := formatApplied(full(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ old, new string }{
		{`"peers":[3,0,1]`, `"peers":[3,0]`},
		{`"peers":[3,0,1]`, `"peers":[-1,0,1]`},
		{`"peers":[3,0,1]`, `"peers":[1000000000,0,1]`},
		{`"topology_bytes":`, `"topology_bytes":-`},
		{"\t51821\t", "\tport\t"},
		{"\t51821\t", "\t51821\t\t"},
		{"\t51821\t", "\t"},
		{"\t25000000000\t", "\t25s\t"},
		{"10.0.0.0/8", "10.0.0.0"},
		{"bare\tAAAA", "bare\tAAA"},
		{"bare\tAAAA", "bare\t????"},
	} {
		if !bytes.Contains(whole, []byte(tt.old)) {
			t.Fatalf("%q is not in the file:\n%s", tt.old, whole)
		}
		if _, err := parseApplied(bytes.Replace(whole, []byte(tt.old), []byte(tt.new), 1)); err == nil {
			t.Errorf("accepted with %q in place of %q", tt.new, tt.old)
		}
	}
}

func TestAppliedIsReadOnce(t *testing.T) {
	d := newDir(t)
	if err := d.Init(); err != nil {
		t.Fatal(err)
	}
	read := func(site string) *Applied {
		t.Helper()
		if site != "" {
			if err := d.SaveApplied(&Applied{Site: site}); err != nil {
				t.Fatal(err)
			}
		}
		a, err := d.Applied()
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := read("one")
	if read("") != first {
		t.Error("the same file was read twice")
	}
	if second := read("two"); second.Site != "two" {
		t.Errorf("after a change: %+v", second)
	}
}

func FuzzApplied(f *testing.F) {
	whole, err := formatApplied(full(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte(strings.Repeat("{", 10)))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := parseApplied(data)
		if err != nil {
			return
		}
		once, err := formatApplied(a)
		if err != nil {
			return // a time that JSON cannot write
		}
		b, err := parseApplied(once)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%q", err, once)
		}
		if twice, err := formatApplied(b); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("written once and twice (%v):\n%q\n%q", err, once, twice)
		}
	})
}

// crowd is a state with ten thousand peers.
func crowd(tb testing.TB) *Applied {
	a := full(tb)
	peers := make([]desired.Peer, 10000)
	for i := range peers {
		peers[i] = fullPeer(tb, i)
		peers[i].AllowedIPs = peers[i].AllowedIPs[:1]
	}
	a.State.Interfaces = []desired.Interface{{Name: "wg0", Peers: peers}}
	return a
}

func BenchmarkParseApplied10000(b *testing.B) {
	data, err := formatApplied(crowd(b))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseApplied(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFormatApplied10000(b *testing.B) {
	a := crowd(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := formatApplied(a); err != nil {
			b.Fatal(err)
		}
	}
}
