package topology

import "testing"

func TestWireGuardRefusals(t *testing.T) {
	testRefusals(t, []refusal{
		{
			name: "the same public key twice",
			yaml: `wireguard: {wg0: {listen_port: 1, members: {a: {public_key: K1, private_key: {env: A}}, b: {public_key: K1, private_key: {env: A}}}}}
`,
			want: []string{
				`f:4:147: wireguard.wg0.members.b.public_key: is the public key of a (line 4) already: each needs its own`,
			},
		},
		{
			name: "the same public key of two peers",
			yaml: `wireguard: {wg0: {listen_port: 1, members: {a: {public_key: K1, private_key: {env: A}}}, peers: {p: {public_key: K2}, q: {public_key: K2}}}}
`,
			want: []string{
				`f:4:219: wireguard.wg0.peers.q.public_key: is the public key of p (line 4) already: each needs its own`,
			},
		},
		{
			name: "own key as peer",
			yaml: `wireguard: {wg0: {listen_port: 1, members: {a: {public_key: K1, private_key: {env: A}}}, peers: {p: {public_key: K1}}}}
`,
			want: []string{
				`f:4:156: wireguard.wg0.peers.p.public_key: is the key of member a (line 4) itself: no interface can be its own peer`,
			},
		},
		{
			name: "bad and missing keys",
			yaml: `wireguard: {wg0: {listen_port: 1, members: {a: {public_key: abc, private_key: {env: A}}, b: {private_key: {env: B}}}, peers: {p: {}, q: {public_key: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=}}}}
`,
			want: []string{
				`f:4:61: wireguard.wg0.members.a.public_key: is no WireGuard public key: use 44 characters of base64, as wg pubkey prints them`,
				`f:4:90: wireguard.wg0.members.b.public_key: is missing: the others need it; vpnctl keygen --topology FILE --node b fills it in`,
				`f:4:127: wireguard.wg0.peers.p.public_key: is missing: a peer is known by it`,
				`f:4:150: wireguard.wg0.peers.q.public_key: is the key of nobody: all its bits are zero`,
			},
		},
		{
			name: "same allowed IP on two peers of one interface",
			yaml: `wireguard:
  wg0:
    listen_port: 1
    members:
      a: {public_key: K1, private_key: {env: A}, addresses: [10.0.0.1/24]}
      b: {public_key: K2, private_key: {env: A}, addresses: [10.0.0.2/24], networks: [10.5.0.0/16]}
    peers:
      p: {public_key: K3, addresses: [10.0.0.3/32], networks: [10.5.0.0/16]}
`,
			want: []string{
				`f:11:105: wireguard.wg0.peers.p.networks: 10.5.0.0/16 is an allowed IP of b (line 9) already: on a only one peer can have it`,
			},
		},
		{
			name: "same network on both members of a mesh of two is nobody's conflict",
			yaml: `wireguard:
  wg0:
    listen_port: 1
    members:
      a: {public_key: K1, private_key: {env: A}, addresses: [10.0.0.1/24], networks: [10.5.0.0/16]}
      b: {public_key: K2, private_key: {env: A}, addresses: [10.0.0.2/24], networks: [10.5.0.0/16]}
`,
		},
		{
			name: "same network on two spokes meets at the hub",
			yaml: `wireguard:
  wg0:
    listen_port: 1
    hub: a
    members:
      a: {public_key: K1, private_key: {env: A}}
      b: {public_key: K2, private_key: {env: A}, networks: [10.5.0.0/16]}
      c: {public_key: K3, private_key: {env: A}, networks: [10.5.0.0/16]}
`,
			want: []string{
				`f:11:102: wireguard.wg0.members.c.networks: 10.5.0.0/16 is an allowed IP of b (line 10) already: on a only one peer can have it`,
			},
		},
		{
			name: "the hub may list its spokes' networks itself",
			yaml: `wireguard:
  wg0:
    listen_port: 1
    hub: a
    members:
      a: {public_key: K1, private_key: {env: A}, allowed_ips: [10.5.0.0/16, 0.0.0.0/0]}
      b: {public_key: K2, private_key: {env: A}, networks: [10.5.0.0/16]}
      c: {public_key: K3, private_key: {env: A}, networks: [10.6.0.0/16]}
`,
		},
		{
			name: "a peer behind a spoke meets what the hub relays",
			yaml: `wireguard:
  wg0:
    listen_port: 1
    hub: a
    members:
      a: {public_key: K1, private_key: {env: A}}
      b: {public_key: K2, private_key: {env: A}, endpoint: "b.example.net:1"}
      c: {public_key: K3, private_key: {env: A}, networks: [10.5.0.0/16]}
    peers:
      p: {public_key: K4, networks: [10.5.0.0/16], via: [b]}
`,
			want: []string{
				`f:13:79: wireguard.wg0.peers.p.networks: 10.5.0.0/16 is an allowed IP of c (line 11) already: on a only one peer can have it`,
			},
		},
		{
			name: "lists for one member",
			yaml: `wireguard:
  wg0:
    listen_port: 1
    hub: a
    members:
      a: {public_key: K1, private_key: {env: A}, addresses: [10.0.0.1/24], allowed_ips: {b: [10.7.0.0/16], z: [10.0.0.0/8], a: []}}
      b: {public_key: K2, private_key: {env: A}, endpoint: "b.example.net:1"}
      c: {public_key: K3, private_key: {env: A}, allowed_ips: {b: [10.8.0.0/16]}}
    peers:
      p: {public_key: K4, via: [b], allowed_ips: {b: [10.7.0.0/16]}}
      q: {public_key: K5, via: [b], networks: [10.7.0.0/16]}
`,
			want: []string{
				`f:9:132: wireguard.wg0.members.a.allowed_ips.b: 10.7.0.0/16 is an allowed IP of q (line 14) already: on b only one peer can have it`,
				`f:9:150: wireguard.wg0.members.a.allowed_ips.z: "z" is no member of wg0; the members are a, b, c`,
				`f:9:167: wireguard.wg0.members.a.allowed_ips.a: a has no peer a: nobody is a peer of itself`,
				`f:11:106: wireguard.wg0.members.c.allowed_ips.b: b has no peer c: it is reached through the hub, a`,
				`f:13:93: wireguard.wg0.peers.p.allowed_ips.b: 10.7.0.0/16 is an allowed IP of q (line 14) already: on b only one peer can have it`,
			},
		},
		{
			name: "an address twice",
			yaml: `wireguard:
  wg0:
    listen_port: 1
    members:
      a: {public_key: K1, private_key: {env: A}, addresses: [10.0.0.1/24, "fd00::1/64"]}
      b: {public_key: K2, private_key: {env: A}, addresses: ["fd00::2/64", 10.0.0.1/24]}
`,
			want: []string{
				`f:9:118: wireguard.wg0.members.b.addresses[1]: 10.0.0.1 is an address of a (line 8) already`,
			},
		},
		{
			name: "allowed IPs on a member that nobody can reach",
			yaml: `wireguard: {wg0: {listen_port: 1, members: {a: {public_key: K1, private_key: {env: A}, networks: [10.1.0.0/16], allowed_ips: [10.1.0.0/16]}}}}
`,
			want: []string{
				`f:4:140: wireguard.wg0.members.a.networks: belongs to a member that nobody can reach: wg0 has no other member and no peer`,
				`f:4:168: wireguard.wg0.members.a.allowed_ips: belongs to a member that nobody can reach: wg0 has no other member and no peer`,
			},
		},
		{
			name: "a pair without address",
			yaml: `wireguard:
  wg0:
    listen_port: 1
    members:
      a: {public_key: K1, private_key: {env: A}}
      c: {public_key: K2, private_key: {env: A}}
      d: {public_key: K3, private_key: {env: A}}
    peers:
      p: {public_key: K4}
      q: {public_key: K5, endpoint: "q.example.net:1"}
`,
			want: []string{
				`f:10:7: wireguard.wg0.members.d: must talk to c (line 9) directly, and neither can be dialled: give one of them an endpoint, or an address and a listen_port, or name a hub`,
				`f:12:7: wireguard.wg0.peers.p: must talk to c (line 9) directly, and neither can be dialled: give one of them an endpoint, or leave c out of via`,
			},
		},
		{
			name: "a hub that cannot be dialled",
			yaml: `wireguard:
  wg0:
    listen_port: 1
    hub: c
    members:
      a: {public_key: K1, private_key: {env: A}}
      c: {public_key: K2, private_key: {env: A}}
      d: {public_key: K3, private_key: {env: A}}
`,
			want: []string{
				`f:11:7: wireguard.wg0.members.d: must talk to c (line 10) directly, and neither can be dialled: give one of them an endpoint, or an address and a listen_port`,
			},
		},
		{
			name: "without listen_port nobody can be dialled",
			yaml: `wireguard:
  wg0:
    members:
      a: {public_key: K1, private_key: {env: A}}
      b: {public_key: K2, private_key: {env: A}}
`,
			want: []string{
				`f:8:7: wireguard.wg0.members.b: must talk to a (line 7) directly, and neither can be dialled: give one of them an endpoint, or an address and a listen_port, or name a hub`,
			},
		},
		{
			name: "a private key that does not match",
			yaml: `wireguard: {wg0: {members: {a: {listen_port: 1, public_key: K2, private_key: {value: yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=}}}}}
`,
			want: []string{
				`f:4:107: wireguard.wg0.members.a.private_key: does not match the public_key of a: wg pubkey makes another one of it`,
			},
		},
		{
			name: "inline keys that are none",
			yaml: `wireguard:
  wg0:
    listen_port: 1
    members:
      a: {public_key: K1, private_key: {value: hunter2}}
    preshared_key: {value: hunter2}
    peers:
      p: {public_key: K2, preshared_key: {value: zz, encoding: hex}}
      q: {public_key: K3, preshared_key: {value: "(secret)", encoding: hex}}
    preshared_keys: [{between: [a, q], value: "****", encoding: base64}]
`,
			want: []string{
				`f:8:69: wireguard.wg0.members.a.private_key: is no WireGuard key: use 44 characters of base64, as wg genkey prints them`,
				`f:9:5: wireguard.wg0.preshared_key: is no WireGuard key: use 44 characters of base64, as wg genkey prints them`,
				`f:11:69: wireguard.wg0.peers.p.preshared_key: is not hex, which its encoding says`,
				`f:13:22: wireguard.wg0.preshared_keys[0]: is not base64, which its encoding says`,
			},
		},
		{
			name: "unknown members",
			yaml: `wireguard:
  wg0:
    listen_port: 1
    hub: aa
    members:
      a: {public_key: K1, private_key: {env: A}}
      zz: {public_key: K2, private_key: {env: A}}
    peers:
      p: {public_key: K3, via: [a, zzz, a]}
      q: {public_key: K4, via: []}
      a: {public_key: K5, via: [a]}
    preshared_keys:
      - {between: [a, pp], env: X}
      - {between: [p, q], env: X}
      - {between: [a, p], env: X}
      - {between: [p, a], env: X}
      - {between: [a], env: X}
`,
			want: []string{
				`f:7:10: wireguard.wg0.hub: "aa" is no member of wg0; the members are a, zz`,
				`f:10:7: wireguard.wg0.members.zz: "zz" is no node of this file; the nodes are a, b, c, d`,
				`f:12:78: wireguard.wg0.peers.p.via[1]: "zzz" is no member of wg0 (did you mean "zz"?); the members are a, zz`,
				`f:12:83: wireguard.wg0.peers.p.via[2]: names a twice`,
				`f:13:74: wireguard.wg0.peers.q.via: names no member; leave the key out for the default`,
				`f:14:7: wireguard.wg0.peers.a: is the name of a member (line 9) already: a peer needs one of its own`,
				`f:16:19: wireguard.wg0.preshared_keys[0].between: "pp" is no member and no peer of wg0`,
				`f:17:19: wireguard.wg0.preshared_keys[1].between: p and q do not talk directly`,
				`f:19:19: wireguard.wg0.preshared_keys[3].between: a and p have a preshared key (line 18) already`,
				`f:20:19: wireguard.wg0.preshared_keys[4].between: must name two members or peers, as in [a, b]`,
			},
		},
		{
			name: "interface names",
			yaml: `wireguard:
  an-interface-too-long: {members: {a: {public_key: K1, private_key: {env: A}}}}
  all: {members: {a: {public_key: K1, private_key: {env: A}}}}
  "w/g": {members: {a: {public_key: K1, private_key: {env: A}}}}
`,
			want: []string{
				`f:5:3: wireguard.an-interface-too-long: "an-interface-too-long" is no name of an interface: use letters, digits and #+-.=@_, at most 15`,
				`f:6:19: wireguard.all.members.a: "all" cannot be the name of an interface: the kernel keeps it to itself`,
				`f:7:3: wireguard."w/g": "w/g" is no name of an interface: use letters, digits and #+-.=@_, at most 15`,
			},
		},
		{
			name: "ports used twice on a node",
			yaml: `ipsec: {x: {server: a, pools: [10.9.0.0/24], auth: {psk: {env: P}}}}
wireguard:
  wg0: {listen_port: 500, members: {a: {public_key: K1, private_key: {env: A}}}}
  wg1: {listen_port: 7, members: {a: {public_key: K1, private_key: {env: A}}}}
  wg2: {members: {a: {listen_port: 7, public_key: K1, private_key: {env: A}}, b: {listen_port: 7, public_key: K2, private_key: {env: A}}}}
`,
			want: []string{
				`f:6:37: wireguard.wg0.members.a.listen_port: port 500 of node a is taken by IKE (line 4)`,
				`f:8:36: wireguard.wg2.members.a.listen_port: port 7 of node a is taken by wireguard.wg1 (line 7)`,
			},
		},
		{
			name: "values",
			yaml: `wireguard:
  wg0:
    listen_port: 0
    mtu: tiny
    fwmark: -1
    table: main
    dns: [8.8.8.8, not a name]
    netns: a/b
    persistent_keepalive: 20h
    hooks: {post_upp: [x]}
    members: {a: {public_key: K1, private_key: {env: A}, endpoint: "fd00::1:5", allowed_ips: }}
`,
			want: []string{
				`f:6:18: wireguard.wg0.listen_port: "0" is not allowed: use a number from 1 to 65535`,
				`f:7:10: wireguard.wg0.mtu: "tiny" is not allowed: use a number from 576 to 65535`,
				`f:8:13: wireguard.wg0.fwmark: "-1" is not allowed: use a number from 0 to 4294967295`,
				`f:9:12: wireguard.wg0.table: "main" is not allowed: use a number from 1 to 4294967295`,
				`f:10:20: wireguard.wg0.dns[1]: "not a name" is neither the address of a DNS server nor a search domain`,
				`f:11:12: wireguard.wg0.netns: "a/b" is no name of a network namespace: use letters, digits, _, - and .`,
				`f:12:27: wireguard.wg0.persistent_keepalive: "20h" is not allowed: use at most 65535s`,
				`f:13:13: wireguard.wg0.hooks.post_upp: unknown key (did you mean "post_up"?); allowed are post_down, post_up, pre_down, pre_up`,
				`f:14:110: wireguard.wg0.members.a.endpoint: "fd00::1:5" is no endpoint: an IPv6 address goes in brackets, as in [2001:db8::1]:51820`,
				`f:14:136: wireguard.wg0.members.a.allowed_ips: is empty; give a list, [] for none at all, or leave the key out`,
			},
		},
		{
			name: "two lists for one member",
			yaml: `wireguard:
  wg0:
    listen_port: 1
    members:
      a: {public_key: K1, private_key: {env: A}}
      b: {public_key: K2, private_key: {env: A}, allowed_ips: {a: [10.7.0.0/16]}, networks: [10.9.0.0/16]}
    peers:
      p: {public_key: K4, via: [a], allowed_ips: {a: [10.7.0.0/16, 10.9.0.0/16], b: [10.1.0.0/16]}}
`,
			want: []string{
				`f:11:93: wireguard.wg0.peers.p.allowed_ips.a: 10.7.0.0/16 is an allowed IP of b (line 9) already: on a only one peer can have it`,
				`f:11:124: wireguard.wg0.peers.p.allowed_ips.b: b has no peer p: it is reached through the members in its via`,
			},
		},
		{
			name: "without a hub the first member in via carries a peer for the others",
			yaml: `wireguard:
  wg0:
    listen_port: 1
    members:
      a: {public_key: K1, private_key: {env: A}}
      b: {public_key: K2, private_key: {env: A}}
    peers:
      p: {public_key: K3, networks: [10.5.0.0/16], via: [b]}
      q: {public_key: K4, networks: [10.5.0.0/16], via: [a]}
`,
			want: []string{
				`f:12:79: wireguard.wg0.peers.q.networks: 10.5.0.0/16 is an allowed IP of p (line 11) already: on a only one peer can have it`,
			},
		},
		{
			name: "an address that is somebody's network",
			yaml: `wireguard:
  wg0:
    listen_port: 1
    members:
      a: {public_key: K1, private_key: {env: A}}
    peers:
      p: {public_key: K3, networks: [10.5.0.1]}
      q: {public_key: K4, addresses: [10.5.0.1/32]}
      r: {public_key: K5, allowed_ips: [10.5.0.1/32]}
`,
			want: []string{
				`f:11:80: wireguard.wg0.peers.q.addresses: 10.5.0.1/32 is an allowed IP of p (line 10) already: on a only one peer can have it`,
				`f:12:82: wireguard.wg0.peers.r.allowed_ips: 10.5.0.1/32 is an allowed IP of p (line 10) already: on a only one peer can have it`,
			},
		},
		{
			name: "a list takes the place of what would collide",
			yaml: `wireguard:
  wg0:
    listen_port: 1
    members:
      a: {public_key: K1, private_key: {env: A}}
      b: {public_key: K2, private_key: {env: A}, networks: [10.5.0.0/16], allowed_ips: {a: [10.6.0.0/16]}}
    peers:
      p: {public_key: K3, networks: [10.5.0.0/16], via: [a]}
`,
		},
		{
			name: "a peer and its only member without address",
			yaml: `wireguard:
  wg0:
    listen_port: 1
    hub: c
    members:
      c: {public_key: K1, private_key: {env: A}}
      d: {public_key: K2, private_key: {env: A}, endpoint: "d.example.net:7"}
    peers:
      p: {public_key: K3}
      q: {public_key: K4, via: [d]}
      r: {public_key: K5, via: [d, c]}
`,
			want: []string{
				`f:12:7: wireguard.wg0.peers.p: must talk to c (line 9) directly, and neither can be dialled: give one of them an endpoint, or leave c out of via`,
				`f:14:7: wireguard.wg0.peers.r: must talk to c (line 9) directly, and neither can be dialled: give one of them an endpoint, or leave c out of via`,
			},
		},
	})
}

func TestWireGuardWarnings(t *testing.T) {
	testWarnings(t, []refusal{
		{
			name: "a member without private key",
			yaml: `wireguard: {wg0: {listen_port: 1, members: {a: {public_key: K1}}}}
`,
			want: []string{
				`f:4:45: wireguard.wg0.members.a: has no private_key: apply on node a will be refused`,
			},
		},
	})
}
