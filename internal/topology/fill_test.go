package topology

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// load reads a topology that has no errors.
func load(t *testing.T, yaml string) *Topology {
	t.Helper()
	top, errs, _ := parseText(t, head+words.Replace(yaml))
	if len(errs) > 0 {
		t.Fatalf("has errors:\n%s", strings.Join(errs, "\n"))
	}
	return top
}

// describe writes what was resolved for a connection: its ends, then its
// children.
func describe(c *Connection) string {
	var b strings.Builder
	for _, e := range c.Ends {
		fmt.Fprintf(&b, "%s=%s %v any=%v foreign=%v %s\n", e.Name, e.ID, e.Addresses, e.Any, e.Foreign, e.Auth.Kind)
	}
	if s := c.Server; s != nil {
		fmt.Fprintf(&b, "server %s=%s %v %s\n", s.Node, s.ID, s.Addresses, s.Auth.Kind)
		for _, cl := range s.Clients {
			fmt.Fprintf(&b, "client %s=%s %q %s\n", cl.Node, cl.ID, cl.User, cl.Auth.Kind)
		}
	}
	fmt.Fprintf(&b, "ike%d delay=%s fail_closed=%v %v\n", c.IKEVersion, c.DPD.Delay, c.FailClosed, c.Settings)
	for _, ch := range c.Children {
		fmt.Fprintf(&b, "child %s %s %s %v start=%s/%v dpd=%s rekey=%s %v %v\n", ch.Name, ch.Mode, ch.Protocol, ch.Proposals,
			ch.StartAction, ch.StartActionSet, ch.DPDAction, rekeyText(ch.Rekey), ch.Settings, ch.Subnets)
	}
	return b.String()
}

func rekeyText(d *time.Duration) string {
	if d == nil {
		return "default"
	}
	return d.String()
}

