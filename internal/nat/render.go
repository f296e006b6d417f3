package nat

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/vpnctl/vpnctl/internal/desired"
)

// tableOrder is the order in which tables are filled; they are emptied the other way
// round, so that nothing is let through that is not yet, or no longer, translated.
var tableOrder = []string{"raw", "mangle", "nat", "filter"}

// chainOf is the name of our chain behind a builtin one.
func chainOf(hook string) string { return Prefix + hook }

// chainsOf are the names of all our chains behind a builtin one, in the order in which they
// are passed: what drops without exception first, and then the guards.
func chainsOf(hook string) []string {
	return []string{dropChain(hook), guardChain(hook), chainOf(hook)}
}

// egress finds the interface that `out: auto` means in a family; "" where there is none.
type egress func(f Family) string

// rendered are the wanted tables of one family.
type rendered map[string]*Table

// renderer turns the desired netfilter into rules of one family.
type renderer struct {
	family Family
	node   string
	egress egress
	link   string // see desired.Netfilter
	tables rendered
}

// render turns the desired state into the tables of one family, none of which is empty.
// The order of the rules is that of the desired state, which is sorted.
func render(n *desired.Netfilter, node string, f Family, out egress) rendered {
	r := &renderer{family: f, node: node, egress: out, link: n.Link, tables: make(rendered)}
	for _, d := range n.Drops {
		r.drop(d)
	}
	r.guards(n.Guards)
	for _, e := range n.Exempts {
		r.exemptPair(e)
	}
	for _, m := range n.Masquerades {
		r.masquerade(m)
	}
	for _, w := range n.Forwards {
		r.forward(w)
	}
	for _, c := range n.Clamps {
		r.clamp(c)
	}
	for _, a := range n.AntiSpoofs {
		r.antiSpoof(a)
	}
	for _, p := range n.OpenPorts {
		r.openPort(p)
	}
	for _, name := range n.Inner {
		object := fmt.Sprintf("nat/%s/inner/%s", node, name)
		r.add("filter", "INPUT", object, rule{optIn: quote(name), optJump: "ACCEPT"})
		r.add("filter", "OUTPUT", object, rule{optOut: quote(name), optJump: "ACCEPT"})
	}
	for _, i := range n.InnerIPsec {
		r.inner(i)
	}
	for _, i := range n.InnerLinks {
		r.innerLink(i)
	}
	for _, h := range n.Helpers {
		r.helper(h)
	}
	return r.tables
}

// add appends a rule to our chain behind a builtin one, and with the first rule the chain
// and its jump.
func (r *renderer) add(table, hook, object string, one rule) {
	r.addTo(chainOf(hook), table, hook, object, one)
}

func (r *renderer) addTo(chain, table, hook, object string, one rule) {
	one.setComment(object)
	t, ok := r.tables[table]
	if !ok {
		t = &Table{Family: r.family, Name: table}
		r.tables[table] = t
	}
	c := t.chain(chain)
	if c == nil {
		at := 1
		for _, first := range chainsOf(hook) {
			if t.chain(first) != nil {
				at++
			}
		}
		t.Chains = sortChains(append(t.Chains, Chain{Name: chain}))
		t.Jumps = sortJumps(append(t.Jumps, Jump{Hook: hook, Chain: chain, At: at}))
		c = t.chain(chain)
	}
	c.Rules = append(c.Rules, one.String())
}

func (r *renderer) is(a netip.Addr) bool { return a.Is6() == (r.family == IPv6) }

// out is the interface that a topology's `out` means here, false where there is none.
func (r *renderer) out(name string) (string, bool) {
	if name == desired.OutAuto {
		name = r.egress(r.family)
		return quote(name), name != ""
	}
	return quote(name), true
}

// exempt is the first rule of all in nat's POSTROUTING: what IPsec protects would no
// longer match its policy with another source, and leave in clear. An ACCEPT there also
// keeps everybody else's MASQUERADE away, which a condition on our own rule would not.
func (r *renderer) exempt() {
	if _, done := r.tables["nat"]; !done {
		one := rule{optJump: "ACCEPT"}
		if r.link == "" {
			policy(one, "out")
		} else {
			one[optOut] = quote(r.link)
		}
		r.add("nat", "POSTROUTING", "nat/"+r.node+"/exempt/ipsec", one)
	}
}

// masquerade translates the source, and lets through what it translates and the answers.
func (r *renderer) masquerade(m desired.Masquerade) {
	if !r.is(m.Source.Addr()) {
		return
	}
	out, ok := r.out(m.Out)
	if !ok {
		return
	}
	r.exempt()
	src := normalPrefix(m.Source.String())
	to := rule{optJump: "MASQUERADE"}
	if m.SNAT.IsValid() {
		to = rule{optJump: "SNAT", "SNAT --to-source": m.SNAT.String()}
	}
	to.set(optSource, src)
	to.set(optOut, out)
	r.add("nat", "POSTROUTING", m.Object, to)

	there := rule{optJump: "ACCEPT"}
	there.set(optSource, src)
	there.set(optOut, out)
	r.add("filter", "FORWARD", m.Object, there)
	back := answers(rule{optJump: "ACCEPT"})
	back.set(optDest, src)
	back.set(optIn, out)
	r.add("filter", "FORWARD", m.Object, back)
}

