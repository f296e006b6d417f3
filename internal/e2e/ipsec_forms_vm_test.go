//go:build vm

package e2e

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

// between is a connection of gw-a and gw-b, with further keys.
func between(subnetsA, subnetsB, more string) string {
	return fmt.Sprintf(`
  form:
    ends:
      gw-a: {subnets: [%s]}
      gw-b: {subnets: [%s]}
    ike_proposals: [aes128-sha256-x25519]
    esp_proposals: [aes128-sha256]
    start_action: start
%s`, subnetsA, subnetsB, more)
}

// lanKey is how connections authenticate where that is not what is tested.
const lanKey = "    auth: {psk: {value: \"the key of both gateways\"}}\n"

// TestIPsecForms brings up one form of IPsec after the other between two gateways.
func TestIPsecForms(t *testing.T) {
	g := startGateways(t)
	certify(g)
	// Every byte that a PSK may have, 1 KiB of them.
	odd := bytes.Repeat([]byte("\x00\x01\t\r\n\"\\#{}= \x7f\x80\xff\xfe'"), 61)[:1024]
	v4 := []string{"10.14.0.10"}
	for _, tt := range []struct {
		name, conn string
		pings      []string // of ha
		sees       string   // in the output of ip xfrm state and ip link
	}{
		{"certificates", between("10.10.0.0/24", "10.14.0.0/24",
			"    auth: {cert: {file: node.crt}, key: {file: node.key}, ca: {file: ca.crt}}\n"), v4, "mode tunnel"},
		{"IPv6 in IPv4, long and odd PSK", between("'fd10::/64'", "'fd14::/64'",
			"    auth: {psk: {encoding: base64, value: "+base64.StdEncoding.EncodeToString(odd)+"}}\n"), []string{"fd14::10"}, "mode tunnel"},
		{"route-based", between("10.10.0.0/24", "10.14.0.0/24", lanKey+"    interface: xfrm0\n"), v4, "xfrm0"},
		{"UDP encapsulation", between("10.10.0.0/24", "10.14.0.0/24", lanKey+"    encap: yes\n"), v4, "encap type espinudp"},
		{"IKEv1", between("10.10.0.0/24", "10.14.0.0/24", lanKey+"    ike_version: 1\n"), v4, "mode tunnel"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := g.in(t)
			g.apply(head+tt.conn, g.a, g.b)
			g.up(g.a.Host, "form")
			seen := watchWire(t, g.r)
			for _, dst := range tt.pings {
				g.ha.Ping(dst)
			}
			want := "ESP"
			if strings.Contains(tt.sees, "espinudp") {
				want = "ESP in UDP"
			}
			seen.sealed(want)
			if out := g.a.Run("ip", "xfrm", "state") + g.a.Run("ip", "link"); !strings.Contains(out, tt.sees) {
				t.Errorf("the kernel shows no %q:\n%s", tt.sees, out)
			}
			g.a.converged()
			g.b.converged()
		})
	}
	t.Run("behind NAT", testBehindNAT(g))
	t.Run("children", testChildren(g))
}

// testBehindNAT dials from behind NAT.
func testBehindNAT(g *gateways) func(t *testing.T) {
	return func(t *testing.T) {
		g := g.in(t)
		g.apply(head+`
  natted:
    ends:
      gw-a: {subnets: [10.10.0.0/24]}
      branch: {subnets: [10.19.0.0/24]}
    auth: {psk: {value: "the key of the branch"}}
    start_action: start
`, g.a, g.branch)
		g.up(g.branch.Host, "natted")
		seen := watchWire(t, g.r)
		g.branch.Ping("10.10.0.10", "-I", "10.19.0.1")
		seen.sealed("ESP in UDP")
		g.branch.destroy()
	}
}

// testChildren changes one of two children: the other stays, and so does the IKE_SA.
func testChildren(g *gateways) func(t *testing.T) {
	return func(t *testing.T) {
		g := g.in(t)
		conn := `
  two:
    ends:
      gw-a: {}
      gw-b: {}
` + lanKey + `    ike_proposals: [aes128-sha256-x25519]
    start_action: start
    children:
      one: {subnets: {gw-a: [10.10.0.0/24], gw-b: [10.14.0.0/24]}, esp_proposals: [aes128-sha256]}
      other: {subnets: {gw-a: [10.11.0.0/24], gw-b: [10.15.0.0/24]}, esp_proposals: [aes128-sha256]}
`
		g.apply(head+conn, g.a, g.b)
		g.up(g.a.Host, "one")
		g.up(g.a.Host, "other")
		before, one := g.sa(g.a.Host, "two", "one")
		_, other := g.sa(g.a.Host, "two", "other")
		at := strings.LastIndex(conn, "aes128")
		g.apply(head+conn[:at]+"aes256"+conn[at+len("aes128"):], g.b, g.a)
		g.up(g.a.Host, "other")
		g.ha.Ping("10.15.0.10", "-I", "10.11.0.10")
		after, oneAfter := g.sa(g.a.Host, "two", "one")
		_, otherAfter := g.sa(g.a.Host, "two", "other")
		if after.id != before.id || oneAfter.spiIn != one.spiIn {
			t.Errorf("the unchanged child is %+v of IKE_SA %s, was %+v of %s", oneAfter, after.id, one, before.id)
		}
		if otherAfter.spiIn == other.spiIn {
			t.Errorf("the changed child is still %+v", other)
		}
	}
}

// certify gives both gateways certificates of one CA, made by strongSwan's own pki.
func certify(g *gateways) {
	g.t.Helper()
	g.a.Run("sh", "-ec", `umask 077; mkdir -p /root/pki; cd /root/pki
		pki --gen --type ecdsa --size 256 --outform pem >ca.key
		pki --self --ca --in ca.key --dn "C=CH, O=lab, CN=lab CA" --lifetime 30 --outform pem >ca.crt
		for n in 192.168.10.10 192.168.20.20; do
			pki --gen --type ecdsa --size 256 --outform pem >$n.key
			pki --pub --in $n.key | pki --issue --cacert ca.crt --cakey ca.key --dn "C=CH, O=lab, CN=$n" --san $n --lifetime 20 --outform pem >$n.crt
		done`)
	for n, addr := range map[*node]string{g.a: "192.168.10.10", g.b: "192.168.20.20"} {
		for to, from := range map[string]string{"ca.crt": "ca.crt", "node.crt": addr + ".crt", "node.key": addr + ".key"} {
			n.WriteFile("/etc/vpnctl/"+to, g.a.ReadFile("/root/pki/"+from), 0o600)
		}
	}
}
