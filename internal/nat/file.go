package nat

import (
	"strings"

	"github.com/vpnctl/vpnctl/internal/desired"
)

// RenderFile is what iptables-restore -n of a family is given on a host that holds
// nothing of ours yet; "" where it is given nothing. `out: auto` stays a word, for only
// the host knows what it means there.
func RenderFile(n *desired.Netfilter, node string, f Family) string {
	auto := false
	tables := render(n, node, f, func(Family) string {
		auto = true
		return desired.OutAuto
	})
	var b strings.Builder
	for _, name := range tableOrder {
		if to := tables[name]; to != nil {
			b.WriteString(restoreScript(newSavedTable(), to.with(nil, nil), to))
		}
	}
	if auto {
		return "# auto: the interface of the default route\n" + b.String()
	}
	return b.String()
}
