package nat

import (
	"net/netip"
	"strconv"

	"github.com/vpnctl/vpnctl/internal/desired"
)

// openPort lets one service of this host in, and its packets out; or lets this host call
// one, and its answers in.
func (r *renderer) openPort(p desired.OpenPort) {
	if !r.speaks(p.Family) {
		return
	}
	ports := map[string]string{"INPUT": "--dport", "OUTPUT": "--sport"}
	if p.Dialled {
		ports = map[string]string{"INPUT": "--sport", "OUTPUT": "--dport"}
	}
	for hook, opt := range ports {
		one := rule{optJump: "ACCEPT"}
		r.protocol(one, p.Protocol)
		if p.Port != 0 {
			one[p.Protocol+" "+opt] = strconv.Itoa(p.Port)
		}
		if p.Dialled && hook == "INPUT" {
			answers(one)
		}
		r.add("filter", hook, p.Object, one)
	}
}

// inner lets what a policy protects in and out of this host.
func (r *renderer) inner(i desired.Inner) {
	if !r.speaks(0, i.Local, i.Remote) {
		return
	}
	for hook, dir := range map[string]string{"INPUT": "in", "OUTPUT": "out"} {
		one := rule{optJump: "ACCEPT"}
		policy(one, dir)
		one.between(i.Local, i.Remote, dir)
		r.add("filter", hook, i.Object, one)
	}
}

// innerLink lets what links of a pattern carry in and out of this host.
func (r *renderer) innerLink(i desired.InnerLink) {
	if !r.speaks(0, i.Remote) || !r.speaksRange(i.RemoteRange) {
		return
	}
	in := rule{optIn: quote(i.Interface), optJump: "ACCEPT"}
	in.between(netip.Prefix{}, i.Remote, "in")
	in.within("--src-range", i.RemoteRange)
	if i.Answers {
		answers(in)
	}
	r.add("filter", "INPUT", i.Object, in)
	out := rule{optOut: quote(i.Interface), optJump: "ACCEPT"}
	out.between(netip.Prefix{}, i.Remote, "out")
	out.within("--dst-range", i.RemoteRange)
	r.add("filter", "OUTPUT", i.Object, out)
}

// helper has conntrack follow connections of a protocol that come in from a source.
func (r *renderer) helper(h desired.Helper) {
	if !r.is(h.Source.Addr()) {
		return
	}
	one := rule{optProto: "tcp", "tcp --dport": strconv.Itoa(h.Port), optJump: "CT", "CT --helper": h.Name}
	one.between(h.Source, netip.Prefix{}, "out")
	r.add("raw", "PREROUTING", h.Object, one)
}
