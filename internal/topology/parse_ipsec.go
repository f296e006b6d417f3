package topology

import (
	"slices"
	"strings"
	"time"

	"github.com/vpnctl/vpnctl/internal/proposal"
)

// defaultDPDDelay is how often a silent peer is asked whether it is there.
const defaultDPDDelay = 30 * time.Second

// rawConnection is a connection whose ends and children wait for what it says
// for all of them.
type rawConnection struct {
	Connection
	base       rawChild
	remote     RemoteAccess
	failClosed *bool
	// Where these keys stand, nil where they do not.
	auth, ends, server, children *value
	// remoteOnly are the keys that only a server has.
	remoteOnly []*value
}

var connectionFields = func() fields[rawConnection] {
	f := fields[rawConnection]{
		"ends":     func(c *rawConnection, v *value) { c.ends = v },
		"server":   func(c *rawConnection, v *value) { c.server = v; v.nameOf(&c.remote.Node, nodeNames) },
		"auth":     func(c *rawConnection, v *value) { c.auth = v },
		"children": func(c *rawConnection, v *value) { c.children = v },
		"ike_version": func(c *rawConnection, v *value) {
			version := "2"
			word(v, &version, "1", "2")
			c.IKEVersion = int(version[0] - '0')
		},
		"ike_proposals": func(c *rawConnection, v *value) { c.IKEProposals = v.proposals(proposal.IKE) },
		"ike_rekey":     func(c *rawConnection, v *value) { v.optionalDuration(&c.IKERekey) },
		"dpd":           func(c *rawConnection, v *value) { decode(v, connectionDPDFields, c) },
		"interface": func(c *rawConnection, v *value) {
			c.InterfacePos = v.pos()
			v.nameOf(&c.Interface, interfaceNames)
		},
		"fail_closed": func(c *rawConnection, v *value) { c.failClosed = new(bool); v.boolean(c.failClosed) },
	}
	for name, read := range remoteFields {
		f[name] = func(c *rawConnection, v *value) {
			c.remoteOnly = append(c.remoteOnly, v)
			read(&c.remote, v)
		}
	}
	for name, read := range childFields {
		f[name] = func(c *rawConnection, v *value) { read(&c.base, v) }
	}
	return f
}()

var connectionDPDFields = fields[rawConnection]{
	"delay":   func(c *rawConnection, v *value) { v.duration(&c.DPD.Delay) },
	"timeout": func(c *rawConnection, v *value) { v.duration(&c.DPD.Timeout) },
	"action":  func(c *rawConnection, v *value) { readDPDAction(&c.base, v) },
}

var remoteFields = fields[RemoteAccess]{
	"address": func(r *RemoteAccess, v *value) { r.Addresses = v.hosts() },
	"pools":   func(r *RemoteAccess, v *value) { r.Pools = list(v, (*value).pool) },
	"dns":     func(r *RemoteAccess, v *value) { r.DNS = v.addrs() },
	"subnets": func(r *RemoteAccess, v *value) { r.Subnets = v.selectors() },
	"users":   func(r *RemoteAccess, v *value) { r.Users = readUsers(v, ipsecUserNames, ipsecUserFields) },
	"clients": func(r *RemoteAccess, v *value) { r.Clients = readClients(v, ipsecClientFields) },
}

func readConnection(v *value) Connection {
	c := rawConnection{Connection: Connection{Name: v.name, Pos: v.keyPos(), IKEVersion: 2,
		DPD: DPD{Delay: defaultDPDDelay}}}
	c.base.Mode, c.base.Protocol = Tunnel, ESP
	v.decodeWithSettings(decoder(connectionFields, &c), func(entry *value) bool {
		return entry.setting(&c.Settings, connectionSettings, connectionWords) ||
			entry.setting(&c.base.Settings, childSettings, connectionWords)
	}, settingNames(connectionSettings, childSettings))
	sortSettings(c.Settings)
	sortSettings(c.base.Settings)
	c.readSides(v)
	if c.auth == nil {
		v.requireAuth(&c)
	}
	c.readChildren(v)
	c.FailClosed = c.Ends != nil && slices.ContainsFunc(c.Children, func(ch Child) bool { return ch.Mode == Tunnel })
	if c.failClosed != nil {
		c.FailClosed = *c.failClosed
	}
	return c.Connection
}

