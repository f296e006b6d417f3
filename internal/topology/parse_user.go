package topology

import (
	"slices"
	"strings"
)

var ipsecUserFields = fields[User]{
	"password": func(u *User, v *value) { v.secret(&u.Password, password) },
}

var pppUserFields = extend(ipsecUserFields, fields[User]{
	"address": func(u *User, v *value) {
		u.AddressPos = v.pos()
		u.Address, _ = v.addr()
	},
})

func readUsers(v *value, names nameKind, known fields[User]) []User {
	users := named(v, names, func(v *value) User {
		u := User{Name: v.name, Pos: v.keyPos()}
		decode(v, known, &u)
		v.require("password", "a secret, such as {file: /etc/vpnctl/secrets/"+quoteKey(v.name)+"}")
		return u
	})
	slices.SortFunc(users, func(a, b User) int { return strings.Compare(a.Name, b.Name) })
	return users
}

var clientFields = fields[Client]{
	"user":          func(c *Client, v *value) { v.line(&c.User) },
	"default_route": func(c *Client, v *value) { v.boolean(&c.DefaultRoute) },
	"use_dns":       func(c *Client, v *value) { v.boolean(&c.UseDNS) },
}

var ipsecClientFields = extend(clientFields, fields[Client]{
	"id": func(c *Client, v *value) { v.identity(&c.ID) },
	"auth": func(c *Client, v *value) {
		c.Auth.Pos = v.keyPos()
		decode(v, clientAuthFields, &c.Auth)
	},
})

var pppClientFields = extend(clientFields, fields[Client]{
	"routes":   func(c *Client, v *value) { c.Routes = v.prefixes() },
	"networks": func(c *Client, v *value) { c.Networks = v.prefixes() },
})

func readClients(v *value, known fields[Client]) []Client {
	clients := named(v, nodeNames, func(v *value) Client {
		c := Client{Node: v.name, Pos: v.keyPos()}
		decode(v, known, &c)
		return c
	})
	slices.SortFunc(clients, func(a, b Client) int { return strings.Compare(a.Node, b.Node) })
	return clients
}
