//go:build vm

package e2e

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"
)

// between is a connection of gw-a and gw-b, with further keys.
func between(subnetsA, subnetsB, more string) string {
	return ends("subnets: ["+subnetsA+"]", "subnets: ["+subnetsB+"]", more)
}

// ends is a connection of gw-a and gw-b, with the keys of each.
func ends(a, b, more string) string {
	return fmt.Sprintf(`
  form:
    ends:
      gw-a: {%s}
      gw-b: {%s}
    ike_proposals: [aes128-sha256-x25519]
    esp_proposals: [aes128-sha256]
    start_action: start
%s`, a, b, more)
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
		{"IPv4 in IPv6", ends("address: 'fd20:10::10', subnets: [10.10.0.0/24]", "address: 'fd20:20::20', subnets: [10.14.0.0/24]", lanKey),
			v4, "src fd20:10::10 dst fd20:20::20"},
		{"raw public keys", ends("subnets: [10.10.0.0/24], auth: {pubkey: {file: a.pub}, key: {file: raw.key}}",
			"subnets: [10.14.0.0/24], auth: {pubkey: {file: b.pub}, key: {file: raw.key}}", ""), v4, "mode tunnel"},
		{"PSK here, certificate there", ends("subnets: [10.10.0.0/24], "+strings.TrimSpace(lanKey),
			"subnets: [10.14.0.0/24], auth: {cert: {file: node.crt}, key: {file: node.key}, ca: {file: ca.crt}}", ""), v4, "mode tunnel"},
		{"key with a passphrase", between("10.10.0.0/24", "10.14.0.0/24",
			"    auth: {cert: {file: node.crt}, key: {file: sealed.key, passphrase: {value: open sesame}}, ca: {file: ca.crt}}\n"), v4, "mode tunnel"},
		{"ends by name", ends("address: gw-a.lab.test, subnets: [10.10.0.0/24]", "address: gw-b.lab.test, subnets: [10.14.0.0/24]", lanKey),
			v4, "src 192.168.10.10 dst 192.168.20.20"},
		{"one protocol", between("'10.10.0.0/24[icmp]'", "'10.14.0.0/24[icmp]'", lanKey), v4, "proto icmp"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := g.in(t)
			t.Cleanup(func() {
				if t.Failed() {
					g.explain()
				}
			})
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
			if out := g.a.Run("ip", "xfrm", "state") + g.a.Run("ip", "xfrm", "policy") + g.a.Run("ip", "link"); !strings.Contains(out, tt.sees) {
				t.Errorf("the kernel shows no %q:\n%s", tt.sees, out)
			}
			g.a.converged()
			g.b.converged()
		})
	}
	t.Run("trap", testTrap(g))
	t.Run("one port", testPort(g))
	t.Run("settings", testSettings(g))
	t.Run("rekeyed", testRekeyed(g))
	t.Run("behind NAT", testBehindNAT(g))
	t.Run("children", testChildren(g))
}

// testTrap waits for traffic, which brings the tunnel up: at once, or where the other end
// was not ready and refused, when watch tries again. The SAs of a charon that was killed do
// not take the traffic.
func testTrap(g *gateways) func(t *testing.T) {
	return func(t *testing.T) {
		g := g.in(t)
		t.Cleanup(func() {
			if t.Failed() {
				g.explain()
			}
		})
		conn := between("10.10.0.0/24", "10.14.0.0/24", lanKey)
		g.apply(head+conn, g.a, g.b)
		g.up(g.a.Host, "form")
		g.a.Run("sh", "-c", "kill -9 $(pidof charon-systemd)")
		g.up(g.a.Host, "form") // of the next one
		g.apply(head+strings.NewReplacer("start_action: start", "start_action: trap", "form:", "waiting:").Replace(conn), g.a, g.b)
		if all := sas(g.a.Host); len(all) > 0 {
			t.Errorf("there is one without traffic: %+v", all)
		}
		seen := watchWire(t, g.r)
		g.ha.Eventually(30*time.Second, func() error {
			_, err := g.ha.Try("ping", "-c1", "-W1", "10.14.0.10")
			return err
		})
		seen.sealed("ESP")
		g.sa(g.a.Host, "waiting", "waiting")
	}
}

