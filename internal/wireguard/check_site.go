package wireguard

import (
	"slices"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
)

// checkSite refuses the first apply of a site on a host where a link bears another's mark,
// be it of IPsec: that site has its state in a folder that is not looked at, or has lost
// it. A link whose name is wanted here has a refusal of its own.
func (b *Backend) checkSite(in backend.Input) error {
	if in.Applied != nil {
		return nil
	}
	n, err := b.Network("")
	if err != nil {
		return err
	}
	defer func() { _ = n.Close() }()
	links, err := n.Links()
	if err != nil {
		return err
	}
	for _, l := range links {
		wanted := slices.ContainsFunc(in.Want.Interfaces, func(i desired.Interface) bool { return i.Name == l.Name })
		if site := otherSite(l, in.Want.Site); site != "" && !wanted {
			return backend.Refuse("site/"+in.Want.Site,
				"`vpnctl destroy` that site first, with its --state-dir; where its state is lost, `ip link del "+l.Name+"`",
				"a host belongs to one site at a time, and interface %s is site %s's", l.Name, site)
		}
	}
	return nil
}
