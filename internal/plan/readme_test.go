package plan_test

import (
	"os"
	"strings"
	"testing"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/plan"
)

// TestReadme keeps the plan that the README shows true.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	alice := backend.Session{Protocol: backend.WireGuard, Name: "wg0", Peer: "alice", Address: "198.51.100.7:51820"}
	changes := []backend.Change{
		{Action: backend.Update, Object: "wireguard/wg0/peer/linux2", Fields: []backend.Field{{
			Name: "allowed_ips", Have: backend.Text("10.0.0.2/32, 10.13.0.0/16"), Want: backend.Text("10.0.0.2/32, 10.13.0.0/16, 10.14.0.0/16"),
		}}},
		{Action: backend.Create, Object: "route/10.14.0.0/16", Fields: []backend.Field{{Name: "dev", Want: backend.Text("wg0")}}},
		{
			Action: backend.Delete, Object: "wireguard/wg0/peer/alice",
			Impact: backend.Impact{Level: backend.Disrupt, What: "removes the peer: ends 1 session", Sessions: []backend.Session{alice}},
		},
	}
	text := plan.New("wireguard-nat", "linux1", []backend.Step{{Changes: changes}}).Text(plan.Palette{})
	if !strings.Contains(string(readme), "```\n"+text+"```") {
		t.Errorf("the README does not show what is printed:\n%s", text)
	}
}