func TestConnectionDefaults(t *testing.T) {
	tests := []struct{ name, yaml, want string }{
		{"all defaults", "ipsec: {x: {ends: {b: {}, a: {}}, auth: {psk: {env: P}}}}", `
a=192.0.2.1 [192.0.2.1] any=false foreign=false psk
b=192.0.2.2 [192.0.2.2] any=false foreign=false psk
ike2 delay=30s fail_closed=true []
child x tunnel esp [] start=trap/false dpd= rekey=default [] [{a []} {b []}]
`},
		{"an end without address, an id, an auth of its own", `
ipsec:
  x:
    ends: {a: {subnets: [10.1.2.3/16, "dynamic[udp/l2tp]"]}, c: {id: c@example.net, auth: {psk: {env: Q}, ca: {file: x}}}}
    auth: {cert: {file: c}, key: {file: k}}
`, `
a=192.0.2.1 [192.0.2.1] any=false foreign=false cert
c=c@example.net [] any=false foreign=false psk
ike2 delay=30s fail_closed=true []
child x tunnel esp [] start=trap/false dpd= rekey=default [] [{a [10.1.0.0/16 dynamic[udp/1701]]} {c []}]
`},
		{"towards anybody nothing starts", "ipsec: {x: {ends: {a: {}, far: {address: any}}, auth: {psk: {env: P}}, mode: transport}}", `
a=192.0.2.1 [192.0.2.1] any=false foreign=false psk
far=far [] any=true foreign=true psk
ike2 delay=30s fail_closed=false []
child x transport esp [] start=none/false dpd= rekey=default [] [{a []} {far []}]
`},
		{"several addresses, the first is the id", "ipsec: {x: {ends: {a: {}, far: {address: [vpn.example.net, 198.51.100.1]}}, auth: {psk: {env: P}}}}", `
a=192.0.2.1 [192.0.2.1] any=false foreign=false psk
far=vpn.example.net [vpn.example.net 198.51.100.1] any=false foreign=true psk
ike2 delay=30s fail_closed=true []
child x tunnel esp [] start=trap/false dpd= rekey=default [] [{a []} {far []}]
`},
		{"children take from their connection what they do not say", `
ipsec:
  x:
    ends: {a: {subnets: [10.1.0.0/16]}, b: {subnets: [10.2.0.0/16]}}
    auth: {psk: {env: P}}
    ike_version: 1
    esp_proposals: [aes256-sha256]
    ah_proposals: [sha256]
    child_rekey: 1h
    start_action: start
    dpd: {delay: 0s, action: clear}
    fail_closed: false
    encap: true
    copy_dscp: out
    mark_in: 0x10/0xff
    children:
      two: {protocol: ah, subnets: {b: [10.3.0.0/16]}, start_action: none, mark_in: "42"}
      one: {mode: transport, esp_proposals: [aes128-sha256], dpd: {action: restart}, child_rekey: 0s}
      six: {}
`, `
a=192.0.2.1 [192.0.2.1] any=false foreign=false psk
b=192.0.2.2 [192.0.2.2] any=false foreign=false psk
ike1 delay=0s fail_closed=false [{encap yes}]
child one transport esp [aes128-sha256] start=start/true dpd=restart rekey=0s [{copy_dscp out} {mark_in 0x10/0xff}] [{a [10.1.0.0/16]} {b [10.2.0.0/16]}]
child six tunnel esp [aes256-sha256] start=start/true dpd=clear rekey=1h0m0s [{copy_dscp out} {mark_in 0x10/0xff}] [{a [10.1.0.0/16]} {b [10.2.0.0/16]}]
child two tunnel ah [sha256] start=none/true dpd=clear rekey=1h0m0s [{copy_dscp out} {mark_in 42}] [{a [10.1.0.0/16]} {b [10.3.0.0/16]}]
`},
		{"a server and its clients", `
ipsec:
  x:
    server: a
    pools: [10.99.0.0/24, "fd00:99::/64"]
    subnets: [10.10.0.0/16]
    auth: {cert: {file: c}, key: {file: k}, ca: {file: ca}}
    users: {alice: {password: {env: P}}}
    clients: {c: {user: alice}, b: {user: alice, id: me}}
`, `
server a=192.0.2.1 [192.0.2.1] cert
client b=me "alice" 
client c=alice "alice" 
ike2 delay=30s fail_closed=false []
child x tunnel esp [] start=none/false dpd= rekey=default [] [{a [10.10.0.0/16]}]
`},
		{"clients with certificates, and an id of the server", `
ipsec:
  x:
    server: a
    address: vpn.example.net
    pools: [10.99.0.0/24]
    auth: {id: gw, cert: {file: c}, key: {file: k}, ca: {file: ca}}
    clients: {c: {auth: {cert: {file: c}, key: {file: k}}}, b: {auth: {cert: {file: c}, key: {file: k}}}}
`, `
server a=gw [vpn.example.net] cert
client b=192.0.2.2 "" cert
client c=c "" cert
ike2 delay=30s fail_closed=false []
child x tunnel esp [] start=none/false dpd= rekey=default [] [{a []}]
`},
		{"clients with the key that all share", `
ipsec: {x: {server: a, pools: [10.99.0.0/24], auth: {psk: {env: P}}, clients: {c: {}}}}
`, `
server a=192.0.2.1 [192.0.2.1] psk
client c=c "" psk
ike2 delay=30s fail_closed=false []
child x tunnel esp [] start=none/false dpd= rekey=default [] [{a []}]
`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			top := load(t, tt.yaml)
			if diff := cmp.Diff(strings.TrimPrefix(tt.want, "\n"), describe(&top.IPsec[0])); diff != "" {
				t.Errorf("connection (-want +got):\n%s", diff)
			}
		})
	}
}

func TestServerIDIsItsHostname(t *testing.T) {
	top, errs, _ := parseText(t, `version: 1
site: s
nodes: {gw: {addresses: [192.0.2.1], hostname: gw.example.net}, bare: {}}
ipsec: {x: {server: gw, pools: [10.99.0.0/24], auth: {psk: {env: P}}}}
l2tp:
  l: {server: gw, local_ip: 10.0.0.1, pools: [10.0.0.2], ipsec: {psk: {env: P}}, users: {u: {password: {env: U}}}}
  m: {server: bare, local_ip: 10.0.1.1, pools: [10.0.1.2], ipsec: {psk: {env: P}}, users: {u: {password: {env: U}}}}
`)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	got := []string{top.IPsec[0].Server.ID, top.L2TP[0].IPsec.ID, top.L2TP[1].IPsec.ID}
	if diff := cmp.Diff([]string{"gw.example.net", "gw.example.net", "bare"}, got); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
}

