package ipsec

import (
	"testing"

	"github.com/vpnctl/vpnctl/internal/lab"
)

// TestProbes compares what is probed with what ip(8) can do, on whatever kernel this is.
func TestProbes(t *testing.T) {
	h := lab.Start(t, lab.Wire("gw:eth0 192.168.10.10/16", "far:eth0 192.168.20.20/16")).Host("gw")
	k := newLive()
	for _, tt := range []struct {
		what string
		got  bool
		try  []string
	}{
		{"ESP", k.ESP(), []string{"ip", "xfrm", "state", "add", "src", "127.0.0.2", "dst", "127.0.0.1", "proto", "esp", "spi", "0x1000",
			"mode", "tunnel", "enc", "cbc(aes)", "0x000102030405060708090a0b0c0d0e0f", "auth", "hmac(sha1)", "0x000102030405060708090a0b0c0d0e0f10111213"}},
		{"XFRM links", k.Links(), []string{"ip", "link", "add", "probe", "type", "xfrm", "if_id", "1"}},
		{"tun", k.Tun(), []string{"test", "-w", "/dev/net/tun"}},
	} {
		out, err := h.Try(tt.try...)
		if tt.got != (err == nil) {
			t.Errorf("%s: probed %t, and ip says: %s %v", tt.what, tt.got, out, err)
		}
		t.Logf("%s: %t", tt.what, tt.got)
	}
}
