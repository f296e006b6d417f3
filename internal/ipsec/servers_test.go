package ipsec_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
)

// TestKick: a user's SAs end, by name or by certificate, and nobody else's.
func TestKick(t *testing.T) {
	session := func(user, peer, address string) backend.Session {
		return backend.Session{Protocol: backend.IPsec, Name: "rw", User: user, Peer: peer, Address: address}
	}
	for _, tt := range []struct {
		user string
		want []backend.Session
		left int
	}{
		{"alice", []backend.Session{session("alice", "", "10.99.0.3"), session("alice", "", "10.99.0.5")}, 4},
		{"bob", []backend.Session{{Protocol: backend.IPsec, Name: "certs", Peer: "C=CH, CN=bob", Address: "10.99.0.7"}}, 5},
		{"carol@example.net", []backend.Session{session("carol@example.net", "", "10.99.0.9")}, 5},
		{"a", nil, 6},
		{"192.168.20.20", nil, 6}, // the far end of a tunnel is no user
		{"mallory", nil, 6},
	} {
		t.Run(tt.user, func(t *testing.T) {
			r := newRig(t)
			want := state(net(r, "a"), roadwarriors(r, "10.99.0.0/24", "alice"), func(i *desired.IPsec) {
				c := i.Connections[1]
				c.Name, c.Remote = "certs", desired.Auth{Method: "pubkey", ID: "%any"}
				i.Connections = append(i.Connections, c)
			})
			r.apply(want)
			r.charon.Connect("rw", "rw", "alice", "rw-4", "203.0.113.1")
			r.charon.Connect("rw", "rw", "alice", "rw-4", "203.0.113.2")
			r.charon.ConnectAs("certs", "certs", "C=CH, CN=bob", "rw-4", "203.0.113.3")
			r.charon.ConnectAs("rw", "rw", "carol@example.net", "rw-4", "203.0.113.4")
			r.charon.Load("theirs", "their pool", "their secret")
			r.charon.Connect("theirs", "theirs", "alice", "their pool", "203.0.113.5")
			got, err := r.backend().Kick(t.Context(), r.input(want), tt.user)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("ended (-want +got):\n%s", diff)
			}
			if n := len(r.charon.SAs()); n != tt.left {
				t.Errorf("%d SAs are left, not %d:\n%s", n, tt.left, r.charon)
			}
		})
	}
}

// TestKickFails: what has ended before charon went is told all the same.
func TestKickFails(t *testing.T) {
	r := newRig(t)
	want := state(roadwarriors(r, "10.99.0.0/24", "alice"))
	r.apply(want)
	r.charon.Connect("rw", "rw", "alice", "rw-4", "203.0.113.1")
	r.charon.Connect("rw", "rw", "alice", "rw-4", "203.0.113.2")
	r.failAt(2, false)
	got, err := r.backend().Kick(t.Context(), r.input(want), "alice")
	if err == nil || len(got) != 1 {
		t.Errorf("ended %v, %v", got, err)
	}
}

// TestServers: a pool that had to be made beside another is counted under its own name.
func TestServers(t *testing.T) {
	r := newRig(t)
	row := func(pool string, used, free int) []backend.Server {
		return []backend.Server{{Protocol: backend.IPsec, Name: "rw", Pool: []string{pool}, Used: used, Free: free}}
	}
	check := func(want *desired.State, rows []backend.Server) {
		t.Helper()
		got, err := r.backend().Servers(t.Context(), r.input(want))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(rows, got); diff != "" {
			t.Errorf("servers (-want +got):\n%s", diff)
		}
	}
	check(state(net(r, "a")), nil)
	first := state(roadwarriors(r, "10.99.0.0/24", "alice"))
	r.apply(first)
	check(first, row("10.99.0.0/24", 0, 254))
	r.charon.Connect("rw", "rw", "alice", "rw-4", "203.0.113.1")
	check(first, row("10.99.0.0/24", 1, 253))
	second := state(roadwarriors(r, "10.98.0.0/24", "alice"))
	r.apply(second)
	check(second, row("10.98.0.0/24", 0, 254))
	r.charon.Kill()
	check(second, row("10.98.0.0/24", 0, 0))
}

// TestCertificates lists those that are named, and passes over what is none.
func TestCertificates(t *testing.T) {
	r := newRig(t)
	want := state(certificates(r, "a", certificate, keyA))
	r.apply(want)
	got, err := r.backend().Certificates(t.Context(), r.input(want))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) == 0 || got[0].Name != "a" || got[0].Path != "/etc/swanctl/x509/vpnctl-a.crt" || got[0].NotAfter.IsZero() {
		t.Errorf("certificates are %+v", got)
	}
	broken := state(certificates(r, "a", "no certificate", keyA))
	if got, err := r.backend().Certificates(t.Context(), r.input(broken)); err != nil || len(got) > 0 {
		t.Errorf("certificates are %+v, %v", got, err)
	}
}
