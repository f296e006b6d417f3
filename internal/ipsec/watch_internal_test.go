package ipsec

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/reason"
)

// TestPauses looks every second at a peer that is not there, or refuses after a while, and
// notes when it is asked.
func TestPauses(t *testing.T) {
	key := reason.Key{Connection: "a", Child: "a"}
	for _, tt := range []struct {
		name   string
		how    desired.Initiate
		takes  int // seconds that a failing attempt is under way
		upAt   int // when it succeeds for three seconds; 0 for never
		failed bool
		until  int
		want   []int
	}{
		{"refused at once", desired.InitiateFirst, 0, 0, false, 200, []int{0, 5, 15, 35, 75, 135, 195}},
		{"refused after a while", desired.InitiateFirst, 3, 0, false, 200, []int{0, 5, 15, 35, 75, 135, 195}},
		{"second, refused after a while", desired.InitiateSecond, 3, 0, false, 100, []int{5, 14, 24, 44, 84}},
		{"trap, refused after a while", desired.InitiateNever, 3, 0, true, 100, []int{5, 14, 24, 44, 84}},
		{"trap that has not failed", desired.InitiateNever, 3, 0, false, 100, nil},
		{"nobody there for an hour", desired.InitiateFirst, 165, 0, false, 1000, []int{0, 166, 332, 498, 664, 830, 996}},
		{"up meanwhile", desired.InitiateFirst, 3, 35, false, 60, []int{0, 5, 15, 35, 39, 44, 54}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			now := start
			k := &keptUp{child: child{Connection: "a", Child: "a"}, how: tt.how}
			w := &watcher{kept: []*keptUp{k}, Backend: &Backend{Config: Config{
				Now:  func() time.Time { return now },
				Pace: Pace{Look: time.Second, Second: 5 * time.Second, First: 5 * time.Second, Most: time.Minute},
			}}, shift: &backend.Shift{}}
			reasons := map[reason.Key]reason.Reason{}
			if tt.failed {
				reasons[key] = reason.Reason{Text: "authentication failed"}
			}
			var asked []int
			busy, up := -1, -1 // the last second of an attempt, of an SA
			for s := range tt.until {
				now = start.Add(time.Duration(s) * time.Second)
				var sas []ikeSA
				switch {
				case s <= up:
					sas = []ikeSA{{Name: "a", State: "ESTABLISHED", Children: []childSA{{Name: "a", State: "INSTALLED"}}}}
				case s <= busy:
					sas = []ikeSA{{Name: "a", State: "CONNECTING"}}
				}
				w.note(sas)
				if len(w.due(sas, reasons)) == 0 {
					continue
				}
				asked = append(asked, s)
				if busy = s + tt.takes; s == tt.upAt && s > 0 {
					up = s + 3
				}
			}
			if diff := cmp.Diff(tt.want, asked); diff != "" {
				t.Errorf("asked at (-want +got):\n%s", diff)
			}
		})
	}
}
