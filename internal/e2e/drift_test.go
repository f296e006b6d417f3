package e2e

import (
	"strings"
	"testing"
)

// TestDrift changes by hand what vpnctl made: diff shows it, apply repairs it.
func TestDrift(t *testing.T) {
	_, linux1, linux2 := startNATExample(t)
	linux1.apply()
	linux2.apply()
	linux1.Ping("10.13.0.202")
	stray := make(keys).public("stray")
	for _, tt := range []struct {
		name string
		n    *node
		do   []string
		want string // in the plan
	}{
		{"peer added", linux1, []string{"wg", "set", "wg0", "peer", stray, "allowed-ips", "10.0.0.77/32"}, "- wireguard/wg0/peer/" + stray},
		{"peer removed", linux1, []string{"wg", "set", "wg0", "peer", linux2Key, "remove"}, "+ wireguard/wg0/peer/linux2"},
		{"allowed IP added", linux1, []string{"wg", "set", "wg0", "peer", linux2Key, "allowed-ips", "10.0.0.2/32,10.13.0.0/16,10.98.0.0/16"}, "    allowed_ips: 10.0.0.2/32, 10.13.0.0/16, 10.98.0.0/16 -> 10.0.0.2/32, 10.13.0.0/16\n"},
		{"keepalive", linux2, []string{"wg", "set", "wg0", "peer", linux1Key, "persistent-keepalive", "5"}, "    persistent_keepalive: 5s -> 25s\n"},
		{"address removed", linux1, []string{"ip", "addr", "del", "10.0.0.1/24", "dev", "wg0"}, "    addresses: "},
		{"address added", linux1, []string{"ip", "addr", "add", "10.0.0.99/24", "dev", "wg0"}, "    addresses: "},
		{"mtu", linux1, []string{"ip", "link", "set", "wg0", "mtu", "1300"}, "    mtu: 1300 -> 1420\n"},
		{"down", linux1, []string{"ip", "link", "set", "wg0", "down"}, "~ wireguard/wg0"},
		{"route", linux1, []string{"ip", "route", "del", "10.13.0.0/16"}, "+ route/10.13.0.0/16"},
		{"link", linux1, []string{"ip", "link", "del", "wg0"}, "+ wireguard/wg0"},
		{"forwarding", linux2, []string{"sysctl", "-qw", "net.ipv4.ip_forward=0"}, "sysctl/net.ipv4.ip_forward"},
		{"jump", linux2, []string{"sh", "-c", "iptables -t nat -D $(iptables -t nat -S POSTROUTING | sed -n 's/^-A \\(.*--comment vpnctl.*\\)/\\1/p')"}, "nat/linux2/"},
		{"rules", linux2, []string{"sh", "-c", "iptables-save | grep -v VPNCTL- | iptables-restore"}, "nat/linux2/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := tt.n.in(t)
			n.Run(tt.do...)
			r := n.exits(1, "diff")
			if !strings.Contains(r.stdout, tt.want) {
				t.Errorf("diff lacks %q: %s", tt.want, r)
			}
			n.exits(0, "apply")
			n.converged()
			linux1.in(t).Ping("10.13.0.202")
		})
	}
}

// TestCleared takes a preshared key and a keepalive out of the topology: the
// kernel must not keep them.
func TestCleared(t *testing.T) {
	_, linux1, linux2 := startNATExample(t)
	text := example(t, "wireguard-nat.yaml")
	psk := make(keys).private("psk").String()
	all := []*node{linux1, linux2}
	for _, n := range all {
		n.WriteFile("/etc/vpnctl/wg0.psk", psk+"\n", 0o600)
		n.has(strings.Replace(text, "    listen_port: 51820\n", "    listen_port: 51820\n    preshared_key: {file: wg0.psk}\n", 1))
		n.apply()
	}
	linux1.Ping("10.13.0.202")
	for n, peer := range map[*node]string{linux1: linux2Key, linux2: linux1Key} {
		if got := n.wgPeer(peer).preshared; got != psk {
			t.Errorf("preshared key on %s is not the file's", n.Name())
		}
	}
	for _, n := range all {
		n.has(strings.Replace(text, "        persistent_keepalive: 25s\n", "", 1))
		n.apply()
		n.converged()
	}
	for n, peer := range map[*node]string{linux1: linux2Key, linux2: linux1Key} {
		if p := n.wgPeer(peer); p.preshared != "(none)" || p.keepalive != "off" {
			t.Errorf("on %s preshared key set: %t, keepalive: %s", n.Name(), p.preshared != "(none)", p.keepalive)
		}
	}
	linux1.Ping("10.13.0.202")
}