// set puts an option unless the value is the default, which rules in normal form leave
// out.
func (r rule) set(opt, value string) {
	if value != "" {
		r[opt] = value
	}
}

// answers restricts a rule to what belongs to a known connection.
func answers(r rule) rule {
	r["conntrack --ctstate"] = "ESTABLISHED,RELATED"
	return r
}

// forward lets through what one entry names.
func (r *renderer) forward(w desired.Forward) {
	if !r.speaks(w.Family, w.From, w.To) || !r.speaksRange(w.FromRange) || !r.speaksRange(w.ToRange) {
		return
	}
	one := rule{optJump: "ACCEPT"}
	one.between(w.From, w.To, "out")
	one.within("--src-range", w.FromRange)
	one.within("--dst-range", w.ToRange)
	for opt, name := range map[string]string{optIn: w.In, optOut: w.Out} {
		if name == "" {
			continue
		}
		name, ok := r.out(name)
		if !ok {
			return
		}
		one.set(opt, name)
	}
	if w.Answers {
		answers(one)
	}
	if w.IPsec != "" {
		policy(one, w.IPsec)
	}
	r.add("filter", "FORWARD", w.Object, one)
}

// speaks reports whether an entry concerns this family: its prefixes say it, or else the
// number.
func (r *renderer) speaks(family int, prefixes ...netip.Prefix) bool {
	for _, p := range prefixes {
		if p.IsValid() && !r.is(p.Addr()) {
			return false
		}
	}
	return family == 0 || (family == 6) == (r.family == IPv6)
}

func (r *renderer) speaksRange(a desired.AddrRange) bool { return !a.From.IsValid() || r.is(a.From) }

// within restricts a rule to a range, if it is one.
func (r rule) within(opt string, a desired.AddrRange) {
	if a.From.IsValid() {
		r["iprange "+opt] = a.From.String() + "-" + a.To.String()
	}
}

// clamp lowers the MSS of connections in both directions, for each end announces its own.
// The target never raises one.
func (r *renderer) clamp(c desired.Clamp) {
	if !r.speaks(c.Family, c.Local, c.Remote) {
		return
	}
	for _, dir := range []string{"out", "in"} {
		one := rule{optProto: "tcp", "tcp --tcp-flags": "RST,SYN SYN", optJump: "TCPMSS"}
		switch {
		case c.Interface != "" && dir == "out":
			one[optOut] = quote(c.Interface)
		case c.Interface != "":
			one[optIn] = quote(c.Interface)
		default:
			policy(one, dir)
		}
		one.between(c.Local, c.Remote, dir)
		if c.MSS == 0 {
			one["TCPMSS --clamp-mss-to-pmtu"] = ""
		} else {
			one["TCPMSS --set-mss"] = strconv.Itoa(c.MSS)
		}
		r.add("mangle", "FORWARD", c.Object, one)
	}
}

// policy restricts a rule to what a policy of IPsec protects in one direction.
func policy(r rule, dir string) {
	r["policy --dir"], r["policy --pol"] = dir, "ipsec"
}

// between restricts a rule to what goes from a local prefix to a remote one, or comes from
// there; one that is not valid is any.
func (r rule) between(local, remote netip.Prefix, dir string) {
	if dir == "in" {
		local, remote = remote, local
	}
	if local.IsValid() {
		r.set(optSource, normalPrefix(local.String()))
	}
	if remote.IsValid() {
		r.set(optDest, normalPrefix(remote.String()))
	}
}

// antiSpoof renders what wg-quick(8) sets beside a default route: nobody outside may reach
// the tunnel's addresses by another way, and answers to the tunnel's own packets carry
// their mark, for the reverse path filter looks the sender up with it.
func (r *renderer) antiSpoof(a desired.AntiSpoof) {
	ours := false
	for _, addr := range a.Addresses {
		if !r.is(addr) {
			continue
		}
		ours = true
		r.add("raw", "PREROUTING", a.Object, rule{
			"! " + optIn: quote(a.Interface), optDest: netip.PrefixFrom(addr, addr.BitLen()).String(),
			"! addrtype --src-type": "LOCAL", optJump: "DROP",
		})
	}
	if !ours || a.Mark == 0 {
		return
	}
	r.add("mangle", "POSTROUTING", a.Object, rule{
		optProto: "udp", "mark --mark": fmt.Sprintf("%#x", a.Mark), optJump: "CONNMARK", "CONNMARK --save-mark": "",
	})
	r.add("mangle", "PREROUTING", a.Object, rule{optProto: "udp", optJump: "CONNMARK", "CONNMARK --restore-mark": ""})
}
