//go:build vm

package e2e

import "testing"

// TestForeignWireGuard has an interface of the owner's beside ours.
func TestForeignWireGuard(t *testing.T) {
	_, linux1, _ := startNATExample(t)
	linux1.Run("ip", "link", "add", "wg9", "type", "wireguard")
	linux1.Input(make(keys).private("owner").String(), "wg", "set", "wg9", "private-key", "/dev/stdin", "listen-port", "51999")
	linux1.Run("ip", "link", "set", "wg9", "up")
	was := linux1.Run("wg", "show", "wg9", "dump")
	before := snapshot(linux1)
	linux1.apply()
	linux1.converged()
	linux1.destroy()
	before.same(linux1, "destroy")
	if now := linux1.Run("wg", "show", "wg9", "dump"); now != was {
		t.Error("the owner's interface has changed")
	}
}
