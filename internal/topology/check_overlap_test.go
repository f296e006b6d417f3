package topology

import "testing"

func TestOverlapsRefusals(t *testing.T) {
	testRefusals(t, []refusal{
		{
			name: "overlaps across protocols",
			yaml: `wireguard:
  wg0: {listen_port: 1, members: {a: {public_key: K1, private_key: {env: A}, addresses: [10.0.0.1/16, 169.254.0.1/16, "fe80::1/64"]}}}
  wg1: {listen_port: 2, members: {a: {public_key: K2, private_key: {env: A}, addresses: [10.0.7.1/24, 169.254.0.1/16, "fe80::1/64"]}}}
ipsec: {r: {server: a, pools: [10.9.0.0/24, "fd00::/64"], auth: {psk: {value: 0123456789abcdef}}}}
l2tp:
  l: {server: a, local_ip: 10.0.8.1, pools: [10.9.0.200-10.9.1.10], ipsec: {psk: {env: P}}, users: {u: {password: {env: U}}, v: {password: {env: V}, address: 10.20.0.5}}}
pptp:
  p: {server: a, allow_insecure: true, local_ip: 10.20.0.1, pools: [10.20.0.1-10.20.0.10, 10.20.0.10-10.20.0.11], users: {u: {password: {env: U}}}}
`,
			want: []string{
				`f:6:132: wireguard.wg1.members.a.addresses[0]: 10.0.7.0/24 overlaps 10.0.0.0/16 of wireguard.wg0 (line 5)`,
				`f:9:28: l2tp.l.local_ip: 10.0.8.1 overlaps 10.0.0.0/16 of wireguard.wg0 (line 5)`,
				`f:9:46: l2tp.l.pools[0]: 10.9.0.200-10.9.1.10 overlaps 10.9.0.0/24 of a pool of ipsec.r (line 7)`,
				`f:11:69: pptp.p.pools[0]: 10.20.0.1-10.20.0.10 overlaps 10.20.0.1 of the local_ip of pptp.p (line 11)`,
				`f:11:69: pptp.p.pools[0]: 10.20.0.1-10.20.0.10 overlaps 10.20.0.5 of a user of l2tp.l (line 9)`,
				`f:11:91: pptp.p.pools[1]: 10.20.0.10-10.20.0.11 overlaps 10.20.0.1-10.20.0.10 of a pool of pptp.p (line 11)`,
			},
		},
		{
			name: "members of one interface share their subnet, and networks are not compared",
			yaml: `wireguard:
  wg0:
    listen_port: 1
    members:
      a: {public_key: K1, private_key: {env: A}, addresses: [10.0.0.1/24], networks: [10.0.0.0/8]}
      b: {public_key: K2, private_key: {env: A}, addresses: [10.0.0.2/16]}
    peers: {p: {public_key: K3, addresses: [10.0.0.3/32]}}
nat: {a: [{source: [10.0.0.0/8], out: auto}]}
`,
		},
		{
			name: "a range of another interface inside two of one",
			yaml: `wireguard:
  wg0:
    listen_port: 1
    members:
      a: {public_key: K1, private_key: {env: A}, addresses: [10.0.0.1/8]}
      b: {public_key: K2, private_key: {env: A}, addresses: [10.1.0.2/16]}
  wg1: {listen_port: 2, members: {a: {public_key: K2, private_key: {env: A}, addresses: [10.1.2.1/24]}}}
`,
			want: []string{
				`f:10:132: wireguard.wg1.members.a.addresses[0]: 10.1.2.0/24 overlaps 10.0.0.0/8 of wireguard.wg0 (line 8)`,
			},
		},
	})
}
