package nat

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/vpnctl/vpnctl/internal/desired"
)

// guardChain is the name of our chain of guards behind a builtin one. It is apart from our
// other rules there: what a guard lets pass returns, and shall not miss them.
func guardChain(hook string) string { return Prefix + "GUARD-" + hook }

// dropChain is the name of our chain of drops behind a builtin one. It is apart from the
// guards: whom these let pass, a drop need not.
func dropChain(hook string) string { return Prefix + "DROP-" + hook }

// drop drops what comes to and leaves from a port of this host in clear, in mangle as the
// guards do: there nobody has an accept of established connections. Neither protocol that
// has one here runs over IPv6.
func (r *renderer) drop(d desired.Drop) {
	if r.family == IPv6 {
		return
	}
	for _, way := range []struct{ hook, dir, port, peer string }{
		{"INPUT", "in", "udp --dport", optSource}, {"OUTPUT", "out", "udp --sport", optDest},
	} {
		add := func(target string, peer netip.Addr) {
			one := rule{optProto: "udp", way.port: strconv.Itoa(d.Port), optJump: target}
			if peer.IsValid() {
				one[way.peer] = netip.PrefixFrom(peer, peer.BitLen()).String()
			}
			if target == "DROP" {
				one["policy --dir"], one["policy --pol"] = way.dir, "none"
			}
			r.addTo(dropChain(way.hook), "mangle", way.hook, d.Object, one)
		}
		for _, p := range d.Except {
			add("RETURN", p)
		}
		for _, p := range d.Peers {
			add("DROP", p)
		}
		if len(d.Peers) == 0 {
			add("DROP", netip.Addr{})
		}
	}
}

// guards reports whether a rule guards against clear text or spoofed packets: such rules
// come first and go last.
func guards(table, chain, spec string) bool {
	switch {
	case strings.HasPrefix(chain, guardChain("")), strings.HasPrefix(chain, dropChain("")):
		return true
	case table != "nat" && table != "raw":
		return false
	}
	r, err := parseRule(spec)
	return err == nil && (table == "nat" && r[optJump] == "ACCEPT" || table == "raw" && r[optJump] == "DROP")
}

// exemptPair keeps the source of one pair of selectors as it is, ahead of all rules that
// rewrite it. Where a pair is not known beforehand, what a policy has taken is exempt.
func (r *renderer) exemptPair(e desired.Exempt) {
	if !r.speaks(0, e.Source, e.Dest) || !e.Source.IsValid() && !e.Dest.IsValid() {
		return
	}
	r.exempt()
	if !e.Source.IsValid() || !e.Dest.IsValid() {
		return
	}
	one := rule{optJump: "ACCEPT"}
	one.between(e.Source, e.Dest, "out")
	r.restrict(one, e.Ports)
	r.add("nat", "POSTROUTING", e.Object, one)
}

// restrict restricts a rule to a protocol and its ports.
func (r *renderer) restrict(one rule, p desired.Ports) {
	proto := normalProto(p.Protocol)
	r.protocol(one, proto)
	for opt, port := range map[string]string{"--sport": p.SourcePort, "--dport": p.Port} {
		if port != "" {
			one[p.Protocol+" "+opt] = strings.ReplaceAll(port, "-", ":")
		}
	}
}

// protocol restricts a rule to a protocol. To ip6tables AH is a header among others, never
// the protocol.
func (r *renderer) protocol(one rule, proto string) {
	if proto == "ah" && r.family == IPv6 {
		one["-m ah"] = ""
		return
	}
	one.set(optProto, proto)
}

// link are the destinations that never leave their link, by family: without them, a host
// that guards everything could not even ask who its neighbours are.
var link = map[Family][]netip.Prefix{
	IPv4: {netip.MustParsePrefix("224.0.0.0/24"), netip.MustParsePrefix("255.255.255.255/32")},
	IPv6: {netip.MustParsePrefix("ff02::/16"), netip.MustParsePrefix("fe80::/10")},
}

// guards renders the guards of this family, in mangle, where hardly anybody accepts and so
// ends the walk before us.
func (r *renderer) guards(all []desired.Guard) {
	done := make(map[string]bool)
	for i := range all {
		g := &all[i]
		if !r.speaks(0, g.Source, g.Dest) {
			continue
		}
		if g.Source.IsValid() {
			r.guard("FORWARD", g, nil, done)
		}
		r.guard("OUTPUT", g, r.own(g), done)
	}
}

// guard drops what a guard covers, after what passes it. What another guard has let pass
// before is not said again.
func (r *renderer) guard(hook string, g *desired.Guard, pass []rule, done map[string]bool) {
	for _, l := range g.Local {
		one := rule{}
		one.between(g.Source, l, "out")
		pass = append(pass, one)
	}
	for _, one := range pass {
		one[optJump] = "RETURN"
		if key := hook + " " + one.String(); !done[key] {
			done[key] = true
			r.addTo(guardChain(hook), "mangle", hook, g.Object, one)
		}
	}
	drop := rule{optJump: "DROP"}
	drop.between(g.Source, g.Dest, "out")
	r.restrict(drop, g.Ports)
	if g.Interface == "" {
		drop["policy --dir"], drop["policy --pol"] = "out", "none"
	} else {
		drop["! "+optOut] = quote(g.Interface)
	}
	r.addTo(guardChain(hook), "mangle", hook, g.Object, drop)
}

// own are the host's own packets that pass a guard: those to itself, those that never
// leave their link, and IKE and IPsec itself, which leave the host once more when they
// are wrapped up.
func (r *renderer) own(g *desired.Guard) []rule {
	pass := []rule{{optOut: "lo"}}
	for _, p := range link[r.family] {
		if g.Dest.Overlaps(p) {
			pass = append(pass, rule{optDest: p.String()})
		}
	}
	peers := []string{""} // anywhere
	if len(g.Peers) > 0 {
		peers = nil
		for _, p := range g.Peers {
			if g.Dest.Contains(p) {
				peers = append(peers, netip.PrefixFrom(p, p.BitLen()).String())
			}
		}
	}
	for _, p := range slices.Compact(peers) {
		for _, proto := range []string{"udp --sport 500", "udp --sport 4500", "esp", "ah"} {
			proto, opt, ported := strings.Cut(proto, " ")
			one := rule{}
			one.set(optDest, p)
			r.protocol(one, proto)
			if ported {
				opt, port, _ := strings.Cut(opt, " ")
				one[proto+" "+opt] = port
			}
			pass = append(pass, one)
		}
	}
	return pass
}
