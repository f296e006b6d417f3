package desired

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func example(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../examples", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const meshMembers = `
version: 1
site: test
nodes:
  a: {addresses: [192.0.2.1]}
  b: {addresses: [b.example.net, 192.0.2.2]}
  c: {}
  d: {addresses: ["2001:db8::d"]}
  other: {}
`

// meshOf is a network whose members a, b, c and d have the addresses 1 to 4; more is
// appended to members that it names, and to the network.
func meshOf(network string, members map[string]string) string {
	var b strings.Builder
	b.WriteString(meshMembers + "wireguard:\n  wg0:\n    listen_port: 51820\n    members:\n")
	for i, m := range []string{"a", "b", "c", "d"} {
		more, ok := members[m]
		if !ok && members != nil {
			continue
		}
		b.WriteString("      " + m + ": {addresses: [10.0.0." + string(rune('1'+i)) + "/24, \"fd00::" + string(rune('1'+i)) +
			"/64\"], public_key: pub(" + m + "), private_key: {value: priv(" + m + ")}" + more + "}\n")
	}
	return b.String() + network
}

func TestDerive(t *testing.T) {
	tests := []struct {
		name, text, node, want string
	}{
		{"nat example, first gateway", example(t, "wireguard-nat.yaml"), "linux1", `
			interface wg0 10.0.0.1/24 port 51820
			  peer linux2 [10.0.0.2/32 10.13.0.0/16] endpoint 10.12.0.202 51820
			sysctl net/ipv4/conf/all/send_redirects=0
			file /etc/iproute2/rt_protos.d/vpnctl.conf 0644
			`},
		{"nat example, second gateway", example(t, "wireguard-nat.yaml"), "linux2", `
			interface wg0 10.0.0.2/24 port 51820
			  peer linux1 [10.0.0.1/32] endpoint 10.12.0.201 51820 keepalive 25s
			masquerade 10.0.0.0/16 out ens224
			forward from 10.13.0.0/16 out wg0 answers
			forward in wg0 to 10.13.0.0/16
			clamp out wg0 family 4
			sysctl net/ipv4/conf/all/send_redirects=0
			sysctl net/ipv4/ip_forward=1
			file /etc/iproute2/rt_protos.d/vpnctl.conf 0644
			`},
		{"hub example, hub", example(t, "wireguard-hub.yaml"), "hub", `
			interface wg0 10.192.122.1/24 port 51820
			  peer east [10.192.122.3/32 10.192.124.0/24]
			  peer phone [10.10.10.230/32]
			  peer west [10.192.122.4/32 192.168.0.0/16]
			forward in wg0 out wg0 family 4
			clamp out wg0 family 4
			sysctl net/ipv4/conf/all/send_redirects=0
			sysctl net/ipv4/ip_forward=1
			file /etc/iproute2/rt_protos.d/vpnctl.conf 0644
			`},
		{"hub example, spoke", example(t, "wireguard-hub.yaml"), "east", `
			interface wg0 10.192.122.3/24 port 51820
			  peer hub [10.10.10.230/32 10.192.122.1/32 10.192.122.4/32 192.168.0.0/16] endpoint 192.95.5.69 51820 keepalive 25s
			forward from 10.192.124.0/24 out wg0
			forward in wg0 to 10.192.124.0/24
			clamp out wg0 family 4
			sysctl net/ipv4/conf/all/send_redirects=0
			sysctl net/ipv4/ip_forward=1
			file /etc/iproute2/rt_protos.d/vpnctl.conf 0644
			`},
		{"hub example, other spoke", example(t, "wireguard-hub.yaml"), "west", `
			interface wg0 10.192.122.4/24 port 51820
			  peer hub [10.10.10.230/32 10.192.122.1/32 10.192.122.3/32 10.192.124.0/24] endpoint 192.95.5.69 51820 keepalive 25s
			forward from 192.168.0.0/16 out wg0
			forward in wg0 to 192.168.0.0/16
			clamp out wg0 family 4
			sysctl net/ipv4/conf/all/send_redirects=0
			sysctl net/ipv4/ip_forward=1
			file /etc/iproute2/rt_protos.d/vpnctl.conf 0644
			`},
		{"mesh", meshOf("", map[string]string{"a": "", "b": "", "c": ""}), "c", `
			interface wg0 10.0.0.3/24 fd00::3/64 port 51820
			  peer a [10.0.0.1/32 fd00::1/128] endpoint 192.0.2.1 51820
			  peer b [10.0.0.2/32 fd00::2/128] endpoint b.example.net 51820
			sysctl net/ipv4/conf/all/send_redirects=0
			file /etc/iproute2/rt_protos.d/vpnctl.conf 0644
			`},
		{"no member of anything", meshOf("", nil), "other", ""},
		{"nat alone", meshOf("nat: {other: [{source: [10.0.0.0/8, 10.1.0.0/16, 'fd00::/8'], out: auto}, {source: [10.0.0.0/8], out: eth0, snat: 192.0.2.9}]}", nil), "other", `
			masquerade 10.1.0.0/16 out auto
			masquerade 10.0.0.0/8 out eth0 snat 192.0.2.9
			masquerade 10.0.0.0/8 out auto
			masquerade fd00::/8 out auto
			sysctl net/ipv4/ip_forward=1
			sysctl net/ipv6/conf/all/forwarding=1
			`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := show(derive(t, tt.text, tt.node))
			if diff := cmp.Diff(unindent(tt.want), got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestDeriveUnknownNode(t *testing.T) {
	_, err := Derive(parse(t, meshOf("", nil)), "e", Masked)
	if err == nil || err.Error() != "deriving node e: site.yaml has no such node" {
		t.Errorf("got %v", err)
	}
}

func TestDeriveNothing(t *testing.T) {
	got := derive(t, meshOf("", nil), "other")
	if diff := cmp.Diff(&State{Site: "test", Node: "other"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if !got.Netfilter.IsZero() {
		t.Error("a node with nothing needs the packet filter")
	}
}

func TestStateAsJSON(t *testing.T) {
	want := derive(t, meshOf("", map[string]string{"a": "", "b": ""}), "a")
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got := &State{}
	if err := json.Unmarshal(text, got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, addrs); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if want := `"public_key":"` + keyOf("priv b").PublicKey().String() + `"`; !strings.Contains(string(text), want) {
		t.Errorf("no %s in %s", want, text)
	}
	if string(want.Files[0].Data) != "# Written by vpnctl; changes are overwritten.\n118\tvpnctl\n" {
		t.Errorf("file holds %q", want.Files[0].Data)
	}
}
