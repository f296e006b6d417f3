package desired_test

import (
	"testing"

	"github.com/vpnctl/vpnctl/internal/desired"
)

func TestNeedsWatch(t *testing.T) {
	peer := func(host string) desired.State {
		return desired.State{Interfaces: []desired.Interface{{}, {Peers: []desired.Peer{
			{}, {Endpoint: desired.Endpoint{Host: host, Port: 1}},
		}}}}
	}
	filter := func(n desired.Netfilter) desired.State { return desired.State{Netfilter: n} }
	for name, tt := range map[string]struct {
		state desired.State
		want  bool
	}{
		"nothing":     {desired.State{Site: "hq"}, false},
		"addresses":   {peer("192.0.2.1"), false},
		"IPv6":        {peer("2001:db8::1"), false},
		"name":        {peer("hub.example.net"), true},
		"full tunnel": {filter(desired.Netfilter{AntiSpoofs: make([]desired.AntiSpoof, 1)}), true},
		"guard":       {filter(desired.Netfilter{Guards: make([]desired.Guard, 1)}), true},
		"exempt":      {filter(desired.Netfilter{Exempts: make([]desired.Exempt, 1)}), true},
		"masquerade":  {filter(desired.Netfilter{Masquerades: make([]desired.Masquerade, 1)}), false},
		"PPP":         {desired.State{PPP: desired.PPP{Links: make([]desired.PPPLink, 1)}}, true},
		"IPsec":       {desired.State{IPsec: desired.IPsec{Connections: make([]desired.Connection, 1)}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tt.state.NeedsWatch(); got != tt.want {
				t.Errorf("got %t", got)
			}
		})
	}
}
