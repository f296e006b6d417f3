package topology

import "testing"

func TestIPsecRefusals(t *testing.T) {
	testRefusals(t, []refusal{
		{
			name: "a route that leads into itself",
			yaml: `ipsec:
  x: {ends: {a: {}, far: {address: 203.0.113.9, subnets: [203.0.113.0/24, 10.0.0.0/8, 0.0.0.0/0]}}, auth: {psk: {env: P}}, interface: xfrm0}
  y: {ends: {a: {id: y}, far: {address: 203.0.113.9, id: fy, subnets: [203.0.113.0/24]}}, auth: {psk: {env: P}}}
  z: {ends: {a: {id: z}, far: {address: any, id: fz, subnets: [203.0.113.0/24]}}, auth: {psk: {env: P}}, interface: xfrm1}
`,
			want: []string{
				`f:5:3: ipsec.x: leads 203.0.113.0/24 into xfrm0, and with it 203.0.113.9, where the tunnel's own packets go: take far out of the subnets, or leave interface out`,
			},
		},
		{
			name: "neither ends nor server, and both",
			yaml: `ipsec:
  x: {auth: {psk: {env: P}}}
  y: {server: a, ends: {a: {}, b: {}}, auth: {psk: {env: P}}}
`,
			want: []string{
				`f:5:3: ipsec.x: needs ends, the two that it connects, or server, the node that clients dial`,
				`f:6:7: ipsec.y.server: stands beside ends: a connection has two ends, or one server`,
			},
		},
		{
			name: "not two ends",
			yaml: `ipsec: {x: {ends: {a: {}}, auth: {psk: {env: P}}}}
`,
			want: []string{
				`f:4:13: ipsec.x.ends: names 1, and a connection has two ends`,
			},
		},
		{
			name: "ids that charon cannot carry",
			yaml: `ipsec:
  v: {ends: {a: {id: münchen}, b: {id: LONG}}, auth: {psk: {env: P}}}
  w: {server: a, pools: [10.1.0.0/24], auth: {psk: {env: P}, id: größe}, clients: {c: {id: ö}}}
  x: {server: a, pools: [10.2.0.0/24], auth: {psk: {env: P}, id: x}, users: {jürgen: {password: {env: P}}, '%any': {password: {env: P}}, bob@x.y: {password: {env: P}}}}
  y: {ends: {a: {id: y, auth: {eap: {user: 0.0.0.0, password: {env: P}}}}, b: {id: yy, auth: {psk: {env: P}}}}}
  z: {ends: {a: {id: z}, b: {id: zz}}, auth: {psk: {env: P}}, children: {one: {updown: /opt/ü}}}
`,
			want: []string{
				`f:5:22: ipsec.v.ends.a.id: "münchen" cannot be an id of IKE, which is printable ASCII; a DNS name has such a form, xn--…`,
				`f:5:40: ipsec.v.ends.b.id: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…" cannot be an id of IKE: it has 256 bytes, and at most 255 are carried`,
				`f:6:66: ipsec.w.auth.id: "größe" cannot be an id of IKE, which is printable ASCII; a DNS name has such a form, xn--…`,
				`f:6:92: ipsec.w.clients.c.id: "ö" cannot be an id of IKE, which is printable ASCII; a DNS name has such a form, xn--…`,
				`f:7:78: ipsec.x.users."jürgen": "jürgen" is no name of a user of IPsec: use at most 255 bytes of printable ASCII that do not mean anybody, as %any does`,
				`f:7:108: ipsec.x.users."%any": "%any" is no name of a user of IPsec: use at most 255 bytes of printable ASCII that do not mean anybody, as %any does`,
				`f:8:44: ipsec.y.ends.a.auth.eap.user: "0.0.0.0" is no name of a user of IPsec: use at most 255 bytes of printable ASCII that do not mean anybody, as %any does`,
				`f:9:88: ipsec.z.children.one.updown: "/opt/ü" is not allowed: use printable ASCII without quotes`,
			},
		},
		{
			name: "no end is a node",
			yaml: `ipsec: {x: {ends: {aa: {address: 192.0.2.9}, bb: {}}, auth: {psk: {env: P}}}}
`,
			want: []string{
				`f:4:19: ipsec.x.ends: neither aa nor bb is a node of this file; the nodes are a, b, c, d`,
			},
		},
		{
			name: "neither end can be dialled",
			yaml: `ipsec: {x: {ends: {c: {}, d: {}}, auth: {psk: {env: P}}}}
`,
			want: []string{
				`f:4:9: ipsec.x: neither c nor d can be dialled: give one of them an address`,
			},
		},
		{
			name: "start on which nobody can act",
			yaml: `ipsec:
  x: {ends: {a: {}, away: {address: any}}, auth: {psk: {env: P}}, start_action: start}
  y: {server: a, pools: [10.9.0.0/24], auth: {psk: {env: P}}, start_action: trap}
  z:
    ends: {a: {}, away: {address: any, id: z}}
    auth: {psk: {env: P}}
    children: {one: {start_action: trap}, two: {start_action: none}}
`,
			want: []string{
				`f:5:81: ipsec.x.start_action: is start, and no node can act on it: there is no address that a node could dial; use none, or give the far end an address`,
				`f:6:77: ipsec.y.start_action: is trap, and no node can act on it: clients dial a server, and no node is one; use none`,
				`f:10:36: ipsec.z.children.one.start_action: is trap, and no node can act on it: there is no address that a node could dial; use none, or give the far end an address`,
			},
		},
		{
			name: "unknown nodes",
			yaml: `ipsec:
  x: {server: aa, pools: [10.9.0.0/24], auth: {psk: {env: P}}, clients: {zz: {}}}
`,
			want: []string{
				`f:5:15: ipsec.x.server: "aa" is no node of this file; the nodes are a, b, c, d`,
				`f:5:74: ipsec.x.clients.zz: "zz" is no node of this file; the nodes are a, b, c, d`,
			},
		},
		{
			name: "clients",
			yaml: `ipsec:
  x:
    server: c
    pools: [10.9.0.0/24]
    auth: {cert: {file: c}, key: {file: k}}
    users: {alice: {password: {env: P}}}
    clients: {a: {user: alise}, b: {}, c: {user: alice, auth: {ca: {file: ca}}}}
  y:
    server: a
    auth: {cert: {file: c}, key: {file: k}}
    clients: {b: {}}
`,
			want: []string{
				`f:10:15: ipsec.x.clients.a: needs auth.ca: what it checks the server's certificate against`,
				`f:10:15: ipsec.x.clients.a: cannot dial c, which has no address`,
				`f:10:25: ipsec.x.clients.a.user: "alise" is none of the users (did you mean "alice"?); the users are alice`,
				`f:10:33: ipsec.x.clients.b: needs user: the server's clients log in by name`,
				`f:10:33: ipsec.x.clients.b: needs auth.ca: what it checks the server's certificate against`,
				`f:10:33: ipsec.x.clients.b: cannot dial c, which has no address`,
				`f:10:40: ipsec.x.clients.c: is the server itself`,
				`f:10:40: ipsec.x.clients.c: cannot dial c, which has no address`,
				`f:11:3: ipsec.y: needs pools: clients get their addresses from there`,
				`f:13:5: ipsec.y.auth: needs ca: without users, clients bring certificates of it`,
				`f:14:15: ipsec.y.clients.b: needs auth.cert: without users, clients bring certificates`,
				`f:14:15: ipsec.y.clients.b: needs auth.key: without users, clients bring certificates`,
			},
		},
		{
			name: "proposals that strongSwan does not know",
			yaml: `ipsec:
  x:
    ends: {a: {}, b: {}}
    auth: {psk: {env: P}}
    ike_proposals: [aes128-sha265-modp2048, aes128-sha256]
    esp_proposals: [aes129]
    ah_proposals: [sha256]
  y: {protocol: ah, ends: {a: {id: y}, b: {}}, auth: {psk: {env: P}}, ah_proposals: [aes128], esp_proposals: [aes128-sha256]}
  z: {ends: {a: {id: z}, b: {}}, auth: {psk: {env: P}}, ike_proposals: []}
`,
			want: []string{
				`f:8:21: ipsec.x.ike_proposals[0]: "aes128-sha265-modp2048" is not allowed: "sha265" is no algorithm of strongSwan (did you mean "sha256"?)`,
				`f:8:45: ipsec.x.ike_proposals[1]: "aes128-sha256" is not allowed: it has no key exchange group, such as modp2048 or x25519`,
				`f:9:21: ipsec.x.esp_proposals[0]: "aes129" is not allowed: "aes129" is no algorithm of strongSwan (did you mean "aes128"?)`,
				`f:10:5: ipsec.x.ah_proposals: has no effect with protocol: esp; use esp_proposals, or protocol: ah`,
				`f:11:86: ipsec.y.ah_proposals[0]: "aes128" is not allowed: it has no integrity algorithm, and AH needs one, such as sha256`,
				`f:11:95: ipsec.y.esp_proposals: has no effect with protocol: ah; use ah_proposals`,
				`f:12:72: ipsec.z.ike_proposals: has no proposal; leave the key out for strongSwan's own`,
			},
		},
		{
			name: "swanctl's own words",
			yaml: `ipsec:
  x:
    ends: {a: {}, b: {}}
    auth: {psk: {env: P}}
    version: 2
    proposals: [aes128-sha256]
    local_ts: [10.0.0.0/8]
    local-1: {}
    mobike: maybe
    mobik: yes
    dpd_delay: 30s
    children: {one: {rekey_time: 1h, mark_in: x, subnets: {aa: [10.0.0.0/8]}}}
`,
			want: []string{
				`f:8:5: ipsec.x.version: is swanctl.conf's word: here it is ike_version`,
				`f:9:5: ipsec.x.proposals: is swanctl.conf's word: here it is ike_proposals`,
				`f:10:5: ipsec.x.local_ts: is swanctl.conf's word: here it is ends.NAME.subnets`,
				`f:11:5: ipsec.x.local-1: is swanctl.conf's word: here it is ends.NAME.auth`,
				`f:12:13: ipsec.x.mobike: "maybe" is not allowed: use yes or no`,
				`f:13:5: ipsec.x.mobik: unknown key (did you mean "mobike"?); allowed are address, ah_proposals, auth, child_rekey, children, clients, dns, dpd, ends, esp_proposals, fail_closed, ike_proposals, ike_rekey, ike_version, interface, mode, pools, protocol, server, start_action, subnets, users, and what swanctl.conf(5) has besides`,
				`f:14:5: ipsec.x.dpd_delay: is swanctl.conf's word: here it is dpd.delay`,
				`f:15:22: ipsec.x.children.one.rekey_time: is swanctl.conf's word: here it is child_rekey`,
				`f:15:47: ipsec.x.children.one.mark_in: "x" is not allowed: use a mark such as 42, 0x10/0xff or %unique`,
				`f:15:60: ipsec.x.children.one.subnets.aa: is no end of this connection; the ends are a, b`,
			},
		},
		{
			name: "words",
			yaml: `ipsec:
  x:
    ends: {a: {address: [any, 192.0.2.1], subnets: ["10.0.0.0/8[tpc/80]", "dynamic[udp/%any]", 10.0.0.9-10.0.0.1]}, b: {}}
    auth: {psk: {env: P}}
    mode: beet
    protocol: EPS
    ike_version: 3
    start_action: restart
    dpd: {delay: soon, action: trapp, retry: 3}
`,
			want: []string{
				`f:6:25: ipsec.x.ends.a.address: names any and addresses: any stands alone`,
				`f:6:53: ipsec.x.ends.a.subnets[0]: "10.0.0.0/8[tpc/80]" names an unknown protocol: use tcp, udp, icmp, gre, … or a number`,
				`f:6:75: ipsec.x.ends.a.subnets[1]: "dynamic[udp/%any]" names the port %any: any port is what [udp] alone means`,
				`f:6:96: ipsec.x.ends.a.subnets[2]: "10.0.0.9-10.0.0.1" ends before it begins`,
				`f:8:11: ipsec.x.mode: "beet" is not allowed: use tunnel or transport`,
				`f:9:15: ipsec.x.protocol: "EPS" is not allowed: use esp or ah (did you mean "esp"?)`,
				`f:10:18: ipsec.x.ike_version: "3" is not allowed: use 1 or 2`,
				`f:11:19: ipsec.x.start_action: "restart" is not allowed: use none, trap or start (did you mean "start"?)`,
				`f:12:18: ipsec.x.dpd.delay: "soon" is not allowed: use a duration such as 25s, 30m or 8h`,
				`f:12:32: ipsec.x.dpd.action: "trapp" is not allowed: use clear, trap or restart (did you mean "trap"?)`,
				`f:12:39: ipsec.x.dpd.retry: unknown key; allowed are action, delay, timeout`,
			},
		},
		{
			name: "keys of a server between ends",
			yaml: `ipsec: {x: {ends: {a: {}, b: {}}, auth: {psk: {env: P}}, pools: [10.0.0.0/24], subnets: [10.0.0.0/8]}}
`,
			want: []string{
				`f:4:58: ipsec.x.pools: belongs to a connection with a server; there is none with ends`,
				`f:4:80: ipsec.x.subnets: belongs to a connection with a server; here each end has its own: ends.NAME.subnets`,
			},
		},
		{
			name: "a server without pools",
			yaml: `ipsec: {x: {server: a, auth: {psk: {env: P}}}}
`,
			want: []string{
				`f:4:9: ipsec.x: needs pools: clients get their addresses from there`,
			},
		},
		{
			name: "authentication",
			yaml: `ipsec:
  none: {ends: {a: {}, b: {}}}
  empty: {ends: {a: {id: e}, b: {}}, auth: {}}
  two: {ends: {a: {id: t}, b: {}}, auth: {psk: {env: P}, cert: {file: c}}}
  nokey: {ends: {a: {id: n}, b: {}}, auth: {cert: {file: c}}}
  pub: {ends: {a: {id: p}, b: {}}, auth: {pubkey: {file: p}, key: {file: k}}}
  foreign: {ends: {a: {auth: {psk: {env: P}}}, far: {auth: {ca: {file: c}}}}, ike_version: 1}
  eap: {ends: {a: {id: q}, b: {}}, auth: {eap: mschapv2}}
  eap1: {ends: {a: {id: r, auth: {eap: {user: u}}}, b: {auth: {psk: {env: P}}}}, ike_version: 1}
  users: {server: a, ike_version: 1, pools: [10.9.0.0/24], auth: {psk: {env: P}}, users: {u: {password: {env: U}}}}
  certs: {server: a, pools: [10.8.0.0/24], auth: {cert: {file: c}, key: {file: k}}}
`,
			want: []string{
				`f:5:3: ipsec.none.auth: is missing: how the ends prove who they are: one of psk, cert with key and ca, pubkey with key, and eap`,
				`f:6:38: ipsec.empty.auth: does not say how to prove who one is: give one of psk, cert with key and ca, pubkey with key, and eap`,
				`f:7:36: ipsec.two.auth: is psk and cert at once: give one of psk, cert with key and ca, pubkey with key, and eap`,
				`f:8:38: ipsec.nokey.auth: needs key: what a proves its certificate with`,
				`f:8:38: ipsec.nokey.auth: needs ca: what b checks the certificate of a against`,
				`f:9:36: ipsec.pub.auth: is one key for both ends, and each has its own: use ends.NAME.auth`,
				`f:10:54: ipsec.foreign.ends.far.auth: is psk at a and cert at far: with ike_version: 1 both prove themselves the same way`,
				`f:11:36: ipsec.eap.auth: has both ends log in by EAP, and only the one that dials can: give the other psk, cert or pubkey`,
				`f:11:48: ipsec.eap.auth.eap: needs user: whom a logs in as`,
				`f:11:48: ipsec.eap.auth.eap: needs password: what a logs in with`,
				`f:12:40: ipsec.eap1.ends.a.auth.eap: needs ike_version: 2`,
				`f:12:40: ipsec.eap1.ends.a.auth.eap: needs password: what a logs in with`,
				`f:12:57: ipsec.eap1.ends.b.auth: is eap at a and psk at b: with ike_version: 1 both prove themselves the same way`,
				`f:13:90: ipsec.users.users: needs ike_version: 2: users log in by EAP`,
				`f:14:44: ipsec.certs.auth: needs ca: without users, clients bring certificates of it`,
			},
		},
		{
			name: "one id for both ends",
			yaml: `ipsec: {x: {ends: {a: {id: x}, b: {id: x}}, auth: {psk: {env: P}}}}
`,
			want: []string{
				`f:4:40: ipsec.x.ends.b.id: "x" is what a is called already (line 4): the ends need different ids`,
			},
		},
		{
			name: "keys that cannot be told apart",
			yaml: `ipsec:
  x: {ends: {a: {}, away1: {}}, ike_version: 1, auth: {psk: {env: P}}}
  y: {ends: {a: {}, away2: {}}, ike_version: 1, auth: {psk: {env: Q}}}
  z1: {ends: {a: {}, b: {}}, auth: {psk: {env: P}}}
  z2: {ends: {a: {}, b: {}}, auth: {psk: {env: Q}}}
  z3: {ends: {a: {}, b: {}}, auth: {psk: {env: P}}}
l2tp:
  l: {server: a, local_ip: 10.0.8.1, pools: [10.9.0.200-10.9.1.10], ipsec: {psk: {env: R}}, users: {u: {password: {env: U}}}}
`,
			want: []string{
				`f:6:3: ipsec.y: has another psk than ipsec.x (line 5), and IKEv1 cannot tell on a which one a peer from anywhere means`,
				`f:8:3: ipsec.z2: has another psk than ipsec.z1 (line 7) for the same two ids: give an end another id`,
				`f:11:3: l2tp.l: has another psk than ipsec.x (line 5), and IKEv1 cannot tell on a which one a peer from anywhere means`,
			},
		},
		{
			name: "interfaces",
			yaml: `wireguard: {wg0: {listen_port: 1, members: {a: {public_key: K1, private_key: {env: A}}}}}
ipsec:
  x: {ends: {a: {}, b: {}}, auth: {psk: {env: P}}, interface: xfrm0, if_id_in: 5}
  y: {ends: {a: {id: y}, b: {}}, auth: {psk: {env: P}}, interface: xfrm0}
  z: {ends: {a: {id: z}, b: {}}, auth: {psk: {env: P}}, interface: wg0}
  w: {ends: {a: {id: w}, b: {}}, auth: {psk: {env: P}}, interface: an-interface-too-long}
`,
			want: []string{
				`f:4:45: wireguard.wg0.members.a: interface wg0 of node a is made by ipsec.z (line 8)`,
				`f:6:80: ipsec.x.if_id_in: cannot stand beside interface, which sets it`,
				`f:7:68: ipsec.y.interface: interface xfrm0 of node a is made by ipsec.x (line 6)`,
				`f:9:68: ipsec.w.interface: "an-interface-too-long" is no name of an interface: use letters, digits and #+-.=@_, at most 15`,
			},
		},
		{
			name: "families",
			yaml: `ipsec: {x: {ends: {a: {subnets: [10.0.0.0/8]}, b: {subnets: ["fd00::/8"]}}, auth: {psk: {env: P}}}}
`,
			want: []string{
				`f:4:9: ipsec.x: joins IPv4 with IPv6: the subnets of a and b have no family in common`,
			},
		},
		{
			name: "children",
			yaml: `ipsec: {x: {ends: {a: {}, b: {}}, auth: {psk: {env: P}}, children: {}}, y: {ends: {a: {id: y}, b: {}}, auth: {psk: {env: P}}, children: {"a b": {}, c: {dpd: {delay: 3s}}}}}
`,
			want: []string{
				`f:4:68: ipsec.x.children: is empty; leave the key out for one child of the connection's name`,
				`f:4:138: ipsec.y.children."a b": "a b" is no name of a child: use letters, digits, _ and -, at most 64`,
				`f:4:159: ipsec.y.children.c.dpd.delay: unknown key; allowed are action`,
			},
		},
		{
			name: "names",
			yaml: `ipsec: {"x.y": {ends: {a: {}, b: {}}, auth: {psk: {env: P}}}, l2tp-l: {ends: {a: {}, b: {}}, auth: {psk: {env: P}}}}
l2tp:
  l: {server: a, local_ip: 10.0.8.1, pools: [10.9.0.200-10.9.1.10], ipsec: {psk: {env: R}}, users: {u: {password: {env: U}}}}
`,
			want: []string{
				`f:4:9: ipsec."x.y": "x.y" is no name of a connection: use letters, digits, _ and -, at most 64`,
				`f:4:63: ipsec.l2tp-l: is what charon calls the connection below l2tp.l (line 6): use another name`,
			},
		},
		{
			name: "more settings",
			yaml: `ipsec:
  x:
    ends: {a: {}, b: {}}
    auth: {psk: {env: P}}
    reauth_time: soon
    local_port: 70000
    keyingtries: many
    updown: "a\"b"
    rekey_bytes: 5x
    unique: yes
    remote_port: []
    copy_dscp: both
`,
			want: []string{
				`f:8:18: ipsec.x.reauth_time: "soon" is not allowed: use a duration such as 25s, 30m or 8h`,
				`f:9:17: ipsec.x.local_port: "70000" is not allowed: use a port number up to 65535`,
				`f:10:18: ipsec.x.keyingtries: "many" is not allowed: use a number`,
				`f:11:13: ipsec.x.updown: "a\"b" is not allowed: use printable ASCII without quotes`,
				`f:12:18: ipsec.x.rekey_bytes: "5x" is not allowed: use a number of bytes such as 500m or 1g`,
				`f:13:13: ipsec.x.unique: "yes" is not allowed: use never, no, keep or replace`,
				`f:14:18: ipsec.x.remote_port: must be a single value, and is a list`,
				`f:15:16: ipsec.x.copy_dscp: "both" is not allowed: use out, in, yes or no`,
			},
		},
		{
			name: "addresses, pools and secrets of a server",
			yaml: `ipsec:
  x:
    server: a
    address: [192.0.2.300, vpn.example.net]
    pools: [10.0.0.0/33, 10.0.0.5, 10.0.0.9-fd00::1]
    dns: [dns.example.net]
    auth: {psk: {command: [pass, "a\0b"]}}
    users: {u: {password: {env: "A\nB"}}}
`,
			want: []string{
				`f:7:15: ipsec.x.address[0]: "192.0.2.300" is neither an IP address nor a DNS name`,
				`f:8:13: ipsec.x.pools[0]: "10.0.0.0/33" is no prefix such as 10.0.0.0/24`,
				`f:8:36: ipsec.x.pools[2]: "10.0.0.9-fd00::1" begins and ends in different address families`,
				`f:9:11: ipsec.x.dns[0]: "dns.example.net" is no IP address`,
				`f:10:34: ipsec.x.auth.psk.command[1]: has a zero byte in it, and no command can be given one`,
				`f:11:33: ipsec.x.users.u.password.env: has a line break or another control character in it`,
			},
		},
	})
}

