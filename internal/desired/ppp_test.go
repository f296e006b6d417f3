package desired

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// pppSite is a topology with a server b, with what more it has, and what nodes dial it.
func pppSite(protocol, server, clients, more string) string {
	return ipsecHead + protocol + ":\n  s:\n    server: b\n    local_ip: 10.8.0.1\n" + server + "    clients: " + clients + "\n" + more
}

const (
	pppUsers = "    users: {ann: {password: {value: word}}, bob: {password: {value: drow}, address: 10.8.1.9}}\n"
	l2tpPSK  = "    ipsec: {psk: {value: shared}}\n"
	insecure = "    allow_insecure: true\n"
)

func TestPPP(t *testing.T) {
	tests := []struct {
		name, text string
		words      []string          // with which the lines begin that the case is about; none: all
		want       map[string]string // by node
	}{
		{"L2TP example", example(t, "l2tp-ipsec.yaml"), nil, map[string]string{
			"vpn": `
				connection l2tp-office v1 [10.13.0.101] [%any] proposals aes128-sha256-modp2048 unique never
				  local psk 10.13.0.101
				  remote psk %any
				  child l2tp-office transport esp [dynamic[udp/1701]] [dynamic[udp]] proposals aes128-sha256 hold none dpd clear
				secret ike-l2tp-office 123456 [10.13.0.101]
				server l2tp/office 192.168.130.1 pools [192.168.130.100-192.168.130.200] auth mschapv2,chap ipsec true mtu 1400 dns 8.8.8.8 dns 8.8.4.4 idle 30m0s
				  user user1 123456
				  user user2 123456 address 192.168.130.50
				masquerade 192.168.130.0/24 out ens33
				forward in ppp+ from 192.168.130.50/32
				forward out ppp+ to 192.168.130.50/32 answers
				forward in ppp+ from 192.168.130.100-192.168.130.200
				forward out ppp+ to 192.168.130.100-192.168.130.200 answers
				clamp out ppp+ remote 192.168.130.0/24
				drop udp/1701
				exempt from 10.13.0.101/32
				sysctl net/ipv4/ip_forward=1
				module l2tp_ppp
				module ppp_generic
				`,
			"branch": `
				connection l2tp-office v1 [] [10.13.0.101] proposals aes128-sha256-modp2048
				  local psk 10.13.0.105
				  remote psk 10.13.0.101
				  child l2tp-office transport esp [dynamic[udp/1701]] [dynamic[udp/1701]] proposals aes128-sha256 hold trap dpd restart initiate first
				secret ike-l2tp-office 123456 [10.13.0.101 10.13.0.105]
				dial l2tp/office 10.13.0.101 192.168.130.1 user user1 123456 auth mschapv2,chap ipsec true mtu 1400 routes 10.20.0.0/24
				drop udp/1701
				exempt to 10.13.0.101/32
				file /etc/iproute2/rt_protos.d/vpnctl.conf 0644
				module l2tp_ppp
				module ppp_generic
				`,
		}},
		{"PPTP example", example(t, "pptp.yaml"), []string{"server", "dial", "user", "  user", "drop", "helper", "exempt", "connection", "secret", "sysctl", "module", "file"}, map[string]string{
			"vpn": `
				server pptp/legacy 192.168.0.1 pools [192.168.130.100-192.168.130.200 192.168.140.100-192.168.140.200] auth mschapv2 mppe true mtu 1400 dns 8.8.8.8 dns 8.8.4.4
				  user user1 123456
				  user user2 123456 address 192.168.150.100
				sysctl net/ipv4/ip_forward=1
				module ppp_async
				module ppp_generic
				module ppp_mppe
				`,
			"branch": `
				dial pptp/legacy 10.14.0.104 192.168.0.1 user user2 123456 auth mschapv2 mppe true mtu 1400 routes 10.20.0.0/24
				file /etc/iproute2/rt_protos.d/vpnctl.conf 0644
				module ppp_async
				module ppp_generic
				module ppp_mppe
				`,
		}},
		{"L2TP, certificates, opened, from behind a NAT", pppSite("l2tp", pppUsers+"    pools: [10.8.0.8-10.8.0.11]\n    ipsec: {cert: {file: x.crt}, key: {file: x.key}, ca: {file: ca.crt}, id: bee, ike_rekey: 8h, dpd: {delay: 5s, timeout: 20s}, encap: yes, copy_df: no}\n",
			"{c: {user: ann, default_route: true, use_dns: true}}", "firewall: {b: {open_ports: true}, c: {open_ports: true}}\n"), nil, map[string]string{
			"b": `
				connection l2tp-s v1 [198.51.100.2] [%any] rekey 8h0m0s dpd 5s timeout 20s encap yes unique never
				  local pubkey bee certs vpnctl-l2tp-s.crt
				  remote pubkey %any cacerts vpnctl-l2tp-s.crt
				  child l2tp-s transport esp [dynamic[udp/1701]] [dynamic[udp]] hold none dpd clear copy_df no
				credential private/vpnctl-l2tp-s.key 0600
				credential x509/vpnctl-l2tp-s.crt 0644
				credential x509ca/vpnctl-l2tp-s.crt 0644
				server l2tp/s 10.8.0.1 pools [10.8.0.8-10.8.0.11] auth mschapv2,chap ipsec true mtu 1400
				  user ann word
				  user bob drow address 10.8.1.9
				forward in ppp+ from 10.8.0.8/30
				forward out ppp+ to 10.8.0.8/30
				forward in ppp+ from 10.8.1.9/32
				forward out ppp+ to 10.8.1.9/32
				clamp out ppp+ remote 10.8.0.8/30
				clamp out ppp+ remote 10.8.1.9/32
				open udp/500
				open udp/4500
				open esp/0
				open udp/1701 family 4
				inner ppp+ remote 10.8.0.8/30
				inner ppp+ remote 10.8.1.9/32
				drop udp/1701
				exempt from 198.51.100.2/32
				sysctl net/ipv4/ip_forward=1
				module l2tp_ppp
				module ppp_generic
				`,
			"c": `
				connection l2tp-s v1 [] [198.51.100.2] rekey 8h0m0s dpd 5s timeout 20s encap yes
				  local pubkey c certs vpnctl-l2tp-s.crt
				  remote pubkey bee cacerts vpnctl-l2tp-s.crt
				  child l2tp-s transport esp [dynamic[udp/1701]] [dynamic[udp/1701]] hold trap dpd restart initiate first copy_df no
				credential private/vpnctl-l2tp-s.key 0600
				credential x509/vpnctl-l2tp-s.crt 0644
				credential x509ca/vpnctl-l2tp-s.crt 0644
				dial l2tp/s 198.51.100.2 10.8.0.1 user ann word auth mschapv2,chap ipsec true mtu 1400 default_route true use_dns true
				open udp/500
				open udp/4500
				open esp/0
				open udp/1701 family 4
				inner ppp+ remote 0.0.0.0/0 answers true
				drop udp/1701
				exempt to 198.51.100.2/32
				file /etc/iproute2/rt_protos.d/vpnctl.conf 0644
				module l2tp_ppp
				module ppp_generic
				`,
			"a": "",
		}},
		{"L2TP in clear", pppSite("l2tp", pppUsers+"    pools: [10.8.0.8-10.8.0.11]\n    ipsec: none\n", "{c: {user: ann}}", "firewall: {b: {open_ports: true}, c: {open_ports: true}}\n"), []string{"connection", "server", "dial", "open", "inner", "drop", "exempt", "module"}, map[string]string{
			"b": `
				server l2tp/s 10.8.0.1 pools [10.8.0.8-10.8.0.11] auth mschapv2,chap mtu 1400
				open udp/1701 family 4
				inner ppp+ remote 10.8.0.8/30
				inner ppp+ remote 10.8.1.9/32
				module l2tp_ppp
				module ppp_generic
				`,
			"c": `
				dial l2tp/s 198.51.100.2 10.8.0.1 user ann word auth mschapv2,chap mtu 1400
				open udp/1701 dialled true family 4
				inner ppp+ remote 10.8.0.1/32
				module l2tp_ppp
				module ppp_generic
				`,
		}},
		{"L2TP of both kinds, told apart by server", ipsecHead + "l2tp:\n" +
			"  in: {server: a, local_ip: 10.1.0.1, pools: [10.1.0.8-10.1.0.11], ipsec: none, users: {u: {password: {value: w}}}}\n" +
			"  out: {server: b, local_ip: 10.2.0.1, pools: [10.2.0.8-10.2.0.11], ipsec: {psk: {value: shared}}, users: {u: {password: {value: w}}}, clients: {a: {user: u}, c: {user: u}}}\n" +
			"  more: {server: e, local_ip: 10.3.0.1, pools: [10.3.0.8-10.3.0.11], ipsec: {psk: {value: shared}}, users: {u: {password: {value: w}}}, clients: {b: {user: u}}}\n" +
			"  none: {server: d, local_ip: 10.4.0.1, pools: [10.4.0.8-10.4.0.11], ipsec: none, users: {u: {password: {value: w}}}, clients: {b: {user: u}, c: {user: u}}}\n", []string{"drop"}, map[string]string{
			"a": "drop udp/1701 peer 198.51.100.2\n", "b": "drop udp/1701 except 192.0.2.4\n", "c": "drop udp/1701 except 192.0.2.4\n",
			"d": "", "e": "drop udp/1701\n",
		}},
		{"limits", pppSite("pptp", insecure+pppUsers+"    pools: [10.8.2.9, 10.8.0.8-10.8.0.20]\n    auth: [chap, mschapv2, pap]\n    mppe: none\n    session_limit: 8h\n    max_sessions: 5\n    multiple_logins: false\n    proxy_arp: true\n    mtu: 1300\n",
			"{a: {user: ann, routes: [10.7.0.0/16, 10.6.0.0/16, 10.7.0.0/16]}}", ""), []string{"server", "dial", "  user", "module"}, map[string]string{
			"b": `
				server pptp/s 10.8.0.1 pools [10.8.0.8-10.8.0.20 10.8.2.9] auth mschapv2,chap,pap mtu 1300 session_limit 8h0m0s max_sessions 5 one_login true proxy_arp true
				  user ann word
				  user bob drow address 10.8.1.9
				module ppp_async
				module ppp_generic
				`,
			"a": `
				dial pptp/s 198.51.100.2 10.8.0.1 user ann word auth mschapv2,chap,pap mtu 1300 routes 10.6.0.0/16 10.7.0.0/16
				module ppp_async
				module ppp_generic
				`,
		}},
		{"RADIUS, opened", pppSite("pptp", insecure+"    pools: [10.8.0.8-10.8.0.11]\n    radius: {servers: [{address: 192.0.2.7, secret: {value: s1}}, {address: r.example.net, auth_port: 1645, acct_port: 1646, secret: {value: s2}}]}\n",
			"{}", "firewall: {b: {open_ports: true}}\n"), []string{"server", "  user", "  radius", "open", "inner"}, map[string]string{
			"b": `
				server pptp/s 10.8.0.1 pools [10.8.0.8-10.8.0.11] auth mschapv2 mppe true mtu 1400
				  radius 192.0.2.7 1812 1813 s1
				  radius r.example.net 1645 1646 s2
				open tcp/1723 family 4
				open gre/0 family 4
				open udp/1812 dialled true family 4
				open udp/1813 dialled true family 4
				open udp/1645 dialled true family 4
				open udp/1646 dialled true family 4
				inner ppp+ remote 10.8.0.8/30
				`,
		}},
		{"a client with others behind it, on the way of another", pppSite("pptp", insecure+pppUsers+"    pools: [10.8.0.8-10.8.0.11]\n",
			"{a: {user: ann}, c: {user: bob, routes: [10.9.0.0/16]}}",
			"nat: {c: [{source: [192.0.2.0/24, 192.168.7.0/24], out: ppp+}], b: [{source: [192.0.2.0/24], out: auto}], a: [{source: [192.0.2.0/24], out: auto}]}\nfirewall: {c: {open_ports: true}}\n"), []string{"clamp", "open", "inner", "helper", "module"}, map[string]string{
			"c": `
				clamp out ppp+ remote 10.8.0.1/32
				clamp out ppp+ remote 10.9.0.0/16
				open tcp/1723 dialled true family 4
				open gre/0 family 4
				inner ppp+ remote 10.8.0.1/32
				inner ppp+ remote 10.9.0.0/16
				helper pptp tcp/1723 from 192.0.2.0/24
				module nf_conntrack_pptp
				module nf_nat_pptp
				module ppp_async
				module ppp_generic
				module ppp_mppe
				`,
			"a": `
				clamp out ppp+ remote 10.8.0.1/32
				module ppp_async
				module ppp_generic
				module ppp_mppe
				`,
		}},
		{"networks behind a client, IPv6", pppSite("pptp", insecure+pppUsers+"    pools: [10.8.0.8-10.8.0.11]\n",
			"{c: {user: bob, routes: [fd09::/64, 10.9.0.0/16], networks: [fd07::/64, 192.168.7.0/24]}, a: {user: ann}}",
			"nat: {c: [{source: [192.168.7.0/24], out: ppp+}]}\nfirewall: {b: {open_ports: true}, c: {open_ports: true}}\n"),
			[]string{"server", "  behind", "dial", "clamp", "inner", "forward", "sysctl", "file"}, map[string]string{
				"b": `
				server pptp/s 10.8.0.1 pools [10.8.0.8-10.8.0.11] auth mschapv2 mppe true mtu 1400 ipv6 true
				  behind bob 192.168.7.0/24 fd07::/64
				forward in ppp+ from 10.8.0.8/30
				forward out ppp+ to 10.8.0.8/30
				forward in ppp+ from 10.8.1.9/32
				forward out ppp+ to 10.8.1.9/32
				forward in ppp+ from 192.168.7.0/24
				forward out ppp+ to 192.168.7.0/24
				forward in ppp+ from fd07::/64
				forward out ppp+ to fd07::/64
				clamp out ppp+ remote 10.8.0.8/30
				clamp out ppp+ remote 10.8.1.9/32
				clamp out ppp+ remote 192.168.7.0/24
				clamp out ppp+ remote fd07::/64
				inner ppp+ remote 10.8.0.8/30
				inner ppp+ remote 10.8.1.9/32
				inner ppp+ remote 192.168.7.0/24
				inner ppp+ remote fd07::/64
				sysctl net/ipv4/ip_forward=1
				sysctl net/ipv6/conf/all/forwarding=1
				file /etc/iproute2/rt_protos.d/vpnctl.conf 0644
				`,
				"c": `
				dial pptp/s 198.51.100.2 10.8.0.1 user bob drow auth mschapv2 mppe true mtu 1400 ipv6 true routes 10.9.0.0/16 fd09::/64
				forward from 192.168.7.0/24 out ppp+ to 10.8.0.1/32
				forward in ppp+ from 10.8.0.1/32 to 192.168.7.0/24 answers
				forward from 192.168.7.0/24 out ppp+ to 10.9.0.0/16
				forward in ppp+ from 10.9.0.0/16 to 192.168.7.0/24 answers
				forward from fd07::/64 out ppp+ to fd09::/64
				forward in ppp+ from fd09::/64 to fd07::/64
				clamp out ppp+ remote 10.8.0.1/32
				clamp out ppp+ remote 10.9.0.0/16
				clamp out ppp+ remote fd09::/64
				inner ppp+ remote 10.8.0.1/32
				inner ppp+ remote 10.9.0.0/16
				inner ppp+ remote fd09::/64
				sysctl net/ipv4/ip_forward=1
				sysctl net/ipv6/conf/all/forwarding=1
				file /etc/iproute2/rt_protos.d/vpnctl.conf 0644
				`,
				"a": `
				dial pptp/s 198.51.100.2 10.8.0.1 user ann word auth mschapv2 mppe true mtu 1400 ipv6 true
				`,
			}},
	}
	for _, tt := range tests {
		for node, want := range tt.want {
			t.Run(tt.name+"/"+node, func(t *testing.T) {
				s, err := Derive(parse(t, strings.Replace(tt.text, "  e: {", "  d: {addresses: [192.0.2.4]}\n  e: {", 1)), node, half{&keyring{}})
				if err != nil {
					t.Fatal(err)
				}
				got := show(s)
				if tt.words != nil {
					got = lines(s, tt.words...)
				}
				if diff := cmp.Diff(unindent(want), got); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		}
	}
}

// TestPPPErrors: what only the node itself can find out.
func TestPPPErrors(t *testing.T) {
	site := pppSite("pptp", insecure+"    pools: [10.8.0.8-10.8.0.11]\n    users: {ann: {password: {file: ann}}}\n", "{c: {user: ann}}", "")
	for _, tt := range []struct{ name, password, want string }{
		{"line break", "a\nb", `file ann has a line break or another control character, which chap-secrets cannot carry`},
		{"long", strings.Repeat("x", 256), `file ann is longer than 255 bytes, and pppd reads no more`},
	} {
		for _, node := range []string{"b", "c"} {
			_, err := Derive(parse(t, site), node, &keyring{files: map[string]string{"ann": tt.password}})
			if err == nil || !strings.HasSuffix(err.Error(), tt.want) || strings.Count(err.Error(), "\n") > 0 {
				t.Errorf("%s: node %s: got %v", tt.name, node, err)
			}
		}
	}
	radius := pppSite("pptp", insecure+"    pools: [10.8.0.8-10.8.0.11]\n    radius: {servers: [{address: 192.0.2.7, secret: {file: r}}]}\n", "{}", "")
	_, err := Derive(parse(t, radius), "b", &keyring{files: map[string]string{"r": "two words"}})
	if err == nil || !strings.HasSuffix(err.Error(), "file r has white space in it, which pppd's RADIUS client cannot read") {
		t.Errorf("RADIUS: got %v", err)
	}
	if _, err := Derive(parse(t, radius), "a", &keyring{}); err != nil {
		t.Errorf("a node without part in it: %v", err)
	}
}

func TestSlots(t *testing.T) {
	addr := netip.MustParseAddr
	pool := func(from, to string) AddrRange { return AddrRange{addr(from), addr(to)} }
	user := func(a string) PPPUser { return PPPUser{Name: a, Address: addr(a)} }
	for _, tt := range []struct {
		name   string
		server PPPServer
		want   string
	}{
		{"pools", PPPServer{Pools: []AddrRange{pool("10.0.0.9", "10.0.1.2"), pool("10.0.3.1", "10.0.3.1")}}, "[10.0.0.9-10.0.1.2 10.0.3.1]"},
		{"less than the first", PPPServer{MaxSessions: 3, Pools: []AddrRange{pool("10.0.0.254", "10.0.1.9"), pool("10.0.3.1", "10.0.3.9")}}, "[10.0.0.254-10.0.1.0]"},
		{"just the first", PPPServer{MaxSessions: 2, Pools: []AddrRange{pool("10.0.0.1", "10.0.0.2"), pool("10.0.3.1", "10.0.3.9")}}, "[10.0.0.1-10.0.0.2]"},
		{"a part of the second", PPPServer{MaxSessions: 3, Pools: []AddrRange{pool("10.0.0.1", "10.0.0.2"), pool("10.0.3.1", "10.0.3.9")}}, "[10.0.0.1-10.0.0.2 10.0.3.1]"},
		{"more than there are", PPPServer{MaxSessions: 30, Pools: []AddrRange{pool("10.0.0.1", "10.0.0.2")}}, "[10.0.0.1-10.0.0.2]"},
		{"everybody has his own", PPPServer{Users: []PPPUser{user("10.0.0.9"), user("10.0.0.7"), user("10.0.0.8"), user("10.0.1.1")}}, "[10.0.0.7-10.0.0.9 10.0.1.1]"},
		{"the last of all", PPPServer{Pools: []AddrRange{pool("255.255.255.255", "255.255.255.255")}, MaxSessions: 1}, "[255.255.255.255]"},
	} {
		if got := fmt.Sprint(tt.server.Slots()); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

// randomPPP is a topology of servers and who dials them, in any order.
func randomPPP(r *rand.Rand) string {
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	var servers [2][]string
	for i, node := range []string{"a", "b", "c"} {
		kind := r.IntN(2)
		lines := []string{
			"    server: " + node, fmt.Sprintf("    local_ip: 10.%d.0.1", i), fmt.Sprintf("    pools: [10.%d.1.0-10.%d.1.%d, 10.%d.2.%d-10.%d.2.200]", i, i, r.IntN(200), i, 1+r.IntN(100), i),
			fmt.Sprintf("    users: {%s}", strings.Join(shuffle(r, "u1: {password: {value: one}}", fmt.Sprintf("u2: {password: {value: two}, address: 10.%d.3.3}", i)), ", ")),
		}
		if kind == 0 {
			lines = append(lines, "    ipsec: "+pick("none", "{psk: {value: k}}", "{psk: {value: k}, esp_proposals: [aes256-sha256], child_rekey: 2h, id: x}"))
		} else {
			lines = append(lines, "    allow_insecure: true", "    mppe: "+pick("none", "required"))
		}
		for _, line := range []string{"    mtu: 1380", "    max_sessions: 7", "    multiple_logins: false"} {
			if r.IntN(2) == 0 {
				lines = append(lines, line)
			}
		}
		clients := []string{"d: {user: u1}"}
		if node != "c" && r.IntN(2) == 0 {
			clients = append(clients, fmt.Sprintf("c: {user: u2, routes: [10.%d.0.0/16, 10.%d.0.0/16, 'fd%d::/64'], networks: ['fc0%d::/64']}", 99-i, 89-i, 10+i, i))
		}
		lines = append(lines, "    clients: {"+strings.Join(shuffle(r, clients...), ", ")+"}")
		servers[kind] = append(servers[kind], "  s"+node+":\n"+strings.Join(shuffle(r, lines...), "\n"))
	}
	nodes := shuffle(r, "a: {addresses: [192.0.2.1]}", "b: {addresses: ['2001:db8::2', 198.51.100.2]}", "c: {addresses: [192.0.2.3]}", "d: {}")
	text := "version: 1\nsite: test\nnodes:\n  " + strings.Join(nodes, "\n  ") + "\n"
	for kind, name := range []string{"l2tp", "pptp"} {
		if len(servers[kind]) > 0 {
			text += name + ":\n" + strings.Join(shuffle(r, servers[kind]...), "\n") + "\n"
		}
	}
	return text
}

// TestRandomPPP: both ends of a session hold what fits together, whatever the order of the
// file, and it survives JSON.
func TestRandomPPP(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	links := 0
	for n := range uint64(200) {
		text := randomPPP(rand.New(rand.NewPCG(seed, n)))
		w := deriveAll(t, parse(t, text))
		for node, s := range w {
			checkIPsec(t, node, s)
			for i := range s.PPP.Servers {
				checkServer(t, &s.PPP.Servers[i], s)
				for _, n := range s.PPP.Servers[i].Networks {
					checkNetworks(t, &s.PPP.Servers[i], n, s, w)
				}
			}
			for i := range s.PPP.Links {
				links++
				checkLink(t, &s.PPP.Links[i], s, w)
			}
		}
		if t.Failed() {
			t.Fatalf("topology:\n%s", text)
		}
	}
	if links == 0 {
		t.Error("no link was looked at")
	}
}

// passes counts the rules that let an address through, from a session and to one.
func (n *Netfilter) passes(a netip.Addr) (from, to int) {
	has := func(p netip.Prefix, r AddrRange) bool {
		return p.IsValid() && p.Contains(a) || r.From.IsValid() && r.From.Compare(a) <= 0 && a.Compare(r.To) <= 0
	}
	for _, f := range n.Forwards {
		if f.In == pppLinks && has(f.From, f.FromRange) {
			from++
		}
		if f.Out == pppLinks && has(f.To, f.ToRange) {
			to++
		}
	}
	return from, to
}

// checkServer: each address that it hands out is let through, once, and its neighbours are
// not; all are clamped; and forwarding is on.
func checkServer(t *testing.T, p *PPPServer, s *State) {
	places := 0
	pools := slices.Clone(p.Pools)
	for _, u := range p.Users {
		if u.Address.IsValid() {
			pools = append(pools, AddrRange{u.Address, u.Address})
		}
	}
	known := func(a netip.Addr) bool {
		return slices.ContainsFunc(pools, func(r AddrRange) bool { return r.From.Compare(a) <= 0 && a.Compare(r.To) <= 0 })
	}
	for _, r := range pools {
		for a := r.From.Prev(); a.Compare(r.To.Next()) <= 0; a = a.Next() {
			want := 0
			if known(a) {
				want = 1
			}
			if from, to := s.Netfilter.passes(a); from != want || to != want {
				t.Fatalf("%s %s: %d rules let %s through, and %d back", s.Node, p.Object(), from, a, to)
			}
			if want > 0 && !slices.ContainsFunc(s.Netfilter.Clamps, func(c Clamp) bool { return c.Interface == pppLinks && c.Remote.Contains(a) }) {
				t.Fatalf("%s %s: %s is not clamped", s.Node, p.Object(), a)
			}
		}
	}
	for _, r := range p.Slots() {
		places += r.Size()
	}
	if p.MaxSessions > 0 && places > p.MaxSessions || places == 0 {
		t.Errorf("%s %s: %d places for %d", s.Node, p.Object(), places, p.MaxSessions)
	}
	if s.Sysctl[forward4] != "1" {
		t.Errorf("%s: sysctl %v", s.Node, s.Sysctl)
	}
}

// checkNetworks: what is behind a client passes on both nodes, and neither is without IPv6.
func checkNetworks(t *testing.T, p *PPPServer, n PPPNetworks, s *State, w world) {
	client := w["c"]
	for _, prefix := range n.Prefixes {
		a := prefix.Addr()
		if from, to := s.Netfilter.passes(a); from != 1 || to != 1 {
			t.Errorf("%s: %d rules let %s through, and %d back", p.Object(), from, a, to)
		}
		if !slices.ContainsFunc(client.Netfilter.Forwards, func(f Forward) bool { return f.Out == pppLinks && f.From == prefix && f.To.IsValid() }) {
			t.Errorf("%s: %s leaves by no rule of its own node", p.Object(), prefix)
		}
		if !p.IPv6 || s.Sysctl[forward6] != "1" || client.Sysctl[forward6] != "1" || !slices.Contains(s.PPP.Fallbacks(), prefix) {
			t.Errorf("%s: %s: IPv6 %v, settings %v and %v", p.Object(), prefix, p.IPv6, s.Sysctl, client.Sysctl)
		}
	}
}

// checkLink compares a link with its server, and the connections below both.
func checkLink(t *testing.T, l *PPPLink, s *State, w world) {
	server := w[strings.TrimPrefix(l.Name, "s")]
	p := server.PPP.Server(l.Protocol)
	if diff := cmp.Diff(p.PPPTunnel, l.PPPTunnel); diff != "" || p.LocalIP != l.LocalIP || p.AuthName() != l.AuthName() {
		t.Errorf("%s: server and link differ\n%s", l.Object(), diff)
	}
	if !slices.ContainsFunc(p.Users, func(u PPPUser) bool { return u.Name == l.User && u.Password == l.Password }) {
		t.Errorf("%s: server does not know %s", l.Object(), l.User)
	}
	if addr := netip.MustParseAddr(l.Server); !addr.Is4() {
		t.Errorf("%s: dials %s", l.Object(), addr)
	}
	if !l.IPsec {
		return
	}
	name := "l2tp-" + l.Name
	here, there := s.connection(name), server.connection(name)
	if here.Remote.ID != there.Local.ID || there.Remote.ID != anywhere || !slices.Equal(here.RemoteAddrs, []string{l.Server}) {
		t.Errorf("%s: %+v towards %+v", name, here, there)
	}
	one, two := here.Children[0], there.Children[0]
	if diff := cmp.Diff(one.Proposals, two.Proposals); diff != "" || !cmp.Equal(one.RekeyTime, two.RekeyTime) || two.Initiate != InitiateNever {
		t.Errorf("%s: children differ\n%s", name, diff)
	}
	if a, b := s.secretOf("ike-"+name), server.secretOf("ike-"+name); a.Secret != b.Secret ||
		!slices.Equal(b.Owners, []string{there.Local.ID}) || !slices.Contains(a.Owners, b.Owners[0]) {
		t.Errorf("%s: secrets %+v and %+v", name, a, b)
	}
	if drops := s.Netfilter.Drops; len(drops) != 1 || len(drops[0].Peers) > 0 && !slices.Contains(drops[0].Peers, netip.MustParseAddr(l.Server)) ||
		slices.Contains(drops[0].Except, netip.MustParseAddr(l.Server)) {
		t.Errorf("%s: %+v do not keep it inside IPsec", l.Object(), drops)
	}
}
