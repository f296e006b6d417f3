package engine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/backend"
)

// TestFold: an operator reads of one tunnel where one runs inside another, and misses
// nothing of what is wrong.
func TestFold(t *testing.T) {
	carrier := func(remote string, state backend.State, reason string) backend.Tunnel {
		c := backend.Tunnel{Protocol: backend.IPsec, Name: "l2tp-office", Child: "l2tp-office", Remote: remote, State: state, Reason: reason, Carries: "l2tp/office"}
		if state == backend.Up {
			c.IPsec = &backend.IPsecDetail{SPIIn: remote}
		}
		return c
	}
	inside := func(remote string, state backend.State, reason string) backend.Tunnel {
		return backend.Tunnel{Protocol: backend.L2TP, Name: "office", Remote: remote, State: state, Reason: reason}
	}
	selecting := func(port string, c backend.Tunnel) backend.Tunnel {
		c.Addresses = []string{"192.0.2.1/32[udp/" + port + "]"}
		return c
	}
	other := backend.Tunnel{Protocol: backend.IPsec, Name: "office", State: backend.Idle}
	for _, tt := range []struct {
		name string
		rows []backend.Tunnel
		want []string
	}{
		{"nothing to fold", []backend.Tunnel{other}, []string{"ipsec/office idle"}},
		{"up", []backend.Tunnel{carrier("192.0.2.1:4500", backend.Up, ""), other, inside("192.0.2.1:1701", backend.Up, ""), inside("192.0.2.2", backend.Up, "")},
			[]string{"ipsec/office idle", "l2tp/office 192.0.2.1:1701 up in 192.0.2.1:4500", "l2tp/office 192.0.2.2 up"}},
		{"two behind one NAT", []backend.Tunnel{selecting("1701", carrier("192.0.2.1:4500", backend.Up, "")), selecting("1024", carrier("192.0.2.1:1024", backend.Up, "")), inside("192.0.2.1:1701", backend.Up, "")},
			[]string{"l2tp/office 192.0.2.1:1701 up"}},
		{"two behind one NAT, with one port", []backend.Tunnel{
			selecting("1701", carrier("192.0.2.1:4500", backend.Up, "")), selecting("1701", carrier("192.0.2.1:1024", backend.Up, "")),
			inside("192.0.2.1:1701", backend.Up, ""), inside("192.0.2.2", backend.Up, ""),
		}, []string{"l2tp/office 192.0.2.1:1701 up: another client behind the same NAT has the same port: each may get the other's packets", "l2tp/office 192.0.2.2 up"}},
		{"nobody there", []backend.Tunnel{carrier("", backend.Idle, "")}, nil},
		{"below is the cause", []backend.Tunnel{carrier("", backend.Down, "no answer from the peer"), inside("", backend.Down, "xl2tpd dials"), other},
			[]string{"l2tp/office down: IPsec: no answer from the peer", "ipsec/office idle"}},
		{"under way below", []backend.Tunnel{carrier("", backend.Connecting, ""), inside("", backend.Connecting, "")}, []string{"l2tp/office connecting"}},
		{"below is up", []backend.Tunnel{carrier("192.0.2.1:4500", backend.Up, ""), inside("", backend.Down, "wrong password")}, []string{"l2tp/office down: wrong password"}},
		{"below is down, and who is inside not yet", []backend.Tunnel{carrier("", backend.Down, "charon is not running"), inside("192.0.2.1", backend.Up, "")},
			[]string{"l2tp/office 192.0.2.1 up", "l2tp/office down: IPsec: charon is not running"}},
		{"a server that waits", []backend.Tunnel{carrier("", backend.Down, "charon is not running"), inside("", backend.Idle, "")},
			[]string{"l2tp/office down: IPsec: charon is not running"}},
		{"nobody says it", []backend.Tunnel{carrier("", backend.Down, "charon is not running"), other},
			[]string{"ipsec/office idle", "l2tp/office down: IPsec: charon is not running"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, r := range fold(tt.rows) {
				text := fmt.Sprintf("%s/%s %s %s", r.Protocol, r.Name, r.Remote, r.State)
				if r.Reason != "" {
					text += ": " + r.Reason
				}
				if r.IPsec != nil {
					text += " in " + r.IPsec.SPIIn
				}
				got = append(got, strings.Replace(text, "  ", " ", 1))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
