package desired

import (
	"cmp"
	"net/netip"
	"slices"
)

// protect derives what the packet filter does for one tunnel.
func (d *deriver) protect(nf *Netfilter, t *tunnel) {
	var exempts []Exempt
	var forwards []Forward
	var clamps []Clamp
	local := t.local()
	for _, f := range t.flows {
		e := Exempt{Object: d.object("exempt", t.Name), Source: f.local, Dest: f.remote}
		if f.local.IsValid() && f.remote.IsValid() {
			e.Ports = f.ports
		}
		exempts = add(exempts, e)
		if t.FailClosed && f.remote.IsValid() {
			nf.Guards = append(nf.Guards, d.guard(t, f, local))
		}
		if t.carries && f.tunnelled && !f.own {
			out, in := d.forwardsOf(t, f)
			forwards = add(add(forwards, out), in)
			clamps = add(clamps, d.clampOf(t, f))
		}
	}
	nf.Exempts = append(nf.Exempts, exempts...)
	nf.Forwards = append(nf.Forwards, forwards...)
	nf.Clamps = append(nf.Clamps, clamps...)
}

// add appends what is not there yet: flows that differ in ports alone come to the same.
func add[T comparable](all []T, one T) []T {
	if slices.Contains(all, one) {
		return all
	}
	return append(all, one)
}

// guard keeps a flow from leaving in clear. The host's own address may be another than
// the topology says (a cloud's 1:1 NAT), so that of an own flow nothing is asked.
func (d *deriver) guard(t *tunnel, f flow, local []netip.Prefix) Guard {
	g := Guard{Object: d.object("guard", t.Name), Source: f.local, Dest: f.remote, Ports: f.ports,
		Peers: t.peers, Interface: t.link}
	if f.own {
		g.Source = netip.Prefix{}
	}
	for _, l := range local {
		if inside(l, f.remote) {
			g.Local = append(g.Local, l)
		}
	}
	return g
}

// compareGuards puts the narrower pair first: what it drops must not be let through by
// what a wider one lets stay local.
func compareGuards(a, b Guard) int {
	bits := func(g Guard) int { return max(g.Source.Bits(), 0) + g.Dest.Bits() }
	return cmp.Or(cmp.Compare(bits(b), bits(a)), comparePrefixes(a.Source, b.Source), comparePrefixes(a.Dest, b.Dest))
}

// forwardsOf lets a flow through FORWARD both ways: by its link, or by its policy.
func (d *deriver) forwardsOf(t *tunnel, f flow) (out, in Forward) {
	out = Forward{Object: d.object("forward", "ipsec/"+t.Name), From: f.local, To: f.remote}
	in = Forward{Object: out.Object, From: f.remote, To: f.local}
	if t.Server {
		// Whoever has an address of an earlier pool keeps his tunnel: its policy tells.
		out.To, in.From = netip.Prefix{}, netip.Prefix{}
	}
	if t.link != "" {
		out.Out, in.In = t.link, t.link
	} else {
		out.IPsec, in.IPsec = "out", "in"
	}
	return out, in
}

// What IPsec adds to a packet at most. A policy has no path MTU of its own to clamp to,
// and which algorithms two ends agree on is not known beforehand, so the worst of what
// strongSwan knows is taken: between the outer header and the padded packet an SPI and a
// sequence number, an initialization vector, and behind them a checksum; UDP around it
// where there is a NAT. AH, with less around it, has room in that, too.
const (
	outerMTU   = 1500
	header4    = 20
	header6    = 40
	headerTCP  = 20
	headerUDP  = 8
	headerESP  = 8
	vector     = 16 // of AES-CBC
	checksum   = 32 // of HMAC-SHA-512
	blockSize  = 16
	espTrailer = 2 // length of the padding, and next header
)

// mss is the largest segment of TCP that fits: 1366 for IPv4 in IPv4, 1330 for IPv6 in
// IPv6.
func mss(inner6, outer6 bool) int {
	outer, inner := header4, header4
	if outer6 {
		outer = header6
	}
	if inner6 {
		inner = header6
	}
	room := outerMTU - outer - headerUDP - headerESP - vector - checksum
	return room/blockSize*blockSize - espTrailer - inner - headerTCP
}

// clampOf makes the TCP of a flow fit into the tunnel. An outer address that is not known
// may be of IPv6.
func (d *deriver) clampOf(t *tunnel, f flow) Clamp {
	inner6 := f.local.IsValid() && f.local.Addr().Is6() || f.remote.IsValid() && f.remote.Addr().Is6()
	outer6 := len(t.peers) == 0 || slices.ContainsFunc(t.peers, netip.Addr.Is6)
	c := Clamp{Object: d.object("clamp", "ipsec/"+t.Name), MSS: mss(inner6, outer6)}
	if t.link == "" {
		c.Local, c.Remote = f.local, f.remote
		if t.Server {
			c.Remote = netip.Prefix{} // see forwardsOf
		}
		return c
	}
	c.Interface, c.Family = t.link, 4
	if inner6 {
		c.Family = 6
	}
	return c
}

// openIPsec opens what IKE and IPsec need, and what the tunnels carry to and from this
// host.
func (d *deriver) openIPsec(nf *Netfilter, tunnels []tunnel) {
	protocols := map[string]bool{}
	for i := range tunnels {
		t := &tunnels[i]
		for _, c := range t.Children {
			protocols[c.Protocol] = true
		}
		if t.link != "" {
			nf.Inner = append(nf.Inner, t.link)
			continue
		}
		if t.opened {
			continue
		}
		var inner []Inner
		for _, f := range t.flows {
			in := Inner{Object: d.object("inner", "ipsec/"+t.Name), Local: f.local, Remote: f.remote}
			if f.own {
				in.Local = netip.Prefix{} // see guard
			}
			inner = add(inner, in)
		}
		nf.InnerIPsec = append(nf.InnerIPsec, inner...)
	}
	if len(tunnels) == 0 {
		return
	}
	nf.OpenPorts = append(nf.OpenPorts,
		OpenPort{Object: d.object("open", "ike"), Protocol: "udp", Port: 500},
		OpenPort{Object: d.object("open", "ike-nat"), Protocol: "udp", Port: 4500})
	for _, p := range []string{"esp", "ah"} {
		if protocols[p] {
			nf.OpenPorts = append(nf.OpenPorts, OpenPort{Object: d.object("open", p), Protocol: p})
		}
	}
}
