//go:build vm

package lab_test

import (
	"os"
	"strings"
	"testing"

	"github.com/vpnctl/vpnctl/internal/lab"
)

// TestKernelOfTheMachine holds what the virtual machine is there for.
func TestKernelOfTheMachine(t *testing.T) {
	if !lab.InVM() {
		t.Fatal("built for the virtual machine, but not running there")
	}
	for _, kind := range []string{"wireguard", "dummy", "bridge", "xfrm"} {
		if has, err := lab.HasLinkType(kind); !has || err != nil {
			t.Errorf("link type %s: %v, %v", kind, has, err)
		}
	}
	for _, name := range []string{"/dev/net/tun", "/dev/ppp", "/dev/ptmx", "/dev/fd/0", "/dev/shm"} {
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
	modules := read(t, "/proc/modules")
	for _, name := range []string{"esp4", "ah4", "xfrm_interface", "l2tp_ppp", "ppp_mppe", "pptp", "nf_nat_pptp", "xt_policy"} {
		if !strings.Contains("\n"+modules, "\n"+name+" ") {
			t.Errorf("module %s is not loaded", name)
		}
	}
}

func TestWireGuardInHost(t *testing.T) {
	l := lab.Start(t, lab.Wire("a:eth0 10.1.0.1/24", "b:eth0 10.1.0.2/24"))
	a, b := l.Host("a"), l.Host("b")
	keys := make(map[*lab.Host]string)
	for _, h := range []*lab.Host{a, b} {
		private := h.Run("wg", "genkey")
		h.WriteFile("/etc/wireguard/key", private, 0o600)
		keys[h] = strings.TrimSpace(h.Input(private, "wg", "pubkey"))
	}
	for _, end := range []struct {
		h           *lab.Host
		peer        *lab.Host
		addr, other string
		endpoint    string
	}{
		{a, b, "10.9.0.1/24", "10.9.0.2/32", "10.1.0.2:51820"},
		{b, a, "10.9.0.2/24", "10.9.0.1/32", "10.1.0.1:51820"},
	} {
		end.h.Run("ip", "link", "add", "wg0", "type", "wireguard")
		end.h.Run("wg", "set", "wg0", "listen-port", "51820", "private-key", "/etc/wireguard/key",
			"peer", keys[end.peer], "allowed-ips", end.other, "endpoint", end.endpoint)
		end.h.Run("ip", "addr", "add", end.addr, "dev", "wg0")
		end.h.Run("ip", "link", "set", "wg0", "up")
	}
	a.Ping("10.9.0.2")
}
