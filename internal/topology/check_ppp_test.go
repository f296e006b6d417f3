package topology

import "testing"

func TestPPPRefusals(t *testing.T) {
	testRefusals(t, []refusal{
		{
			name: "missing keys",
			yaml: `l2tp: {l: {}}
pptp: {p: {}}
`,
			want: []string{
				`f:4:8: l2tp.l.server: is missing: the node that clients dial`,
				`f:4:8: l2tp.l.local_ip: is missing: the server's own address on every link`,
				`f:4:8: l2tp.l.ipsec: is missing: what protects it, such as {psk: {file: …}}, or none to run it in clear`,
				`f:4:8: l2tp.l: needs pools: clients without an address of their own get one from there`,
				`f:4:8: l2tp.l: needs users or radius: nobody could log in`,
				`f:5:8: pptp.p.server: is missing: the node that clients dial`,
				`f:5:8: pptp.p.local_ip: is missing: the server's own address on every link`,
				`f:5:8: pptp.p.allow_insecure: is missing: true says that you know: ` + pptpBroken,
				`f:5:8: pptp.p: needs pools: clients without an address of their own get one from there`,
				`f:5:8: pptp.p: needs users or radius: nobody could log in`,
			},
		},
		{
			name: "clear text has to be asked for, and PPTP too",
			yaml: `l2tp: {l: {server: a, local_ip: 10.0.0.1, pools: [10.0.0.10-10.0.0.20], ipsec: off, users: {u: {password: {env: U}}}}}
pptp: {p: {server: a, local_ip: 10.0.1.1, pools: [10.0.1.10-10.0.1.20], allow_insecure: false, users: {u: {password: {env: U}}}}}
`,
			want: []string{
				`f:4:80: l2tp.l.ipsec: must be a mapping such as {psk: {file: …}}, or none`,
				`f:5:89: pptp.p.allow_insecure: must be true to run PPTP at all: ` + pptpBroken,
			},
		},
		{
			name: "two servers on a node",
			yaml: `l2tp:
  l: {server: a, local_ip: 10.0.0.1, pools: [10.0.0.10-10.0.0.20], ipsec: {psk: {env: P}}, users: {u: {password: {env: U}}}}
  m: {server: a, local_ip: 10.0.1.1, pools: [10.0.1.10-10.0.1.20], ipsec: {psk: {env: P}}, users: {u: {password: {env: U}}}}
pptp:
  p: {server: a, allow_insecure: true, local_ip: 10.0.2.1, pools: [10.0.2.10-10.0.2.20], users: {u: {password: {env: U}}}}
  q: {server: a, allow_insecure: true, local_ip: 10.0.3.1, pools: [10.0.3.10-10.0.3.20], users: {u: {password: {env: U}}}}
`,
			want: []string{
				`f:6:15: l2tp.m.server: is the second l2tp server on a, which can have one: l (line 5) is there already`,
				`f:9:15: pptp.q.server: is the second pptp server on a, which can have one: p (line 8) is there already`,
			},
		},
		{
			name: "fixed addresses",
			yaml: `l2tp:
  l:
    server: a
    local_ip: 10.0.0.1
    pools: [10.0.0.50-10.0.0.60, 10.0.0.10-10.0.0.20]
    ipsec: {psk: {env: P}}
    users:
      u: {password: {env: U}, address: 10.0.0.1}
      v: {password: {env: U}, address: 10.0.0.30}
      w: {password: {env: U}, address: 10.0.0.30}
      x: {password: {env: U}, address: 10.0.0.20}
      y: {password: {env: U}, address: "fd00::1"}
      z: {password: {env: U}, address: 10.0.0.21}
`,
			want: []string{
				`f:11:40: l2tp.l.users.u.address: 10.0.0.1 is the local_ip of the server`,
				`f:13:40: l2tp.l.users.w.address: 10.0.0.30 is the address of user v (line 12) already`,
				`f:14:40: l2tp.l.users.x.address: 10.0.0.20 is inside the pool 10.0.0.10-10.0.0.20, which hands it to anybody`,
				`f:15:40: l2tp.l.users.y.address: fd00::1 is not IPv4, and PPP hands out nothing else`,
			},
		},
		{
			name: "local_ip that is the outer address",
			yaml: `l2tp:
  l: {server: a, local_ip: 192.0.2.1, pools: [10.0.0.10-10.0.0.20], ipsec: {psk: {env: P}}, users: {u: {password: {env: U}}}, clients: {b: {user: u}}}
`,
			want: []string{
				`f:5:28: l2tp.l.local_ip: 192.0.2.1 is the outer address of a: a node that dials in would route the tunnel into itself; use another`,
			},
		},
		{
			name: "local_ip that is the outer address harms nobody where no node dials in",
			yaml: `l2tp:
  l: {server: a, local_ip: 192.0.2.1, pools: [10.0.0.10-10.0.0.20], ipsec: {psk: {env: P}}, users: {u: {password: {env: U}}}}
`,
		},
		{
			name: "pools that pptpd.conf cannot carry",
			yaml: `pptp:
  p: {server: a, allow_insecure: true, local_ip: 10.9.0.1, pools: [10.0.0.10-10.0.39.20], users: {u: {password: {env: U}}}}
  q: {server: b, allow_insecure: true, local_ip: 10.9.1.1, pools: [10.1.0.10-10.1.29.20], users: {u: {password: {env: U}}}}
  r: {server: c, allow_insecure: true, local_ip: 10.9.2.1, pools: [10.2.0.10-10.2.39.20], max_sessions: 9, users: {u: {password: {env: U}}}}
`,
			want: []string{
				`f:5:67: pptp.p.pools: are too many: pptpd reads them from one line of 509 bytes, in which each /24 has a range of its own, ` +
					`and this would be one of 558`,
			},
		},
		{
			name: "names and passwords that chap-secrets cannot carry",
			yaml: `pptp:
  p:
    server: a
    allow_insecure: true
    local_ip: 10.0.2.1
    pools: [10.0.2.10-10.0.2.20]
    users:
      "*": {password: {env: U}}
      "a\nb": {password: {env: U}}
      nl: {password: {value: "hunter\n2"}}
      at: {password: {value: "@/etc/shadow"}}
      long: {password: {value: LONG}}
      fine: {password: {value: "\" \\ # *"}}
`,
			want: []string{
				`f:11:7: pptp.p.users."*": "*" is no name of a user: use at most 255 bytes of text on one line, other than * alone`,
				`f:12:7: pptp.p.users."a\nb": "a\nb" is no name of a user: use at most 255 bytes of text on one line, other than * alone`,
				`f:13:12: pptp.p.users.nl.password: has a line break or another control character, which chap-secrets cannot carry`,
				`f:14:12: pptp.p.users.at.password: begins with @/, which pppd takes for the name of a file`,
				`f:15:14: pptp.p.users.long.password: is longer than 255 bytes, and pppd reads no more`,
			},
		},
		{
			name: "clients",
			yaml: `l2tp:
  l:
    server: c
    local_ip: 10.0.0.1
    pools: [10.0.0.10-10.0.0.20]
    ipsec: {psk: {env: P}}
    users: {user1: {password: {env: U}, address: 10.0.0.5}}
    clients: {a: {user: user1, routes: ["fd00::/8"]}, b: {user: user1}, c: {user: usr1}, d: {}, zz: {user: user1, router: 1}}
`,
			want: []string{
				`f:11:15: l2tp.l.clients.a: cannot dial c, which has no address`,
				`f:11:55: l2tp.l.clients.b: cannot dial c, which has no address`,
				`f:11:65: l2tp.l.clients.b.user: "user1" logs in on a (line 11) already, and a fixed address cannot be in two places`,
				`f:11:73: l2tp.l.clients.c: is the server itself`,
				`f:11:73: l2tp.l.clients.c: cannot dial c, which has no address`,
				`f:11:83: l2tp.l.clients.c.user: "usr1" is none of the users (did you mean "user1"?); the users are user1`,
				`f:11:90: l2tp.l.clients.d: needs user: whom it logs in as`,
				`f:11:90: l2tp.l.clients.d: cannot dial c, which has no address`,
				`f:11:97: l2tp.l.clients.zz: "zz" is no node of this file; the nodes are a, b, c, d`,
				`f:11:97: l2tp.l.clients.zz: cannot dial c, which has no address`,
				`f:11:108: l2tp.l.clients.zz.user: "user1" logs in on a (line 11) already, and a fixed address cannot be in two places`,
				`f:11:115: l2tp.l.clients.zz.router: unknown key (did you mean "routes"?); allowed are default_route, networks, routes, use_dns, user`,
			},
		},
		{
			name: "networks behind clients",
			yaml: `l2tp:
  l:
    server: a
    local_ip: 10.0.2.1
    mtu: 1200
    pools: [10.0.2.10-10.0.2.20]
    ipsec: {psk: {env: P}}
    users: {u: {password: {env: U}}, v: {password: {env: U}}}
    clients:
      b: {user: u, networks: ["fd20::/64", 0.0.0.0/0, 192.0.2.0/24]}
      d: {user: u, networks: ["fd21::/64"]}
      c: {user: v, networks: ["fd20::/64"], routes: ["fd00::/8"]}
`,
			want: []string{
				`f:8:10: l2tp.l.mtu: is 1200, and IPv6, which the clients route, needs 1280 (RFC 8200, section 5)`,
				`f:13:30: l2tp.l.clients.b.networks: are behind whoever logs in as "u", and d (line 14) does so, too: give each a user of its own`,
				`f:13:30: l2tp.l.clients.b.networks: 0.0.0.0/0 is everything, and cannot be behind one client`,
				`f:13:30: l2tp.l.clients.b.networks: 192.0.2.0/24 holds 192.0.2.2, where the link's own packets go: take b out of it`,
				`f:14:30: l2tp.l.clients.d.networks: are behind whoever logs in as "u", and b (line 13) does so, too: give each a user of its own`,
				`f:15:30: l2tp.l.clients.c.networks: fd20::/64 is behind b (line 13) already`,
			},
		},
		{
			name: "families, dns, mtu",
			yaml: `pptp:
  p: {server: a, allow_insecure: true, local_ip: "fd00::1", pools: ["fd00::5-fd00::9", 10.0.0.0/24, 10.0.0.9-10.0.0.1], mtu: 100, dns: [8.8.8.8, "fd00::53", 9.9.9.9], users: {u: {password: {env: U}}}}
`,
			want: []string{
				`f:5:50: pptp.p.local_ip: fd00::1 is not IPv4, and PPP hands out nothing else`,
				`f:5:69: pptp.p.pools[0]: fd00::5 is not IPv4, and PPP hands out nothing else`,
				`f:5:88: pptp.p.pools[1]: "10.0.0.0/24" is no range such as 10.0.0.10-10.0.0.20`,
				`f:5:101: pptp.p.pools[2]: "10.0.0.9-10.0.0.1" ends before it begins`,
				`f:5:126: pptp.p.mtu: "100" is not allowed: use a number from 128 to 16384`,
				`f:5:146: pptp.p.dns[1]: fd00::53 is not IPv4, and PPP hands out nothing else`,
				`f:5:158: pptp.p.dns[2]: is one too many: pppd hands out two`,
			},
		},
		{
			name: "nobody could log in, nobody could get an address",
			yaml: `l2tp: {l: {server: a, local_ip: 10.0.0.1, ipsec: none}}
pptp: {p: {server: b, allow_insecure: true, local_ip: 10.0.2.1, pools: [], users: {u: {password: {env: U}}}}}
`,
			want: []string{
				`f:4:8: l2tp.l: needs pools: clients without an address of their own get one from there`,
				`f:4:8: l2tp.l: needs users or radius: nobody could log in`,
				`f:5:8: pptp.p: needs pools: clients without an address of their own get one from there`,
			},
		},
		{
			name: "ways to log in",
			yaml: `l2tp: {l: {server: a, local_ip: 10.0.0.1, pools: [10.0.0.10-10.0.0.20], ipsec: none, auth: [], users: {u: {password: {env: U}}}}}
pptp:
  p: {server: a, allow_insecure: true, local_ip: 10.0.2.1, pools: [10.0.2.10-10.0.2.20], auth: [mschapv2, chap], users: {u: {password: {env: U}}}}
  q: {server: b, allow_insecure: true, local_ip: 10.0.3.1, pools: [10.0.3.10-10.0.3.20], auth: [eap], mppe: yes, users: {u: {password: {env: U}}}}
`,
			want: []string{
				`f:4:92: l2tp.l.auth: names no way to log in; use mschapv2, mschap, chap or pap`,
				`f:6:96: pptp.p.auth: must be [mschapv2] with mppe: required: MPPE takes its keys from there`,
				`f:7:97: pptp.q.auth[0]: "eap" is not allowed: use mschapv2, mschap, chap or pap (did you mean "pap"?)`,
				`f:7:109: pptp.q.mppe: "yes" is not allowed: use required or none`,
			},
		},
		{
			name: "radius",
			yaml: `l2tp:
  l: {server: a, local_ip: 10.0.0.1, pools: [10.0.0.10-10.0.0.20], ipsec: none, radius: {servers: []}}
  m: {server: b, local_ip: 10.0.1.1, pools: [10.0.1.10-10.0.1.20], ipsec: none, radius: {servers: [{address: 10.0.0.9, secret: {value: "two words"}}, {auth_port: 1}]}}
`,
			want: []string{
				`f:5:99: l2tp.l.radius.servers: names no server`,
				`f:6:120: l2tp.m.radius.servers[0].secret: has white space in it, which pppd's RADIUS client cannot read`,
				`f:6:151: l2tp.m.radius.servers[1].address: is missing: where the RADIUS server is`,
				`f:6:151: l2tp.m.radius.servers[1].secret: is missing: what both share, such as {file: /etc/vpnctl/secrets/radius}`,
			},
		},
		{
			name: "radius that pppd cannot ask, and addresses that it gives itself",
			yaml: `l2tp:
  l:
    server: a
    local_ip: 10.0.0.1
    pools: [10.0.0.10-10.0.0.20]
    ipsec: none
    users: {u: {password: {env: U}, address: 10.0.0.5}}
    clients: {b: {user: u}}
    radius:
      servers:
        - {address: "fd00::9", secret: {env: R}}
        - {address: 10.9.0.1, secret: {env: R}}
        - {address: 10.9.0.1, auth_port: 1645, secret: {env: R}}
        - {address: 10.9.0.1, auth_port: 1646, secret: {env: S}}
        - {address: 10.9.0.5, secret: {env: R}}
        - {address: 10.9.0.6, secret: {env: R}}
        - {address: 10.9.0.7, secret: {env: R}}
        - {address: 10.9.0.8, secret: {env: R}}
        - {address: 10.9.0.9, secret: {env: R}}
`,
			want: []string{
				`f:10:46: l2tp.l.users.u.address: is RADIUS's to say, as Framed-IP-Address: leave it out`,
				`f:14:21: l2tp.l.radius.servers[0].address: fd00::9 is not IPv4, and pppd's RADIUS client knows nothing else`,
				`f:17:56: l2tp.l.radius.servers[3].secret: is another than that of line 15, and pppd's RADIUS client has one for an address`,
				`f:22:11: l2tp.l.radius.servers[8]: is one too many: pppd's RADIUS client keeps 8`,
			},
		},
		{
			name:  "a server without IPv4",
			whole: true,
			yaml: `version: 1
site: s
nodes: {a: {addresses: ["2001:db8::1"]}, b: {addresses: ["2001:db8::2", b.example.net]}, c: {}}
l2tp:
  l: {server: a, local_ip: 10.0.0.1, pools: [10.0.0.10-10.0.0.20], ipsec: {psk: {env: P}}, users: {u: {password: {env: U}}}, clients: {c: {user: u}}}
  m: {server: b, local_ip: 10.0.1.1, pools: [10.0.1.10-10.0.1.20], ipsec: {psk: {env: P}}, users: {u: {password: {env: U}}}, clients: {c: {user: u}}}
`,
			want: []string{
				`f:5:136: l2tp.l.clients.c: cannot dial a, which has no IPv4 address, and there is nothing else here to dial`,
			},
		},
		{
			name: "links of one node that lead to the same",
			yaml: `l2tp:
  l: {server: a, local_ip: 10.0.0.1, pools: [10.0.0.10-10.0.0.20], ipsec: {psk: {env: P}}, users: {u: {password: {env: U}}}, clients: {c: {user: u, routes: [10.7.0.0/16, 10.7.0.0/16], default_route: true}, d: {user: u, default_route: true}}}
pptp:
  p: {server: b, allow_insecure: true, local_ip: 10.0.2.1, pools: [10.0.2.10-10.0.2.20], users: {u: {password: {env: U}}}, clients: {c: {user: u, routes: [10.7.1.0/24, 10.7.0.0/16]}, d: {user: u, default_route: true}}}
`,
			want: []string{
				`f:7:155: pptp.p.clients.c.routes: 10.7.0.0/16 leads into l2tp.l already (line 5)`,
				`f:7:212: pptp.p.clients.d.default_route: 0.0.0.0/0 leads into l2tp.l already (line 5)`,
			},
		},
		{
			name: "everything as a route, addresses of the loopback and of the tunnel's own ends",
			yaml: `l2tp:
  l: {server: a, local_ip: 127.0.0.1, pools: [192.0.2.1-192.0.2.9], ipsec: {psk: {env: P}}, users: {u: {password: {env: U}}}, clients: {c: {user: u, routes: [0.0.0.0/0, 10.0.0.0/8], default_route: true}}}
pptp:
  p: {server: a, allow_insecure: true, local_ip: 10.0.2.1, pools: [10.0.2.10-10.0.2.20], users: {u: {password: {env: U}, address: 192.0.2.2}}, clients: {b: {user: u}}}
`,
			want: []string{
				`f:5:28: l2tp.l.local_ip: 127.0.0.1 is the loopback's: nobody else can reach it`,
				`f:5:47: l2tp.l.pools[0]: holds 192.0.2.1, the outer address of a: its tunnel would be routed into itself`,
				`f:5:158: l2tp.l.clients.c.routes: 0.0.0.0/0 is the host's own default route, too: say default_route: true, which leaves that alone`,
				`f:7:131: pptp.p.users.u.address: 192.0.2.2 is the outer address of b: its tunnel would be routed into itself`,
				`f:7:131: pptp.p.users.u.address: 192.0.2.2 overlaps 192.0.2.1-192.0.2.9 of a pool of l2tp.l (line 5)`,
			},
		},
		{
			name:  "L2TP with and without IPsec where a name does not tell them apart",
			whole: true,
			yaml: `version: 1
site: s
nodes: {a: {addresses: [192.0.2.1]}, b: {addresses: [b.example.net]}, c: {addresses: [192.0.2.3]}, d: {addresses: [d.example.net]}, e: {}, f: {}}
l2tp:
  a: {server: a, local_ip: 10.0.0.1, pools: [10.0.0.10-10.0.0.20], ipsec: none, users: {u: {password: {env: U}}}, clients: {c: {user: u}, e: {user: u}}}
  b: {server: b, local_ip: 10.0.1.1, pools: [10.0.1.10-10.0.1.20], ipsec: {psk: {env: P}}, users: {u: {password: {env: U}}}, clients: {a: {user: u}, c: {user: u}, e: {user: u}, f: {user: u}}}
  d: {server: d, local_ip: 10.0.3.1, pools: [10.0.3.10-10.0.3.20], ipsec: none, users: {u: {password: {env: U}}}, clients: {b: {user: u}, c: {user: u}, a: {user: u}}}
`,
			want: []string{
				`f:6:136: l2tp.b.clients.a: cannot be told by the packet filter of a from its other L2TP, one of which runs in clear: b.example.net is a name; put an address first`,
				`f:7:125: l2tp.d.clients.b: cannot be told by the packet filter of b from its other L2TP, one of which runs in clear: d.example.net is a name; put an address first`,
				`f:7:139: l2tp.d.clients.c: cannot be told by the packet filter of c from its other L2TP, one of which runs in clear: d.example.net is a name; put an address first`,
			},
		},
		{
			name: "two keys between the same two",
			yaml: `l2tp:
  l: {server: a, local_ip: 10.0.0.1, pools: [10.0.0.10-10.0.0.20], ipsec: {psk: {env: P}}, users: {u: {password: {env: U}}}, clients: {b: {user: u}, c: {user: u}}}
ipsec:
  s: {ends: {a: {}, b: {}}, auth: {psk: {env: Q}}}
  t: {ends: {a: {}, c: {id: other}}, auth: {psk: {env: Q}}}
`,
			want: []string{
				`f:5:3: l2tp.l: has another psk than ipsec.s (line 7) for the same two ids: give the server another ipsec.id`,
			},
		},
		{
			name: "IPsec below L2TP",
			yaml: `l2tp:
  l: {server: a, local_ip: 10.0.0.1, pools: [10.0.0.10-10.0.0.20], ipsec: {cert: {file: c}, mobik: no, version: 1, esp_proposals: [x]}, users: {u: {password: {env: U}}}}
  m: {server: b, local_ip: 10.0.1.1, pools: [10.0.1.10-10.0.1.20], ipsec: {}, users: {u: {password: {env: U}}}}
`,
			want: []string{
				`f:5:68: l2tp.l.ipsec: needs key: server and clients prove themselves with certificates`,
				`f:5:68: l2tp.l.ipsec: needs ca: server and clients prove themselves with certificates`,
				`f:5:93: l2tp.l.ipsec.mobik: unknown key (did you mean "mobike"?); allowed are ca, cert, child_rekey, dpd, esp_proposals, id, ike_proposals, ike_rekey, key, psk, and what swanctl.conf(5) has besides`,
				`f:5:104: l2tp.l.ipsec.version: is swanctl.conf's word: here it is ike_version`,
				`f:5:132: l2tp.l.ipsec.esp_proposals[0]: "x" is not allowed: "x" is no algorithm of strongSwan`,
				`f:6:68: l2tp.m.ipsec: does not say how to prove who one is: give psk, or cert with key and ca`,
			},
		},
		{
			name: "ports",
			yaml: `l2tp:
  l: {server: a, local_ip: 10.0.0.1, pools: [10.0.0.10-10.0.0.20], ipsec: {psk: {env: P}}, users: {u: {password: {env: U}}}, clients: {b: {user: u}}}
wireguard: {wg0: {listen_port: 1701, members: {a: {public_key: K1, private_key: {env: A}}, b: {listen_port: 4500, public_key: K2, private_key: {env: A}}}}}
`,
			want: []string{
				`f:6:48: wireguard.wg0.members.a.listen_port: port 1701 of node a is taken by L2TP (line 5)`,
				`f:6:151: wireguard.wg0.members.b.listen_port: port 4500 of node b is taken by IKE (line 5)`,
			},
		},
	})
}

