package wireguardtest

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// String is the whole host. What is no configuration (indexes, handshakes, counters, the
// order of peers, whether kernel or process carries a link) is left out; keys are told
// by their fingerprints.
func (h *Host) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(h.spaces)) {
		if name != "" {
			fmt.Fprintf(&b, "netns %s\n", name)
		}
		h.spaces[name].print(&b)
	}
	for _, name := range slices.Sorted(maps.Keys(h.dns)) {
		fmt.Fprintf(&b, "dns %s: %s %s\n", name, h.dns[name].Servers, h.dns[name].Search)
	}
	return b.String()
}

func (s *space) print(b *strings.Builder) {
	links := slices.SortedFunc(slices.Values(s.links), func(a, c *link) int { return cmp.Compare(a.Name, c.Name) })
	for _, l := range links {
		flags := "NOARP"
		if l.Up {
			flags += ",UP"
		}
		fmt.Fprintf(b, "%s: <%s> mtu %d\n", l.Name, flags, l.MTU)
		if l.Alias != "" {
			fmt.Fprintf(b, "    alias %s\n", l.Alias)
		}
		l.printAddrs(b)
	}
	s.printRoutes(b)
	s.printRules(b)
	for _, l := range links {
		if l.wg != nil {
			fmt.Fprintf(b, "# wg showconf %s\n", l.Name)
			l.wg.print(b)
		}
	}
}

func (l *link) printAddrs(b *strings.Builder) {
	var lines []string
	for _, a := range l.addrs {
		family := "inet"
		if is6(a.Prefix) {
			family = "inet6"
		}
		if !a.Kernel {
			lines = append(lines, fmt.Sprintf("    %s %s\n", family, a.Prefix))
		}
	}
	writeSorted(b, lines)
}

func writeSorted(b *strings.Builder, lines []string) {
	slices.Sort(lines)
	b.WriteString(strings.Join(lines, ""))
}

func (s *space) printRoutes(b *strings.Builder) {
	var lines []string
	for _, r := range s.routes {
		if r.Dst.Addr().IsLinkLocalUnicast() {
			continue // a tun device's
		}
		lines = append(lines, fmt.Sprintf("%s dev %s proto %d\n", r, s.at(r.Index).Name, r.Protocol))
	}
	writeSorted(b, lines)
}

// printRules keeps the order of rules of the same priority: they count in it.
func (s *space) printRules(b *strings.Builder) {
	rules := slices.Clone(s.rules)
	slices.SortStableFunc(rules, func(a, c rtnl.Rule) int { return cmp.Compare(a.Priority, c.Priority) })
	for _, v6 := range []bool{false, true} {
		for _, r := range rules {
			if r.IPv6 == v6 {
				fmt.Fprintf(b, "%s %5d: %s proto %d\n", map[bool]string{false: "-4", true: "-6"}[v6], r.Priority, r, r.Protocol)
			}
		}
	}
}

func (w *device) print(b *strings.Builder) {
	b.WriteString("[Interface]\n")
	if w.port != 0 {
		fmt.Fprintf(b, "ListenPort = %d\n", w.port)
	}
	if w.mark != 0 {
		fmt.Fprintf(b, "FwMark = %#x\n", w.mark)
	}
	if w.key != (wgtypes.Key{}) {
		fmt.Fprintf(b, "PrivateKey = %s\n", fingerprint(w.key))
	}
	keys := slices.SortedFunc(maps.Keys(w.peers), func(a, b wgtypes.Key) int { return strings.Compare(a.String(), b.String()) })
	for _, k := range keys {
		w.peers[k].print(b)
	}
}

func (p *peer) print(b *strings.Builder) {
	fmt.Fprintf(b, "[Peer]\nPublicKey = %s\n", p.PublicKey)
	if p.PresharedKey != (wgtypes.Key{}) {
		fmt.Fprintf(b, "PresharedKey = %s\n", fingerprint(p.PresharedKey))
	}
	allowed := slices.SortedFunc(maps.Keys(p.allowed), func(a, b netip.Prefix) int { return strings.Compare(a.String(), b.String()) })
	for _, a := range allowed {
		fmt.Fprintf(b, "AllowedIPs = %s\n", a)
	}
	if p.Endpoint != nil {
		fmt.Fprintf(b, "Endpoint = %s\n", p.Endpoint)
	}
	if p.PersistentKeepaliveInterval != 0 {
		fmt.Fprintf(b, "PersistentKeepalive = %d\n", int(p.PersistentKeepaliveInterval.Seconds()))
	}
}
