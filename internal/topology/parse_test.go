package topology

import "testing"

func TestFileRefusals(t *testing.T) {
	testRefusals(t, []refusal{
		{
			name:  "an empty file",
			whole: true,
			yaml:  ``,
			want: []string{
				`f:1:1: the file is empty; it must hold version, site and nodes at least`,
			},
		},
		{
			name:  "not YAML",
			whole: true,
			yaml: `version: 1
 site: [
`,
			want: []string{
				`f:2:1: this is not YAML: mapping values are not allowed in this context`,
			},
		},
		{
			name:  "a value that is read as an alias is not repeated",
			whole: true,
			yaml: `version: 1
site: *secret
`,
			want: []string{
				`f:2:7: an alias leads nowhere; a value that begins with * needs quotes`,
			},
		},
		{
			name:  "not UTF-8 is told by its place",
			whole: true,
			yaml:  "version: 1\nsite: \"\xff\"\n",
			want: []string{
				`f:2:8: the file is not UTF-8 text`,
			},
		},
		{
			name:  "a second document",
			whole: true,
			yaml: `version: 1
---
version: 1
`,
			want: []string{
				`f:2:1: a second YAML document begins here, and a topology is one`,
			},
		},
		{
			name:  "a list",
			whole: true,
			yaml: `- version: 1
`,
			want: []string{
				`f:1:1: must be a mapping, and is a list`,
			},
		},
		{
			name:  "everything missing",
			whole: true,
			yaml: `x-note: 1
`,
			want: []string{
				`f:1:1: x-note: unknown key; allowed are firewall, ipsec, l2tp, nat, nodes, pptp, site, version, wireguard`,
				`f:1:1: version: is missing: this is version: 1`,
				`f:1:1: site: is missing: the name of what this file describes`,
				`f:1:1: nodes: is missing: the machines that run vpnctl`,
			},
		},
		{
			name:  "another version",
			whole: true,
			yaml: `version: 2
site: s
nodes: {a: {}}
`,
			want: []string{
				`f:1:10: version: "2" is not allowed: this vpnctl reads version 1`,
			},
		},
		{
			name:  "no node",
			whole: true,
			yaml: `version: 1
site: s
nodes: {}
`,
			want: []string{
				`f:3:8: nodes: has no node: name at least one machine that runs vpnctl`,
			},
		},
		{
			name: "unknown keys with what was meant",
			yaml: `wiregaurd: {}
nat: {a: [{sources: [10.0.0.0/8], out: auto}]}
`,
			want: []string{
				`f:4:1: wiregaurd: unknown key (did you mean "wireguard"?); allowed are firewall, ipsec, l2tp, nat, nodes, pptp, site, version, wireguard`,
				`f:5:11: nat.a[0].source: is missing: a list of prefixes whose packets are rewritten`,
				`f:5:12: nat.a[0].sources: unknown key (did you mean "source"?); allowed are out, snat, source`,
			},
		},
		{
			name: "the same key twice",
			yaml: `firewall: {a: {open_ports: true}}
firewall: {b: {open_ports: true}}
`,
			want: []string{
				`f:5:1: firewall: the same key stands in line 4 already`,
			},
		},
		{
			name: "aliases, anchors, tags and merge keys",
			yaml: `nat: &x {a: []}
firewall: *x
l2tp: !!map {}
ipsec: {<<: {}}
`,
			want: []string{
				`f:4:6: nat: anchors are not supported; write the value out where it is needed`,
				`f:5:11: firewall: aliases are not supported; write the value out`,
				`f:6:7: l2tp: tags are not supported; leave out "!!map"`,
				`f:7:9: ipsec: merge keys (<<) are not supported; write the values out`,
			},
		},
		{
			name: "all errors at once",
			yaml: `nat:
  a: [{source: [10.0.0.0/33], out: eth/0, snat: 1.2.3}]
firewall: {z: {open_ports: maybe}}
wireguard: {wg0: {listen_port: 70000, mtu: 10, members: {a: {addresses: [10.0.0.300/24]}}}}
`,
			want: []string{
				`f:5:17: nat.a[0].source[0]: "10.0.0.0/33" is no prefix such as 10.0.0.0/24`,
				`f:5:36: nat.a[0].out: "eth/0" is no name of an interface: use letters, digits and #+-.=@_, at most 15`,
				`f:5:49: nat.a[0].snat: "1.2.3" is no IP address`,
				`f:6:12: firewall.z: "z" is no node of this file; the nodes are a, b, c, d`,
				`f:6:28: firewall.z.open_ports: "maybe" is not allowed: use true or false`,
				`f:7:32: wireguard.wg0.listen_port: "70000" is not allowed: use a number from 1 to 65535`,
				`f:7:44: wireguard.wg0.mtu: "10" is not allowed: use a number from 576 to 65535`,
				`f:7:58: wireguard.wg0.members.a.public_key: is missing: the others need it; vpnctl keygen --topology FILE --node a fills it in`,
				`f:7:74: wireguard.wg0.members.a.addresses[0]: "10.0.0.300/24" is no prefix such as 10.0.0.0/24`,
			},
		},
		{
			name:  "names",
			whole: true,
			yaml: `version: 1
site: my site
nodes: {"a b": {hostname: -x, addresses: [1.2.3, fe80::1%eth0, 0.0.0.0]}}
`,
			want: []string{
				`f:2:7: site: "my site" is no name of a site: use letters, digits, _ and -, at most 64`,
				`f:3:9: nodes."a b": "a b" is no name of a node: use letters, digits, _, - and .`,
				`f:3:27: nodes."a b".hostname: "-x" is no name of a DNS domain: use labels of letters, digits and -, joined by dots`,
				`f:3:43: nodes."a b".addresses[0]: "1.2.3" is neither an IP address nor a DNS name`,
				`f:3:50: nodes."a b".addresses[1]: "fe80::1%eth0" has a zone, and nothing here is bound to one interface`,
				`f:3:64: nodes."a b".addresses[2]: "0.0.0.0" is the address of no single machine`,
			},
		},
		{
			name:  "one host name for two nodes",
			whole: true,
			yaml: `version: 1
site: s
nodes:
  a: {hostname: B}
  b: {}
  c: {hostname: h.example.net}
  d: {hostname: h.example.net.}
`,
			want: []string{
				`f:4:17: nodes.a.hostname: "B" is node b (line 5) already: a host could not tell which one it is`,
				`f:7:17: nodes.d.hostname: "h.example.net." is node c (line 6) already: a host could not tell which one it is`,
			},
		},
		{
			name: "an unknown node",
			yaml: `nat: {bb: [{source: [10.0.0.0/8], out: auto}]}
firewall: {cc: {open_ports: true}}
`,
			want: []string{
				`f:4:12: nat.bb[0]: "bb" is no node of this file; the nodes are a, b, c, d`,
				`f:5:12: firewall.cc: "cc" is no node of this file; the nodes are a, b, c, d`,
			},
		},
		{
			name: "nat rules",
			yaml: `nat:
  a:
    - {source: [10.0.0.0/8], out: eth0}
    - {source: ["fd00::/8", 10.0.0.0/8], out: eth0}
    - {source: [], out: eth1}
    - {source: ["fd00::/8"], out: auto, snat: 203.0.113.5}
    - {out: eth0}
`,
			want: []string{
				`f:7:16: nat.a[1].source: 10.0.0.0/8 leaves through eth0 by the rule in line 6 already`,
				`f:8:16: nat.a[2].source: is empty: name the prefixes whose packets are rewritten`,
				`f:9:47: nat.a[3].snat: 203.0.113.5 is IPv4, and the source fd00::/8 is not`,
				`f:10:7: nat.a[4].source: is missing: a list of prefixes whose packets are rewritten`,
			},
		},
		{
			name: "secrets",
			yaml: `pptp:
  p:
    server: a
    allow_insecure: true
    local_ip: 10.0.0.1
    pools: [10.0.0.10-10.0.0.20]
    users:
      none: {password: {}}
      two: {password: {file: /x, env: Y}}
      bare: {password: hunter2}
      empty: {password: {value: ""}}
      stray: {password: {value: x, hunter2: y}}
      shell: {password: {command: pass show x}}
      noargs: {password: {command: []}}
      encoded: {password: {value: x, encoding: hex}}
      missing: {}
`,
			want: []string{
				`f:11:14: pptp.p.users.none.password: has 0 origins of the secret: give exactly one of file, env, command, credential and value`,
				`f:12:13: pptp.p.users.two.password: has 2 origins of the secret: give exactly one of file, env, command, credential and value`,
				`f:13:24: pptp.p.users.bare.password: must be a mapping, and is a single value`,
				`f:14:33: pptp.p.users.empty.password.value: is empty; give a value or leave the key out`,
				`f:15:36: pptp.p.users.stray.password: unknown key; allowed are command, credential, env, file, value`,
				`f:16:35: pptp.p.users.shell.password.command: must be a list, and is a single value`,
				`f:17:36: pptp.p.users.noargs.password.command: has no program: use a list such as [pass, show, vpn/psk]`,
				`f:18:38: pptp.p.users.encoded.password: unknown key; allowed are command, credential, env, file, value`,
				`f:19:7: pptp.p.users.missing.password: is missing: a secret, such as {file: /etc/vpnctl/secrets/missing}`,
			},
		},
		{
			name: "a passphrase where a key has none",
			yaml: `wireguard: {wg0: {members: {a: {public_key: K1, private_key: {file: k, passphrase: {env: P}}}}}}
`,
			want: []string{
				`f:4:114: wireguard.wg0.members.a.private_key: unknown key; allowed are command, credential, env, file, value`,
			},
		},
		{
			name: "values that are empty, of the wrong kind or too long",
			yaml: `site: [s]
firewall: {a: {open_ports: }}
nat: {a: {source: [10.0.0.0/8]}}
wireguard: {wg0: {members: {a: {public_key: [K1], private_key: {file: ""}, mtu: LONG}}}}
`,
			want: []string{
				`f:4:1: site: the same key stands in line 2 already`,
				`f:5:28: firewall.a.open_ports: is empty; give a value or leave the key out`,
				`f:6:10: nat.a: must be a list, and is a mapping`,
				`f:7:45: wireguard.wg0.members.a.public_key: must be a single value, and is a list`,
				`f:7:113: wireguard.wg0.members.a.private_key.file: is empty; give a value or leave the key out`,
				`f:7:123: wireguard.wg0.members.a.mtu: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…" is not allowed: use a number from 576 to 65535`,
			},
		},
		{
			name:  "many nodes are not all listed",
			whole: true,
			yaml: `version: 1
site: s
nodes: {a1: , a2: , a3: , a4: , a5: , a6: , a7: , a8: , a9: }
firewall: {zz: {}}
`,
			want: []string{
				`f:4:12: firewall.zz: "zz" is no node of this file; the nodes are a1, a2, a3, a4, a5, a6, a7, a8 and 1 more`,
			},
		},
	})
}
