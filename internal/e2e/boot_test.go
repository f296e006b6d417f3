package e2e

import (
	"strings"
	"testing"
)

// powerCycle takes from a host what a reboot takes: the interface, rules, settings, and
// all of /run.
const powerCycle = `ip link del wg0
	iptables-save | grep -v VPNCTL- | iptables-restore
	sysctl -qw net.ipv4.ip_forward=0
	rm -rf /run/vpnctl`

// TestBoot is the boot of a host whose init is not systemd: the init calls vpnctl.
func TestBoot(t *testing.T) {
	_, linux1, linux2 := startNATExample(t)
	before := snapshot(linux2)
	linux1.apply()
	linux2.apply()
	linux2.Run("sh", "-ec", powerCycle)

	linux2.exits(0, "boot", "--guard")
	if links := linux2.Run("ip", "-o", "link"); strings.Contains(links, "wg0") {
		t.Errorf("the guard brought up the interface:\n%s", links)
	}
	if rules := linux2.Run("iptables-save"); !strings.Contains(rules, "MASQUERADE") {
		t.Errorf("the guard set no rule:\n%s", rules)
	}
	linux2.exits(0, "boot")
	linux2.converged()
	linux1.Ping("10.13.0.202")

	// What is in the way is left out, and the rest comes up.
	linux2.Run("sh", "-ec", powerCycle+"; ip link add wg0 type veth peer name other")
	r := linux2.exits(1, "boot")
	if !strings.Contains(r.stderr, "left out: wireguard/wg0: ") {
		t.Errorf("boot says\n%s", r.stderr)
	}
	if s := linux2.exits(0, "status").stdout; !strings.Contains(s, "left out at boot: wireguard/wg0: ") {
		t.Errorf("status says\n%s", s)
	}
	if rules := linux2.Run("iptables-save"); !strings.Contains(rules, "MASQUERADE") {
		t.Errorf("the rest is not there:\n%s", rules)
	}
	linux2.Run("ip", "link", "del", "wg0")
	linux2.exits(0, "boot")
	linux2.converged()
	if s := linux2.exits(0, "status").stdout; strings.Contains(s, "left out") {
		t.Errorf("status says\n%s", s)
	}
	linux1.Ping("10.13.0.202")
	linux2.destroy()
	before.same(linux2, "destroy")
	if _, err := linux2.Try("test", "!", "-e", "/run/vpnctl"); err != nil {
		t.Errorf("the run folder is left: %v", err)
	}
}
