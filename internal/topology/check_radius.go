package topology

import "slices"

// maxRadiusServers is how many servers pppd's RADIUS client keeps.
const maxRadiusServers = 8

func (c *checker) checkRadius(p *PPP) {
	r := p.Radius
	if len(r.Servers) == 0 && c.emptyList(r.Pos, "servers") {
		c.errorf(c.under(r.Pos, "servers"), "names no server")
	}
	if len(r.Servers) > maxRadiusServers {
		c.errorf(c.under(r.Pos, "servers", maxRadiusServers), "is one too many: pppd's RADIUS client keeps %d", maxRadiusServers)
	}
	hosts := map[Host]*RadiusServer{}
	for i := range r.Servers {
		s := &r.Servers[i]
		if s.Address.Addr.Is6() {
			c.errorf(c.under(s.Pos, "address"), "%s is not IPv4, and pppd's RADIUS client knows nothing else", s.Address)
		}
		first := hosts[s.Address]
		if first == nil {
			hosts[s.Address] = s
		} else if !s.Address.IsZero() && !sameSecret(first.Secret, s.Secret) {
			c.errorf(c.under(s.Pos, "secret"), "is another than that of line %d, and pppd's RADIUS client has one for an address", first.Pos.Line)
		}
		if v, ok := c.inline(s.Secret); ok {
			if err := RadiusSecret(v); err != nil {
				c.errorf(s.Secret.Pos, "%w", err)
			}
		}
	}
	c.checkRadiusUsers(p)
}

// checkRadiusUsers says what becomes of users whom the server does not ask for:
// the nodes that dial in have their passwords from there, and nobody else.
func (c *checker) checkRadiusUsers(p *PPP) {
	for i := range p.Users {
		u := &p.Users[i]
		if u.Address.IsValid() {
			c.errorf(u.AddressPos, "is RADIUS's to say, as Framed-IP-Address: leave it out")
		}
		if !slices.ContainsFunc(p.Clients, func(cl Client) bool { return cl.User == u.Name }) {
			c.warnf(u.Pos, "has no effect: RADIUS says who may log in, and no client of this file logs in as this user")
		}
	}
}
