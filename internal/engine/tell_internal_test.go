package engine

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vpnctl/vpnctl/internal/backend"
)

func TestTellsOnce(t *testing.T) {
	var lines []string
	tr := &transaction{Engine: &Engine{Progress: func(line string) { lines = append(lines, line) }}}
	peer := backend.Change{Action: backend.Update, Object: "wireguard/wg0/peer/a"}
	for _, step := range [][]backend.Change{
		{peer}, {{Action: backend.Create, Object: "route/10.0.0.0/8"}, peer}, nil, {{Action: backend.Delete, Object: peer.Object}},
	} {
		tr.tell(step)
	}
	want := []string{"~ wireguard/wg0/peer/a", "+ route/10.0.0.0/8", "- wireguard/wg0/peer/a"}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
