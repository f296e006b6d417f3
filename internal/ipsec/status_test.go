package ipsec_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/ipsec/charontest"
	"github.com/vpnctl/vpnctl/internal/reason"
)

func TestStatus(t *testing.T) {
	refuse := func(r *rig, log ...string) {
		r.charon.Refusals["a/a"] = charontest.Refusal{Log: log, Answer: "establishing CHILD_SA 'a' failed"}
	}
	one := func(r *rig) *desired.State { return state(net(r, "a")) }
	tests := []struct {
		name   string
		before func(r *rig)
		want   func(r *rig) *desired.State
		after  func(r *rig)
		rows   []string
	}{
		{"up", nil, one, nil, []string{"a/a up"}},
		{"refused, wrong PSK", func(r *rig) { refuse(r, "received AUTHENTICATION_FAILED notify error") }, one, nil,
			[]string{"a/a down: authentication failed: the peer refuses our id, key or PSK (AUTHENTICATION_FAILED)"}},
		{"refused, proposals", func(r *rig) { refuse(r, "received NO_PROPOSAL_CHOSEN notify error") }, one, nil,
			[]string{"a/a down: no IKE proposal chosen: the peer takes none of aes128-sha256-modp2048"}},
		{"no answer", func(r *rig) {
			r.charon.Refusals["a/a"] = charontest.Refusal{Answer: "CHILD_SA 'a' not established after 3000ms"}
		}, one, nil, []string{"a/a down: no answer from the peer"}},
		{"refused, then up", func(r *rig) { refuse(r, "received AUTHENTICATION_FAILED notify error") }, one,
			func(r *rig) { r.charon.Initiate("a", "a") }, []string{"a/a up"}},
		{"waits for the other", nil, func(r *rig) *desired.State {
			return state(net(r, "a", initiate(desired.InitiateNever)))
		}, nil, []string{"a/a idle"}},
		{"a trap, and a charon that tells nobody of traffic", func(r *rig) { r.kernel.NoESP = true }, func(r *rig) *desired.State {
			return state(net(r, "a", initiate(desired.InitiateNever)))
		}, nil, []string{"a/a connecting"}},
		{"a trap whose negotiation failed", nil, func(r *rig) *desired.State {
			return state(net(r, "a", initiate(desired.InitiateNever)))
		}, func(r *rig) {
			if err := r.reasons.Put(reason.Key{Connection: "a", Child: "a"}, reason.Reason{Text: "no answer from the peer"}); err != nil {
				r.t.Fatal(err)
			}
		}, []string{"a/a down: no answer from the peer"}},
		{"refused, for a certificate of the past", func(r *rig) { refuse(r, "received AUTHENTICATION_FAILED notify error") },
			func(r *rig) *desired.State { return state(certificates(r, "a", certificate, keyA)) },
			func(r *rig) { r.now = r.now.AddDate(100, 0, 0) }, []string{"a/a down: certificate expired (CN=gw-a, at " + expiry.UTC().Format(time.RFC3339) + ")"}},
		{"just applied", nil, func(r *rig) *desired.State {
			return state(net(r, "a", initiate(desired.InitiateSecond)))
		}, nil, []string{"a/a connecting"}},
		{"applied long ago", nil, func(r *rig) *desired.State {
			return state(net(r, "a", initiate(desired.InitiateSecond)))
		}, func(r *rig) { r.now = r.now.Add(time.Hour) }, []string{"a/a down: no answer from the peer"}},
		{"not loaded", nil, one, func(r *rig) { r.charon.Forget("a"); r.charon.Disconnect("") },
			[]string{"a/a down: the connection is not loaded"}},
		{"charon killed", nil, one, func(r *rig) { r.charon.Kill() }, []string{"a/a down: charon is not running"}},
		{"users", nil, func(r *rig) *desired.State { return state(roadwarriors(r, "10.99.0.0/24", "alice")) },
			func(r *rig) {
				r.charon.Connect("rw", "rw", "alice", "rw-4", "203.0.113.1")
				r.charon.Connect("rw", "rw", "alice", "rw-4", "203.0.113.2")
			}, []string{"rw/rw up user alice", "rw/rw up user alice"}},
		{"nobody logged in", nil, func(r *rig) *desired.State { return state(roadwarriors(r, "10.99.0.0/24", "alice")) },
			nil, []string{"rw/rw idle"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			if tt.before != nil {
				tt.before(r)
			}
			want := tt.want(r)
			r.apply(want)
			applied := r.now
			if tt.after != nil {
				tt.after(r)
			}
			later := r.now
			r.now = applied
			in := r.input(want)
			r.now = later
			rows, err := r.backend().Status(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, row := range rows {
				got = append(got, short(row))
			}
			if diff := cmp.Diff(tt.rows, got); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
		})
	}
}

// short is a row in one line.
func short(row backend.Tunnel) string {
	text := fmt.Sprintf("%s/%s %s", row.Name, row.Child, row.State)
	if row.User != "" {
		text += " user " + row.User
	}
	if row.Reason != "" {
		text += ": " + row.Reason
	}
	return text
}

// TestStatusRow holds all of one row.
func TestStatusRow(t *testing.T) {
	r := newRig(t)
	want := state(net(r, "a"))
	r.apply(want)
	rows, err := r.backend().Status(t.Context(), r.input(want))
	if err != nil || len(rows) != 1 {
		t.Fatalf("status is %v, %v", rows, err)
	}
	rx, tx := uint64(840), uint64(1680)
	expected := backend.Tunnel{
		Protocol: backend.IPsec, Name: "a", Child: "a", Peer: "192.168.20.20", State: backend.Up, Backend: "kernel",
		Local: "192.168.10.10:4500", Remote: "192.168.20.20:4500", Endpoint: "192.168.20.20",
		Addresses: []string{"10.14.0.0/24"}, Since: r.now.Add(-time.Minute), RxBytes: &rx, TxBytes: &tx,
		IPsec: &backend.IPsecDetail{
			IKE:   "AES_CBC_128/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048",
			Child: "ESP/AES_CBC_128/HMAC_SHA2_256_128", SPIIn: "c0000002", SPIOut: "d0000002",
			RekeyAt: r.now.Add(50 * time.Minute),
		},
	}
	if diff := cmp.Diff(expected, rows[0]); diff != "" {
		t.Errorf("row (-want +got):\n%s", diff)
	}
}

// TestReasonsGo: why a tunnel was down is forgotten with its connection.
func TestReasonsGo(t *testing.T) {
	r := newRig(t)
	r.charon.Answer("a/a", refused)
	r.apply(state(net(r, "a")))
	r.reason("a", "a", refusedText)
	r.apply(state())
	r.reason("a", "a", "")
}