func TestPPPDefaults(t *testing.T) {
	top := load(t, `
l2tp:
  l: {server: a, local_ip: 10.0.0.1, pools: [10.0.0.2-10.0.0.9], ipsec: {psk: {env: P}}, users: {u: {password: {env: U}}}}
pptp:
  p: {server: a, allow_insecure: true, local_ip: 10.0.1.1, pools: [10.0.1.2], radius: {servers: [{address: r.example.net, secret: {env: R}}]}}
`)
	l, p := top.L2TP[0], top.PPTP[0]
	if diff := cmp.Diff([]PPPAuth{MSCHAPv2, CHAP}, l.Auth); diff != "" {
		t.Errorf("auth of L2TP (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]PPPAuth{MSCHAPv2}, p.Auth); diff != "" {
		t.Errorf("auth of PPTP (-want +got):\n%s", diff)
	}
	if !l.MultipleLogins || !p.MPPE || l.IPsec.DPD.Delay != 30*time.Second {
		t.Errorf("multiple_logins %v, mppe %v, dpd %s", l.MultipleLogins, p.MPPE, l.IPsec.DPD.Delay)
	}
	if r := p.Radius.Servers[0]; r.AuthPort != 1812 || r.AcctPort != 1813 {
		t.Errorf("RADIUS ports %d and %d", r.AuthPort, r.AcctPort)
	}
}

func TestNetworkDefaults(t *testing.T) {
	top := load(t, `
wireguard:
  wg0:
    listen_port: 51820
    mtu: 1400
    table: off
    private_key: {file: /etc/vpnctl/wg0.key}
    persistent_keepalive: 25s
    dns: [10.0.0.53, example.net]
    members:
      b: {public_key: K2, listen_port: 7, mtu: auto, table: auto, persistent_keepalive: off}
      a: {public_key: K1, fwmark: 0x10}
    peers:
      q: {public_key: K4, endpoint: "[2001:db8::1]:5", via: [b]}
      p: {public_key: K3, persistent_keepalive: off}
`)
	n := top.WireGuard[0]
	a, b := n.Members[0], n.Members[1]
	if a.ListenPort != 51820 || b.ListenPort != 7 || a.MTU != 1400 || b.MTU != 0 || !a.Table.Off || b.Table.Off {
		t.Errorf("a %+v, b %+v", a, b)
	}
	if a.PersistentKeepalive != 25*time.Second || b.PersistentKeepalive != 0 || a.FwMark != 16 || len(b.DNS.Servers) != 1 {
		t.Errorf("a %+v, b %+v", a, b)
	}
	if a.PrivateKey == nil || a.PrivateKey.Pos.Path != "wireguard.wg0.private_key" {
		t.Errorf("private key %+v", a.PrivateKey)
	}
	via := map[string][]string{}
	for _, p := range n.Peers {
		via[p.Name] = p.Via
	}
	if diff := cmp.Diff(map[string][]string{"p": {"a", "b"}, "q": {"b"}}, via); diff != "" {
		t.Errorf("via (-want +got):\n%s", diff)
	}
	if k := n.Peers[0].PersistentKeepalive; k == nil || *k != 0 {
		t.Errorf("keepalive towards p is %v", k)
	}
}

func TestDraftMayLackPublicKeys(t *testing.T) {
	src := head + "wireguard: {wg0: {listen_port: 1, members: {a: {private_key: {env: A}}, b: {private_key: {env: B}}}}}\n"
	if _, _, err := ParseDraft("f", []byte(src)); err != nil {
		t.Errorf("a draft: %v", err)
	}
	if _, _, err := Parse("f", []byte(src)); err == nil {
		t.Error("Parse accepts a draft")
	}
}
