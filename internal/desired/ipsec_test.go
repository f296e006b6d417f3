package desired

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/secret"
)

const ipsecHead = `
version: 1
site: test
nodes:
  a: {addresses: [192.0.2.1]}
  b: {addresses: [198.51.100.2, "2001:db8::2"], hostname: b.example.net}
  c: {}
  e: {addresses: [e.example.net]}
`

// ends is a connection hq between two, with what more it has.
func ends(one, two, more string) string {
	return ipsecHead + "ipsec:\n  hq:\n    ends:\n      " + one + "\n      " + two + "\n" + more
}

const sharedPSK = "    auth: {psk: {value: psk}}\n"

func TestIPsecEnds(t *testing.T) {
	tests := []struct {
		name, text string
		want       map[string]string // by node
	}{
		{"site to site", ends("a: {subnets: [10.10.0.0/24]}", "b: {subnets: [10.14.0.0/24, 'fd14::/64']}", sharedPSK+
			"    ike_proposals: [aes128-sha256-modp2048]\n    esp_proposals: [aes128-sha256]\n    ike_rekey: 60m\n    child_rekey: 1h\n"+
			"    dpd: {delay: 10s, timeout: 120s, action: clear}\n    start_action: start\n    mobike: no\n    copy_df: no\n"), map[string]string{
			"a": `
				connection hq v2 [192.0.2.1] [198.51.100.2 2001:db8::2] proposals aes128-sha256-modp2048 rekey 1h0m0s dpd 10s timeout 2m0s mobike no
				  local psk 192.0.2.1
				  remote psk 198.51.100.2
				  child hq tunnel esp [10.10.0.0/24] [10.14.0.0/24 fd14::/64] proposals aes128-sha256 rekey 1h0m0s hold trap dpd clear initiate first copy_df no
				secret ike-hq psk [192.0.2.1 198.51.100.2]
				route 10.14.0.0/24 by 198.51.100.2
				forward from 10.10.0.0/24 to 10.14.0.0/24 ipsec out
				forward from 10.14.0.0/24 to 10.10.0.0/24 ipsec in
				clamp local 10.10.0.0/24 remote 10.14.0.0/24 mss 1350
				exempt from 10.10.0.0/24 to 10.14.0.0/24
				guard from 10.10.0.0/24 to 10.14.0.0/24 peer 198.51.100.2 peer 2001:db8::2
				sysctl net/ipv4/conf/all/accept_redirects=0
				sysctl net/ipv4/conf/all/send_redirects=0
				sysctl net/ipv4/conf/default/accept_redirects=0
				sysctl net/ipv4/conf/default/send_redirects=0
				sysctl net/ipv4/ip_forward=1
				file /etc/iproute2/rt_protos.d/vpnctl.conf 0644
				`,
			"b": `
				connection hq v2 [198.51.100.2 2001:db8::2] [192.0.2.1] proposals aes128-sha256-modp2048 rekey 1h0m0s dpd 10s timeout 2m0s mobike no
				  local psk 198.51.100.2
				  remote psk 192.0.2.1
				  child hq tunnel esp [10.14.0.0/24 fd14::/64] [10.10.0.0/24] proposals aes128-sha256 rekey 1h0m0s hold trap dpd clear initiate second copy_df no
				secret ike-hq psk [192.0.2.1 198.51.100.2]
				route 10.10.0.0/24 by 192.0.2.1
				forward from 10.14.0.0/24 to 10.10.0.0/24 ipsec out
				forward from 10.10.0.0/24 to 10.14.0.0/24 ipsec in
				clamp local 10.14.0.0/24 remote 10.10.0.0/24 mss 1366
				exempt from 10.14.0.0/24 to 10.10.0.0/24
				guard from 10.14.0.0/24 to 10.10.0.0/24 peer 192.0.2.1
				sysctl net/ipv4/conf/all/accept_redirects=0
				sysctl net/ipv4/conf/all/send_redirects=0
				sysctl net/ipv4/conf/default/accept_redirects=0
				sysctl net/ipv4/conf/default/send_redirects=0
				sysctl net/ipv4/ip_forward=1
				file /etc/iproute2/rt_protos.d/vpnctl.conf 0644
				`,
			"c": "",
		}},
		{"transport, AH", ends("a: {}", "b: {address: 198.51.100.2, id: bee}", sharedPSK+"    mode: transport\n    protocol: ah\n    ah_proposals: [sha256]\n    start_action: start\n"), map[string]string{
			"a": `
				connection hq v2 [192.0.2.1] [198.51.100.2]
				  local psk 192.0.2.1
				  remote psk bee
				  child hq transport ah [] [] proposals sha256 hold trap dpd restart initiate first
				secret ike-hq psk [192.0.2.1 bee]
				exempt from 192.0.2.1/32 to 198.51.100.2/32
				`,
		}},
		{"transport that fails closed", ends("a: {}", "b: {address: 198.51.100.2}", sharedPSK+"    mode: transport\n    fail_closed: true\n"), map[string]string{
			"a": `
				connection hq v2 [192.0.2.1] [198.51.100.2]
				  local psk 192.0.2.1
				  remote psk 198.51.100.2
				  child hq transport esp [] [] hold trap dpd trap
				secret ike-hq psk [192.0.2.1 198.51.100.2]
				exempt from 192.0.2.1/32 to 198.51.100.2/32
				guard to 198.51.100.2/32 peer 198.51.100.2
				`,
		}},
		{"behind NAT, with a selector of one port", ends("a: {subnets: ['10.10.0.0/24[tcp/80]']}", "c: {subnets: [10.66.0.5-10.66.0.6]}", sharedPSK+"    start_action: start\n    dpd: {action: trap}\n"), map[string]string{
			"a": `
				connection hq v2 [192.0.2.1] [%any]
				  local psk 192.0.2.1
				  remote psk c
				  child hq tunnel esp [10.10.0.0/24[tcp/80]] [10.66.0.5-10.66.0.6] hold none dpd clear
				secret ike-hq psk [192.0.2.1 c]
				forward from 10.10.0.0/24 to 10.66.0.5/32 ipsec out
				forward from 10.66.0.5/32 to 10.10.0.0/24 ipsec in
				forward from 10.10.0.0/24 to 10.66.0.6/32 ipsec out
				forward from 10.66.0.6/32 to 10.10.0.0/24 ipsec in
				clamp local 10.10.0.0/24 remote 10.66.0.5/32 mss 1350
				clamp local 10.10.0.0/24 remote 10.66.0.6/32 mss 1350
				exempt from 10.10.0.0/24 to 10.66.0.5/32 protocol tcp sport 80
				exempt from 10.10.0.0/24 to 10.66.0.6/32 protocol tcp sport 80
				guard from 10.10.0.0/24 to 10.66.0.5/32 protocol tcp sport 80
				guard from 10.10.0.0/24 to 10.66.0.6/32 protocol tcp sport 80
				sysctl net/ipv4/conf/all/accept_redirects=0
				sysctl net/ipv4/conf/all/send_redirects=0
				sysctl net/ipv4/conf/default/accept_redirects=0
				sysctl net/ipv4/conf/default/send_redirects=0
				sysctl net/ipv4/ip_forward=1
				`,
			"c": `
				connection hq v2 [] [192.0.2.1]
				  local psk c
				  remote psk 192.0.2.1
				  child hq tunnel esp [10.66.0.5-10.66.0.6] [10.10.0.0/24[tcp/80]] hold trap dpd trap initiate first
				secret ike-hq psk [192.0.2.1 c]
				route 10.10.0.0/24 by 192.0.2.1
				forward from 10.66.0.5/32 to 10.10.0.0/24 ipsec out
				forward from 10.10.0.0/24 to 10.66.0.5/32 ipsec in
				forward from 10.66.0.6/32 to 10.10.0.0/24 ipsec out
				forward from 10.10.0.0/24 to 10.66.0.6/32 ipsec in
				clamp local 10.66.0.5/32 remote 10.10.0.0/24 mss 1366
				clamp local 10.66.0.6/32 remote 10.10.0.0/24 mss 1366
				exempt from 10.66.0.5/32 to 10.10.0.0/24 protocol tcp dport 80
				exempt from 10.66.0.6/32 to 10.10.0.0/24 protocol tcp dport 80
				guard from 10.66.0.5/32 to 10.10.0.0/24 peer 192.0.2.1 protocol tcp dport 80
				guard from 10.66.0.6/32 to 10.10.0.0/24 peer 192.0.2.1 protocol tcp dport 80
				sysctl net/ipv4/conf/all/accept_redirects=0
				sysctl net/ipv4/conf/all/send_redirects=0
				sysctl net/ipv4/conf/default/accept_redirects=0
				sysctl net/ipv4/conf/default/send_redirects=0
				sysctl net/ipv4/ip_forward=1
				file /etc/iproute2/rt_protos.d/vpnctl.conf 0644
				`,
		}},
		{"anybody, foreign, IKEv1", ends("a: {}", "win: {address: any, id: '%any'}", sharedPSK+"    ike_version: 1\n    mode: transport\n"), map[string]string{
			"a": `
				connection hq v1 [192.0.2.1] [%any]
				  local psk 192.0.2.1
				  remote psk %any
				  child hq transport esp [] [] hold none dpd clear
				secret ike-hq psk [192.0.2.1]
				exempt from 192.0.2.1/32
				`,
		}},
		{"foreign end: what shall start starts here", ends("b: {address: 198.51.100.2}", "aa: {address: 203.0.113.9}", sharedPSK+"    mode: transport\n    start_action: start\n"), map[string]string{
			"b": `
				connection hq v2 [198.51.100.2] [203.0.113.9]
				  local psk 198.51.100.2
				  remote psk 203.0.113.9
				  child hq transport esp [] [] hold trap dpd restart initiate first
				secret ike-hq psk [198.51.100.2 203.0.113.9]
				exempt from 198.51.100.2/32 to 203.0.113.9/32
				`,
		}},
		{"route-based, IPv6 in IPv4 of a name", ends("a: {subnets: ['fd10::/64', 0.0.0.0/0]}", "e: {subnets: ['fd14::/64', 0.0.0.0/0, dynamic]}", sharedPSK+"    interface: xfrm0\n    start_action: trap\n"), map[string]string{
			"a": `
				connection hq v2 [192.0.2.1] [e.example.net] routed
				  local psk 192.0.2.1
				  remote psk e.example.net
				  child hq tunnel esp [fd10::/64 0.0.0.0/0] [fd14::/64 0.0.0.0/0 dynamic] hold trap dpd trap
				secret ike-hq psk [192.0.2.1 e.example.net]
				link xfrm0 [fd14::/64]
				forward from fd10::/64 out xfrm0 to fd14::/64
				forward in xfrm0 from fd14::/64 to fd10::/64
				forward from fd10::/64 out xfrm0
				forward in xfrm0 to fd10::/64
				forward from 0.0.0.0/0 out xfrm0 to 0.0.0.0/0
				forward in xfrm0 from 0.0.0.0/0 to 0.0.0.0/0
				forward from 0.0.0.0/0 out xfrm0
				forward in xfrm0 to 0.0.0.0/0
				clamp out xfrm0 family 6 mss 1330
				clamp out xfrm0 family 4 mss 1350
				exempt from fd10::/64 to fd14::/64
				exempt from fd10::/64
				exempt from 0.0.0.0/0 to 0.0.0.0/0
				exempt from 0.0.0.0/0
				guard from fd10::/64 to fd14::/64 on xfrm0
				guard from 0.0.0.0/0 to 0.0.0.0/0 on xfrm0
				sysctl net/ipv4/conf/all/accept_redirects=0
				sysctl net/ipv4/conf/all/send_redirects=0
				sysctl net/ipv4/conf/default/accept_redirects=0
				sysctl net/ipv4/conf/default/send_redirects=0
				sysctl net/ipv4/ip_forward=1
				sysctl net/ipv6/conf/all/forwarding=1
				file /etc/iproute2/rt_protos.d/vpnctl.conf 0644
				`,
		}},
		{"everything goes through the tunnel but what stays", ends("a: {subnets: [10.10.0.0/24, 10.11.0.0/24]}", "b: {address: 198.51.100.2, subnets: [0.0.0.0/0]}", sharedPSK), map[string]string{
			"a": `
				route 0.0.0.0/0 by 198.51.100.2
				bypass local-hq [10.10.0.0/24 10.11.0.0/24]
				guard from 10.10.0.0/24 to 0.0.0.0/0 peer 198.51.100.2 local 10.10.0.0/24 local 10.11.0.0/24
				guard from 10.11.0.0/24 to 0.0.0.0/0 peer 198.51.100.2 local 10.10.0.0/24 local 10.11.0.0/24
				`,
			"b": `
				route 10.10.0.0/24 by 192.0.2.1
				route 10.11.0.0/24 by 192.0.2.1
				guard from 0.0.0.0/0 to 10.10.0.0/24 peer 192.0.2.1
				guard from 0.0.0.0/0 to 10.11.0.0/24 peer 192.0.2.1
				`,
		}},
		{"children of their own", ends("a: {subnets: [10.10.0.0/24]}", "b: {address: 198.51.100.2, subnets: [10.14.0.0/24]}", sharedPSK+
			"    esp_proposals: [aes128-sha256]\n    start_action: start\n    copy_df: no\n    children:\n"+
			"      web: {subnets: {a: ['10.10.1.0/24[udp]'], b: ['10.14.1.0/24[tcp]', '10.14.2.0/24[/53]']}, start_action: none, copy_df: yes}\n"+
			"      all: {esp_proposals: [aes256-sha512], child_rekey: 5m, dpd: {action: clear}}\n      host: {mode: transport, subnets: {a: [dynamic], b: [dynamic]}, start_action: trap}\n"), map[string]string{
			"b": `
				  child all tunnel esp [10.14.0.0/24] [10.10.0.0/24] proposals aes256-sha512 rekey 5m0s hold trap dpd clear initiate second copy_df no
				  child host transport esp [dynamic] [dynamic] proposals aes128-sha256 hold trap dpd trap copy_df no
				  child web tunnel esp [10.14.1.0/24[tcp] 10.14.2.0/24[/53]] [10.10.1.0/24[udp]] proposals aes128-sha256 hold none dpd clear copy_df yes
				exempt from 10.14.0.0/24 to 10.10.0.0/24
				exempt from 198.51.100.2/32 to 192.0.2.1/32
				exempt from 10.14.2.0/24 to 10.10.1.0/24 protocol udp sport 53
				guard from 10.14.0.0/24 to 10.10.0.0/24 peer 192.0.2.1
				guard from 10.14.2.0/24 to 10.10.1.0/24 peer 192.0.2.1 protocol udp sport 53
				guard to 192.0.2.1/32 peer 192.0.2.1
				`,
		}},
		{"each end its own way to prove itself", ends("a: {auth: {eap: {user: ann, password: {value: word}}}}", "b: {auth: {psk: {value: psk}}}", ""), map[string]string{
			"a": `
				  local eap-mschapv2 192.0.2.1 eap ann
				  remote psk 198.51.100.2
				secret eap-ann word [ann]
				secret ike-hq psk [192.0.2.1 198.51.100.2]
				`,
			"b": `
				  local psk 198.51.100.2
				  remote eap-mschapv2 192.0.2.1 eap ann
				secret eap-ann word [ann]
				secret ike-hq psk [192.0.2.1 198.51.100.2]
				`,
		}},
	}
	for _, tt := range tests {
		for node, want := range tt.want {
			t.Run(tt.name+"/"+node, func(t *testing.T) {
				s := derive(t, tt.text, node)
				got := show(s)
				if !strings.Contains(want, "connection ") && want != "" {
					got = lines(s, firstWords(want)...) // only what the case is about
				}
				if diff := cmp.Diff(unindent(want), got); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		}
	}
}

// firstWords are the words with which lines begin, with the indent ahead of them.
func firstWords(text string) []string {
	var words []string
	for line := range strings.Lines(unindent(text)) {
		indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
		if f := strings.Fields(line); len(f) > 0 {
			words = append(words, indent+f[0])
		}
	}
	slices.Sort(words)
	return slices.Compact(words)
}

// remoteAccess is a server with a client node, with what more the server has.
func remoteAccess(auth, more string) string {
	return ipsecHead + "ipsec:\n  rw:\n    server: b\n    auth: " + auth + "\n" + more
}

func TestIPsecRemoteAccess(t *testing.T) {
	certs := "{cert: {file: b.crt}, key: {file: b.key}, ca: {file: ca.crt}}"
	tests := []struct {
		name, text, node, want string
	}{
		{"server with users", remoteAccess(certs, "    pools: [10.99.0.0/24, 10.98.0.5-10.98.0.6, 'fd99::/64']\n    dns: [10.10.0.53, 'fd10::53']\n    subnets: [10.10.0.0/16]\n"+
			"    users: {alice: {password: {value: wonder}}, 'bob@x.y': {password: {value: builder}}}\n    clients: {c: {user: alice}}\n"), "b", `
			connection rw v2 [198.51.100.2 2001:db8::2] [%any] send_cert always pools rw-4,rw-4_2,rw-6 client c alice
			  local pubkey b.example.net certs vpnctl-rw.crt
			  remote eap-mschapv2 %any eap %any
			  child rw tunnel esp [10.10.0.0/16] [] hold none dpd clear
			pool rw-4 10.99.0.0/24 dns 10.10.0.53
			pool rw-4_2 10.98.0.5-10.98.0.6 dns 10.10.0.53
			pool rw-6 fd99::/64 dns fd10::53
			secret eap-alice wonder [alice]
			secret eap-x-f105a4cc03d829b3 builder [bob@x.y]
			credential private/vpnctl-rw.key 0600
			credential x509/vpnctl-rw.crt 0644
			forward from 10.10.0.0/16 ipsec out
			forward to 10.10.0.0/16 ipsec in
			clamp local 10.10.0.0/16 mss 1350
			exempt from 10.10.0.0/16 to 10.98.0.5/32
			exempt from 10.10.0.0/16 to 10.98.0.6/32
			exempt from 10.10.0.0/16 to 10.99.0.0/24
			sysctl net/ipv4/conf/all/accept_redirects=0
			sysctl net/ipv4/conf/all/send_redirects=0
			sysctl net/ipv4/conf/default/accept_redirects=0
			sysctl net/ipv4/conf/default/send_redirects=0
			sysctl net/ipv4/ip_forward=1
			`},
		{"client that is a user", remoteAccess(certs, "    pools: [10.99.0.0/24, 'fd99::/64']\n    subnets: [10.10.0.0/16]\n"+
			"    users: {alice: {password: {value: wonder}}}\n    clients: {c: {user: alice, use_dns: true}}\n"), "c", `
			connection rw v2 [] [198.51.100.2 2001:db8::2] vips 0.0.0.0,:: use_dns
			  local eap-mschapv2 alice eap alice
			  remote pubkey b.example.net cacerts vpnctl-rw.crt
			  child rw tunnel esp [] [10.10.0.0/16] hold none dpd restart initiate first
			secret eap-alice wonder [alice]
			credential x509ca/vpnctl-rw.crt 0644
			exempt to 10.10.0.0/16
			`},
		{"server of everything, for certificates, in the dark", remoteAccess(certs, "    pools: [10.99.0.0/24]\n    fail_closed: true\n    dpd: {delay: 0}\n    clients: {c: {auth: {cert: {file: c.crt}, key: {file: c.key}}, default_route: true}}\n"), "b", `
			connection rw v2 [198.51.100.2 2001:db8::2] [%any] dpd 0s pools rw-4 client c c
			  local pubkey b.example.net certs vpnctl-rw.crt
			  remote pubkey %any cacerts vpnctl-rw.crt
			  child rw tunnel esp [0.0.0.0/0] [] hold none dpd clear
			pool rw-4 10.99.0.0/24
			credential private/vpnctl-rw.key 0600
			credential x509/vpnctl-rw.crt 0644
			credential x509ca/vpnctl-rw.crt 0644
			forward from 0.0.0.0/0 ipsec out
			forward to 0.0.0.0/0 ipsec in
			clamp local 0.0.0.0/0 mss 1350
			exempt from 0.0.0.0/0 to 10.99.0.0/24
			guard from 0.0.0.0/0 to 10.99.0.0/24
			sysctl net/ipv4/conf/all/accept_redirects=0
			sysctl net/ipv4/conf/all/send_redirects=0
			sysctl net/ipv4/conf/default/accept_redirects=0
			sysctl net/ipv4/conf/default/send_redirects=0
			sysctl net/ipv4/ip_forward=1
			`},
		{"client with a certificate", remoteAccess(certs, "    pools: [10.99.0.0/24]\n    fail_closed: true\n    clients: {c: {auth: {cert: {file: c.crt}, key: {file: c.key}}, default_route: true}}\n"), "c", `
			connection rw v2 [] [198.51.100.2 2001:db8::2] vips 0.0.0.0 default_route
			  local pubkey c certs vpnctl-rw.crt
			  remote pubkey b.example.net cacerts vpnctl-rw.crt
			  child rw tunnel esp [] [0.0.0.0/0] hold none dpd restart initiate first
			credential private/vpnctl-rw.key 0600
			credential x509/vpnctl-rw.crt 0644
			credential x509ca/vpnctl-rw.crt 0644
			exempt to 0.0.0.0/0
			guard to 0.0.0.0/0 peer 198.51.100.2 peer 2001:db8::2
			`},
		{"client of a server of everything, without default route", remoteAccess(certs, "    pools: [10.99.0.0/24]\n    clients: {c: {auth: {cert: {file: c.crt}, key: {file: c.key}}}}\n"), "c", `
			connection rw v2 [] [198.51.100.2 2001:db8::2] vips 0.0.0.0
			  local pubkey c certs vpnctl-rw.crt
			  remote pubkey b.example.net cacerts vpnctl-rw.crt
			  child rw tunnel esp [] [10.99.0.0/24] hold none dpd restart initiate first
			credential private/vpnctl-rw.key 0600
			credential x509/vpnctl-rw.crt 0644
			credential x509ca/vpnctl-rw.crt 0644
			exempt to 10.99.0.0/24
			`},
		{"pre-shared key, opened ports", remoteAccess("{psk: {value: psk}}", "    pools: [10.99.0.0/24]\n    subnets: [10.10.0.0/16]\n    clients: {c: {}}\nfirewall: {c: {open_ports: true}}\n"), "c", `
			connection rw v2 [] [198.51.100.2 2001:db8::2] vips 0.0.0.0
			  local psk c
			  remote psk b.example.net
			  child rw tunnel esp [] [10.10.0.0/16] hold none dpd restart initiate first
			secret ike-rw psk [b.example.net c]
			open udp/500
			open udp/4500
			open esp/0
			inner ipsec remote 10.10.0.0/16
			exempt to 10.10.0.0/16
			`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Derive(parse(t, tt.text), tt.node, half{&keyring{}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(unindent(tt.want), show(s)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// half is a source that shows what stands in the topology itself alone.
type half struct{ *keyring }

func (h half) Value(ref *secret.Ref) (secret.Value, error) {
	if ref.Origin == secret.Inline {
		return ref.Value, nil
	}
	return secret.Value{}, secret.ErrMasked
}
