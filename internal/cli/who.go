package cli

import (
	"os/user"

	"github.com/vpnctl/vpnctl/internal/state"
)

// operator is who runs this command, behind sudo and SSH, as far as can be known.
func (g *globals) operator() state.Who {
	var w state.Who
	if u, err := user.Current(); err == nil {
		w.User = u.Username
	}
	if name, ok := g.Getenv("SUDO_USER"); ok && name != "" {
		w.User = name
	}
	if c, ok := g.management(); ok {
		w.From = c.Remote.Addr().String()
	}
	return w
}
