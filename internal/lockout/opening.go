package lockout

import (
	"context"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/host"
)

// openings are what `open_ports` lets in, and drop what that lets in no more, on a host
// whose own rules drop what nobody has let in. Only on such a host is it looked at.
func (b *builder) openings() []filter {
	if b.Applied == nil || b.Closed == nil {
		return nil
	}
	have, want := &b.Applied.Netfilter, &b.Want.Netfilter
	if len(have.OpenPorts)+len(have.Inner) == 0 || !b.Closed() {
		return nil
	}
	var out []filter
	for i := range have.OpenPorts {
		o := &have.OpenPorts[i]
		out = append(out, filter{o.Object, func(p packet, _ string) bool {
			return opens(o, p) && !slices.ContainsFunc(want.OpenPorts, func(w desired.OpenPort) bool { return opens(&w, p) })
		}})
	}
	for _, name := range have.Inner {
		out = append(out, filter{"nat/" + b.Applied.Node + "/inner/" + name, func(_ packet, dev string) bool {
			return dev == name && !slices.Contains(want.Inner, name)
		}})
	}
	return out
}

// opens reports whether an opening lets in the answers to a packet.
func opens(o *desired.OpenPort, p packet) bool {
	port := p.sport
	if o.Dialled {
		port = p.dport
	}
	return o.Protocol == p.proto && (o.Port == 0 || o.Port == int(port))
}

// readClosed reports whether the host's own rules drop what comes in and belongs to a known
// connection, unless somebody lets it in. Whoever accepts what is established cuts nobody
// off.
func readClosed() bool {
	for _, program := range []string{"iptables-save", "ip6tables-save"} {
		text, err := host.System{}.Run(context.Background(), host.Cmd{Args: []string{program, "-t", "filter"}})
		if err == nil && closes(string(text)) {
			return true
		}
	}
	return false
}

// closes reads what iptables-save prints.
func closes(text string) bool {
	drops := false
	for line := range strings.Lines(text) {
		rule, ours := strings.CutPrefix(strings.TrimSpace(line), "-A INPUT ")
		switch {
		case strings.HasPrefix(line, ":INPUT DROP"):
			drops = true
		case !ours:
		case strings.Contains(rule, "ESTABLISHED") && strings.HasSuffix(rule, "-j ACCEPT"):
			return false
		case strings.HasPrefix(rule, "-j DROP"), strings.HasPrefix(rule, "-j REJECT"):
			drops = true
		}
	}
	return drops
}
