package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	topo "github.com/vpnctl/vpnctl/internal/topology"
)

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		want   float64
	}{
		{nil, 0}, {[]float64{3}, 3}, {[]float64{4, 1}, 2.5}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 3, 2, 1}, 2.5},
	} {
		if got := median(tt.values); got != tt.want {
			t.Errorf("median(%v) = %v, want %v", tt.values, got, tt.want)
		}
	}
}

// TestTable takes the ratio pair by pair: a slow moment that hit a whole pair does not
// count.
func TestTable(t *testing.T) {
	all := scenarios(1000, options{pairs: 3, wgQuick: true})
	if len(all) != 4 {
		t.Fatalf("%d scenarios", len(all))
	}
	var rows []row
	for _, s := range all {
		r := row{scenario: s}
		for _, slow := range []float64{1, 10, 1} {
			r.add(usage{slow, 20}, usage{2 * slow, 10})
		}
		rows = append(rows, r)
	}
	rows[0].aim = 0.4
	want := `
peers vpnctl against pairs seconds ratio aim peak MiB
1000 apply, from nothing wg setconf + ip -batch 3 1.00 : 2.00 0.500 <= 0.4 20 : 10 MISSED
1000 apply, nothing to do wg show dump + ip route show 3 1.00 : 2.00 0.500 <= 1.5 20 : 10
1000 apply of a hub, which forwards the same, without forwarding 3 1.00 : 2.00 0.500 none 20 : 10
1000 apply, from nothing wg-quick up 3 1.00 : 2.00 0.500 <= 0.02 20 : 10 MISSED
`
	var got strings.Builder
	got.WriteString("\n")
	for _, line := range strings.Split(table(rows), "\n")[:5] {
		got.WriteString(strings.Join(strings.Fields(line), " ") + "\n")
	}
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

// TestSides checks that both sides get the same peers.
func TestSides(t *testing.T) {
	parsed, _, err := topo.Parse("site.yaml", []byte(site(300, "")))
	if err != nil {
		t.Fatal(err)
	}
	conf := config(300, "")
	for _, p := range parsed.WireGuard[0].Peers {
		entry := "[Peer]\nPublicKey = " + p.PublicKey.String() + "\nAllowedIPs = " + p.Addresses[0].String() + "\n"
		if !strings.Contains(conf, entry) {
			t.Fatalf("peer %s is not in the file of wg", p.Name)
		}
	}
	if n := strings.Count(conf, "[Peer]"); n != len(parsed.WireGuard[0].Peers) {
		t.Errorf("%d peers against %d", n, len(parsed.WireGuard[0].Peers))
	}
}