func TestPPPWarnings(t *testing.T) {
	testWarnings(t, []refusal{
		{
			name: "L2TP",
			yaml: `l2tp: {l: {server: a, local_ip: 10.0.0.1, pools: [10.0.0.10-10.0.0.20], ipsec: none, users: {u: {password: {value: pässwort}}}}}
`,
			want: []string{
				`f:4:8: l2tp.l: cannot be used from Android 12 and later, which have no L2TP; IKEv2 works there`,
				`f:4:8: l2tp.l: runs in clear: everybody on the way can read it`,
				`f:4:98: l2tp.l.users.u.password: is not ASCII: Windows encodes it for MS-CHAPv2 in another way, and will be refused`,
			},
		},
		{
			name: "clients behind a NAT, perhaps behind one",
			yaml: `l2tp: {l: {server: a, local_ip: 10.0.0.1, pools: [10.0.0.10-10.0.0.20], ipsec: {psk: {env: P}}, users: {u: {password: {env: U}}}, clients: {b: {user: u}, c: {user: u}, d: {user: u}}}}
`,
			want: []string{
				`f:4:8: l2tp.l: cannot be used from Android 12 and later, which have no L2TP; IKEv2 works there`,
				`f:4:8: l2tp.l: has clients without address, c, d: behind one NAT the server's kernel could not tell them apart, and each might get the other's packets`,
			},
		},
		{
			name: "a user whom RADIUS does not know from here",
			yaml: `l2tp: {l: {server: a, local_ip: 10.0.0.1, pools: [10.0.0.10-10.0.0.20], ipsec: {psk: {env: P}}, users: {u: {password: {env: U}}, v: {password: {env: U}}}, clients: {b: {user: v}}, radius: {servers: [{address: 10.9.0.1, secret: {env: R}}]}}}
`,
			want: []string{
				`f:4:8: l2tp.l: cannot be used from Android 12 and later, which have no L2TP; IKEv2 works there`,
				`f:4:105: l2tp.l.users.u: has no effect: RADIUS says who may log in, and no client of this file logs in as this user`,
			},
		},
		{
			name: "PPTP",
			yaml: `pptp: {p: {server: a, allow_insecure: true, local_ip: 10.0.0.1, pools: [10.0.0.10-10.0.0.20], users: {u: {password: {value: x}}}}}
`,
			want: []string{
				`f:4:8: pptp.p: is PPTP: MS-CHAPv2 and MPPE are broken cryptography, and whoever records a session can read it`,
				`f:4:8: pptp.p: cannot be used from Apple's systems nor from Android 12 and later, which have no PPTP; IKEv2 works there`,
			},
		},
		{
			name: "L2TP's proposals and key",
			yaml: `l2tp: {l: {server: a, local_ip: 10.0.0.1, pools: [10.0.0.10-10.0.0.20], ipsec: {psk: {value: short}, ike_proposals: [aes128-aes256-sha1-modp1024]}, users: {u: {password: {value: x}}}}}
`,
			want: []string{
				`f:4:8: l2tp.l: cannot be used from Android 12 and later, which have no L2TP; IKEv2 works there`,
				`f:4:81: l2tp.l.ipsec.psk: is shorter than 16 bytes, and whoever records one negotiation can guess it: openssl rand -base64 32 makes a better one`,
				`f:4:118: l2tp.l.ipsec.ike_proposals[0]: aes128-aes256-sha1-modp1024 is weak: SHA-1 is deprecated; modp1024 is within reach of precomputation (Logjam)`,
				`f:4:118: l2tp.l.ipsec.ike_proposals[0]: aes256 has no effect in it: an IKEv1 proposal has one algorithm of each kind; make two proposals`,
			},
		},
	})
}