func TestIPsecWarnings(t *testing.T) {
	testWarnings(t, []refusal{
		{
			name: "weak proposals, AH, short PSK",
			yaml: `ipsec:
  x: {ends: {a: {}, b: {}}, protocol: ah, auth: {psk: {value: "123456"}}, ike_proposals: [3des-md5-modp1024], ah_proposals: [sha1]}
`,
			want: []string{
				`f:5:3: ipsec.x: uses AH, which encrypts nothing: everybody on the way can read it`,
				`f:5:50: ipsec.x.auth.psk: is shorter than 16 bytes, and whoever records one negotiation can guess it: openssl rand -base64 32 makes a better one`,
				`f:5:91: ipsec.x.ike_proposals[0]: 3des-md5-modp1024 is weak: 3des has blocks of 64 bits (Sweet32); MD5 is broken; modp1024 is within reach of precomputation (Logjam)`,
				`f:5:126: ipsec.x.ah_proposals[0]: sha1 is weak: SHA-1 is deprecated`,
			},
		},
		{
			name: "what IKEv1 and IKEv2 have no use for",
			yaml: `ipsec:
  x: {ends: {a: {subnets: [10.1.0.0/16, 10.2.0.0/16]}, b: {}}, ike_version: 1, auth: {psk: {env: P}}, ike_proposals: [aes128-aes256-sha256-modp2048], dpd: {timeout: 60s}}
  y: {ends: {a: {id: y}, b: {}}, auth: {psk: {env: P}}, dpd: {timeout: 60s}}
`,
			want: []string{
				`f:5:3: ipsec.x: has 2 subnets at a, and IKEv1 carries one: make a child of each`,
				`f:5:119: ipsec.x.ike_proposals[0]: aes256 has no effect in it: an IKEv1 proposal has one algorithm of each kind; make two proposals`,
				`f:6:72: ipsec.y.dpd.timeout: has no effect: it counts for ike_version: 1 only, and IKEv2 gives up after its retransmissions`,
			},
		},
		{
			name: "fail_closed that covers nothing",
			yaml: `ipsec:
  x: {ends: {a: {}, away: {address: any}}, auth: {psk: {env: P}}}
  y: {ends: {a: {id: y}, named: {address: far.example.net}}, auth: {psk: {env: P}}}
  z: {ends: {a: {id: z}, named: {address: far.example.net, id: far, subnets: [10.0.0.0/8]}}, auth: {psk: {env: P}}}
  w: {ends: {a: {id: w}, away: {address: any, id: ww}}, auth: {psk: {env: P}}, fail_closed: false}
  v: {server: a, mode: transport, fail_closed: true, auth: {psk: {env: P}}}
`,
			want: []string{
				`f:5:3: ipsec.x: fail_closed covers nothing on a: where away is cannot be known beforehand; give it subnets`,
				`f:6:3: ipsec.y: fail_closed covers nothing on a: where named is cannot be known beforehand; give it subnets`,
				`f:9:3: ipsec.v: fail_closed covers nothing on a: without pools no address of a client is known beforehand`,
			},
		},
		{
			name:  "an end that looks mistyped",
			whole: true,
			yaml: `version: 1
site: s
nodes: {gateway-a: {addresses: [192.0.2.1]}, gateway-b: {addresses: [192.0.2.2]}}
ipsec: {x: {ends: {gateway-a: {}, gatewy-b: {}}, fail_closed: false, auth: {psk: {env: P}}}}
`,
			want: []string{
				`f:4:35: ipsec.x.ends.gatewy-b: is no node of this file, so it is a foreign end without address (did you mean "gateway-b"?)`,
			},
		},
		{
			name: "passwords of users",
			yaml: `ipsec: {x: {server: a, pools: [10.0.0.0/24], auth: {psk: {env: P}}, users: {u: {password: {value: pässwort}}}}}
`,
			want: []string{
				`f:4:81: ipsec.x.users.u.password: is not ASCII: Windows encodes it for MS-CHAPv2 in another way, and will be refused`,
			},
		},
		{
			name: "wishes of clients",
			yaml: `ipsec:
  x: {server: a, pools: [10.0.0.0/24], subnets: [10.10.0.0/16], auth: {psk: {env: P}}, clients: {c: {default_route: true, use_dns: true}}}
  y: {server: b, pools: [10.1.0.0/24], auth: {psk: {env: P}}, clients: {c: {}, d: {default_route: true}}}
  z: {server: b, pools: [10.2.0.0/24], subnets: [0.0.0.0/0, 10.0.0.0/8], auth: {psk: {env: P}, id: z}, clients: {d: {}}}
`,
			want: []string{
				`f:5:117: ipsec.x.clients.c.default_route: has no effect: the server carries its subnets only`,
				`f:6:73: ipsec.y.clients.c: differs in use_dns from line 5, and charon on c uses the resolvers of all servers or of none: it will of all`,
				`f:6:73: ipsec.y.clients.c: reaches the other clients only: without default_route it takes no route to everything, and the server has no subnets`,
			},
		},
		{
			name: "remote access that Android cannot use",
			yaml: `ipsec: {x: {server: a, ike_version: 1, pools: [10.0.0.0/24], auth: {psk: {env: P}}}}
`,
			want: []string{
				`f:4:9: ipsec.x: cannot be used from Android 12 and later, which have no IKEv1; ike_version: 2 works there`,
			},
		},
	})
}
