package ipsec_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/topology"
)

// inline is a source of the secrets that stand in a topology itself.
type inline struct{ vault }

func (s inline) Value(ref *secret.Ref) (secret.Value, error) { return ref.Value, nil }
func (s inline) ID(_ *secret.Ref, v secret.Value) secret.ID  { return s.vault.ID(v) }
func replaced(text string, pairs ...string) string {
	return strings.NewReplacer(pairs...).Replace(text)
}
func l2tpExample(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("../../examples/l2tp-ipsec.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return replaced(string(text), "10.13.0.101", "192.168.10.10", "10.13.0.105", "192.168.20.20")
}

// l2tpState is what a node of an example holds of IPsec.
func l2tpState(t testing.TB, r *rig, text, node string) *desired.State {
	t.Helper()
	top, _, err := topology.Parse("site.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s, err := desired.Derive(top, node, inline{r.secrets})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// l2tp is what a node of the example, changed as wanted, holds.
func l2tp(r *rig, node string, pairs ...string) func(i *desired.IPsec) {
	return func(i *desired.IPsec) {
		add := l2tpState(r.t, r, replaced(l2tpExample(r.t), pairs...), node).IPsec
		i.Connections, i.Secrets = append(i.Connections, add.Connections...), append(i.Secrets, add.Secrets...)
	}
}

// TestL2TPServer: the connection below L2TP is loaded as any other. Its rows say whose it
// is, nobody is a user of it, and a change costs whom it ends.
func TestL2TPServer(t *testing.T) {
	r := newRig(t)
	text := l2tpExample(t)
	want := l2tpState(t, r, text, "vpn")
	plan := r.text(want)
	for _, line := range []string{"+ ipsec/l2tp-office\n", "version: 1\n", "mode: transport\n", "local_ts: dynamic[udp/1701]\n", "remote_ts: dynamic[udp]\n"} {
		if !strings.Contains(plan, line) {
			t.Errorf("no %q in the plan\n%s", line, plan)
		}
	}
	if strings.Contains(plan, "123456") {
		t.Errorf("the plan shows a secret:\n%s", plan)
	}
	r.apply(want)
	r.l2tpRows(want, "l2tp/office l2tp-office/l2tp-office idle")
	r.charon.ConnectAs("l2tp-office", "l2tp-office", "192.168.20.20", "", "192.168.20.20")
	r.charon.ConnectAs("l2tp-office", "l2tp-office", "10.77.0.2", "", "203.0.113.7")
	r.charon.ConnectAs("l2tp-office", "l2tp-office", "10.77.0.3", "", "203.0.113.7")
	r.l2tpRows(want, "l2tp/office l2tp-office/l2tp-office up", "l2tp/office l2tp-office/l2tp-office up", "l2tp/office l2tp-office/l2tp-office up")
	r.apply(want) // two ids behind one NAT, and two SAs of one child: nothing is surplus

	ended, err := r.backend().Kick(t.Context(), r.input(want), "10.77.0.2")
	if err != nil || len(ended) > 0 || len(r.charon.SAs()) != 3 {
		t.Errorf("kicked %v, %v", ended, err)
	}
	if servers, err := r.backend().Servers(t.Context(), r.input(want)); err != nil || len(servers) > 0 {
		t.Errorf("servers %v, %v: L2TP has the pools", servers, err)
	}
	changed := r.text(l2tpState(t, r, replaced(text, "aes128-sha256]", "aes256-sha256]"), "vpn"))
	if !strings.Contains(changed, "~ ipsec/l2tp-office/child/l2tp-office\n") || !strings.Contains(changed, "esp_proposals: aes128-sha256 -> aes256-sha256\n") ||
		!strings.Contains(changed, "! replaces CHILD_SA l2tp-office: interrupts 3 tunnels (l2tp-office 192.168.20.20, ") {
		t.Errorf("a changed proposal:\n%s", changed)
	}
	r.charon.Kill()
	r.l2tpRows(want, "l2tp/office l2tp-office/l2tp-office down: charon is not running")
}

// TestL2TPClient: a client's trap stands, and it is brought up at once; why not, is known.
func TestL2TPClient(t *testing.T) {
	r := newRig(t)
	r.network.AddAddr("eth0", "192.168.20.20/16")
	want := l2tpState(t, r, l2tpExample(t), "branch")
	r.apply(want)
	file, err := r.files.Read("/etc/swanctl/conf.d/vpnctl.conf")
	if conf := string(file.Data); err != nil || !strings.Contains(conf, "start_action = trap") || strings.Contains(conf, "start_action = start") {
		t.Errorf("the file holds\n%s", conf)
	}
	r.l2tpRows(want, "l2tp/office l2tp-office/l2tp-office up")

	r = newRig(t)
	r.charon.Answer("l2tp-office/l2tp-office", refused)
	want = l2tpState(t, r, l2tpExample(t), "branch")
	r.apply(want)
	r.l2tpRows(want, "l2tp/office l2tp-office/l2tp-office down: "+refusedText)
	r.apply(state())
	if got := r.charon.String(); strings.Contains(got, "l2tp-office") {
		t.Errorf("at the end:\n%s", got)
	}
}

// l2tpRows compares the rows of status.
func (r *rig) l2tpRows(want *desired.State, rows ...string) {
	r.t.Helper()
	found, err := r.backend().Status(r.t.Context(), r.input(want))
	if err != nil {
		r.t.Fatal(err)
	}
	var got []string
	for _, row := range found {
		if row.Protocol != backend.IPsec {
			r.t.Errorf("row of %s", row.Protocol)
		}
		got = append(got, row.Carries+" "+short(row))
	}
	if diff := cmp.Diff(rows, got); diff != "" {
		r.t.Errorf("rows (-want +got):\n%s", diff)
	}
}