// requireAuth asks for auth where an end does not say its own.
func (v *value) requireAuth(c *rawConnection) {
	if c.Server != nil || len(c.Ends) == 0 || slices.ContainsFunc(c.Ends, func(e End) bool { return e.Auth.Pos.Line == 0 }) {
		v.require("auth", "how the ends prove who they are: "+authKinds)
	}
}

// readSides reads the two ends, or the server.
func (c *rawConnection) readSides(v *value) {
	switch {
	case c.ends != nil && c.server != nil:
		v.errorf(c.server.keyPos(), "stands beside ends: a connection has two ends, or one server")
	case c.ends == nil && c.server == nil:
		if !v.bad {
			v.errorf(v.keyPos(), "needs ends, the two that it connects, or server, the node that clients dial")
		}
	case c.server != nil:
		c.readServer()
	default:
		c.readEnds()
	}
}

func (c *rawConnection) readServer() {
	c.Server = &c.remote
	if c.auth != nil {
		a := readServerAuth(c.auth)
		c.Server.Auth, c.Server.ID, c.Server.IDSet = a.Auth, a.ID, a.ID != ""
	}
}

func (c *rawConnection) readEnds() {
	for _, only := range c.remoteOnly {
		only.errorf(only.spelledPos(), "belongs to a connection with a server; %s", instead(only.name))
	}
	var common Auth
	if c.auth != nil {
		common = readAuth(c.auth)
	}
	c.Ends = named(c.ends, endNames, readEnd)
	if n := len(c.ends.node.Content) / 2; n != 2 && !c.ends.bad {
		c.ends.errorf(c.ends.keyPos(), "names %d, and a connection has two ends", n)
	}
	slices.SortFunc(c.Ends, func(a, b End) int { return strings.Compare(a.Name, b.Name) })
	for i := range c.Ends {
		if c.Ends[i].Auth.Pos.Line == 0 {
			c.Ends[i].Auth = common
		}
	}
}

// instead says what between two ends takes the place of a server's key.
func instead(key string) string {
	switch key {
	case "subnets", "address":
		return "here each end has its own: ends.NAME." + key
	}
	return "there is none with ends"
}

var endFields = fields[End]{
	"address": func(e *End, v *value) { e.Addresses, e.Any = v.endAddress() },
	"id":      func(e *End, v *value) { e.IDSet = v.identity(&e.ID) },
	"subnets": func(e *End, v *value) { e.Subnets = v.selectors() },
	"auth":    func(e *End, v *value) { e.Auth = readAuth(v) },
}

func readEnd(v *value) End {
	e := End{Name: v.name, Pos: v.keyPos()}
	decode(v, endFields, &e)
	return e
}

// hosts reads one address or several.
func (v *value) hosts() []Host {
	if v.node.Tag == "!!seq" {
		return list(v, (*value).host)
	}
	if h, ok := v.host(); ok {
		return []Host{h}
	}
	return nil
}

// endAddress reads the same, or any.
func (v *value) endAddress() (hosts []Host, anywhere bool) {
	items := []*value{v}
	if v.node.Tag == "!!seq" {
		items = slices.Collect(v.items())
	}
	for _, item := range items {
		if item.node.Value == "any" || item.node.Value == "%any" {
			anywhere = true
		} else if h, ok := item.host(); ok {
			hosts = append(hosts, h)
		}
	}
	if anywhere && len(hosts) > 0 {
		v.fail("names any and addresses: any stands alone")
	}
	return hosts, anywhere
}