// testPort protects one port: what goes to another is none of the tunnel's business.
func testPort(g *gateways) func(t *testing.T) {
	return func(t *testing.T) {
		g := g.in(t)
		g.apply(head+between("'10.10.0.0/24[udp]'", "'10.14.0.0/24[udp/7]'", lanKey), g.a, g.b)
		g.up(g.a.Host, "form")
		seen := watchWire(t, g.r)
		g.ha.Run("bash", "-c", "echo protected >/dev/udp/10.14.0.10/7")
		seen.sealed("ESP")
		seen = watchWire(t, g.r)
		g.ha.Run("bash", "-c", "echo clear >/dev/udp/10.14.0.10/8")
		if packets := seen.stop(); len(packets["ESP"]) > 0 {
			t.Errorf("port 8 is protected, too: %v", packets)
		}
	}
}

// testSettings sets what swanctl.conf(5) calls the same, and looks at what charon negotiates.
func testSettings(g *gateways) func(t *testing.T) {
	return func(t *testing.T) {
		g := g.in(t)
		g.a.Run("sh", "-c", ": > /var/log/charon.log")
		g.apply(head+between("10.10.0.0/24", "10.14.0.0/24", lanKey+"    mobike: 'no'\n    childless: force\n    fragmentation: 'no'\n"), g.a, g.b)
		g.up(g.a.Host, "form")
		g.ha.Ping("10.14.0.10")
		log := g.a.Run("cat", "/var/log/charon.log")
		for _, never := range []string{"N(MOBIKE_SUP)", "N(FRAG_SUP)"} {
			if strings.Contains(log, never) {
				t.Errorf("charon negotiates %s:\n%s", never, log)
			}
		}
		if !strings.Contains(log, "CREATE_CHILD_SA request") {
			t.Errorf("IKE_AUTH brought the child along:\n%s", log)
		}
	}
}

// testRekeyed rekeys IKE_SA and child under traffic.
func testRekeyed(g *gateways) func(t *testing.T) {
	return func(t *testing.T) {
		g := g.in(t)
		g.apply(head+between("10.10.0.0/24", "10.14.0.0/24", lanKey+"    ike_rekey: 7s\n    child_rekey: 4s\n"), g.a, g.b)
		g.up(g.a.Host, "form")
		ping := g.ha.PingLoop("10.14.0.10")
		ping.Await(1)
		ike, child := g.sa(g.a.Host, "form", "form")
		g.a.Eventually(30*time.Second, func() error {
			for _, s := range sas(g.a.Host) {
				if s.id != ike.id && len(s.children) == 1 && s.children[0].spiIn != child.spiIn {
					return nil
				}
			}
			return fmt.Errorf("still %+v", sas(g.a.Host))
		})
		// Both ends rekey at the same time here, as they hardly ever do in earnest; a packet
		// that is under way then may be lost.
		t.Logf("rekeyed under traffic: %v", ping.Stop())
		g.ha.Ping("10.14.0.10")
		g.a.converged()
	}
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
			# Of another pair: charon does not forget a key that it trusts, and would hold a
			# certificate of the same one for it, which no CA has signed.
			pki --gen --type ecdsa --size 256 --outform pem >$n.raw
			pki --pub --in $n.raw --outform pem >$n.pub
			openssl pkcs8 -topk8 -v2 aes-256-cbc -in $n.key -passout "pass:open sesame" -out $n.sealed
			pki --pub --in $n.key | pki --issue --cacert ca.crt --cakey ca.key --dn "C=CH, O=lab, CN=$n" --san $n --lifetime 20 --outform pem >$n.crt
		done`)
	for n, addr := range map[*node]string{g.a: "192.168.10.10", g.b: "192.168.20.20"} {
		for to, from := range map[string]string{
			"ca.crt": "ca.crt", "node.crt": addr + ".crt", "node.key": addr + ".key", "sealed.key": addr + ".sealed", "raw.key": addr + ".raw",
			"a.pub": "192.168.10.10.pub", "b.pub": "192.168.20.20.pub",
		} {
			n.WriteFile("/etc/vpnctl/"+to, g.a.ReadFile("/root/pki/"+from), 0o600)
		}
		n.Run("sh", "-c", `printf '%s\n' '192.168.10.10 gw-a.lab.test' '192.168.20.20 gw-b.lab.test' >>/etc/hosts`)
	}
}
