package engine

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
)

// fold lets the tunnels that run inside others speak for these: the row of what carries
// them goes, and what it has to say goes along with theirs. Where they cannot say it, it
// keeps a row, under their name.
func fold(rows []backend.Tunnel) []backend.Tunnel {
	var out, carriers []backend.Tunnel
	for _, r := range rows {
		if r.Carries == "" {
			out = append(out, r)
		} else {
			carriers = append(carriers, r)
		}
	}
	addDetails(out, carriers)
	for i := range carriers {
		c := &carriers[i]
		if c.State != backend.Down || passOn(out, c) {
			continue
		}
		kind, name, _ := strings.Cut(c.Carries, "/")
		out = append(out, backend.Tunnel{
			Protocol: backend.Kind(kind), Name: name, State: c.State, Reason: beneath(c), Endpoint: c.Endpoint,
		})
	}
	return out
}

// passOn gives the reason of what is down to the tunnels inside that are not up, and
// reports whether there was one. One that is up does not need it yet, and nobody would
// read it there.
func passOn(out []backend.Tunnel, c *backend.Tunnel) bool {
	told := false
	for i := range out {
		t := &out[i]
		if string(t.Protocol)+"/"+t.Name == c.Carries && t.State != backend.Up {
			t.State, t.Reason, told = backend.Down, beneath(c), true
		}
	}
	return told
}

func beneath(c *backend.Tunnel) string { return "IPsec: " + c.Reason }

// addDetails tells of each tunnel inside how it is encrypted. Of two behind one NAT nobody
// can tell whose is whose, and where both have the same port, not even the kernel can.
func addDetails(out, carriers []backend.Tunnel) {
	for i := range out {
		t := &out[i]
		if t.State != backend.Up {
			continue
		}
		var by []*backend.Tunnel
		for k := range carriers {
			c := &carriers[k]
			if c.Carries == string(t.Protocol)+"/"+t.Name && c.State == backend.Up && sameHost(c.Remote, t.Remote) {
				by = append(by, c)
			}
		}
		switch {
		case len(by) == 1:
			t.IPsec = by[0].IPsec
		case slices.ContainsFunc(by, func(c *backend.Tunnel) bool { return c != by[0] && slices.Equal(c.Addresses, by[0].Addresses) }):
			t.Reason = "another client behind the same NAT has the same port: each may get the other's packets"
		}
	}
}

// sameHost compares addresses without the ports that they may have.
func sameHost(a, b string) bool {
	one, two := hostOf(a), hostOf(b)
	return one.IsValid() && one == two
}

func hostOf(s string) netip.Addr {
	if p, err := netip.ParseAddrPort(s); err == nil {
		return p.Addr()
	}
	a, _ := netip.ParseAddr(s)
	return a
}
