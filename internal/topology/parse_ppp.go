package topology

import (
	"math"
	"slices"

	"github.com/vpnctl/vpnctl/internal/proposal"
)

// The bounds that pppd sets to an MTU.
const (
	minPPPMTU = 128
	maxPPPMTU = 16384
)

var pppFields = fields[PPP]{
	"server": func(p *PPP, v *value) { v.nameOf(&p.Server, nodeNames) },
	"local_ip": func(p *PPP, v *value) {
		p.LocalIPPos = v.pos()
		p.LocalIP, _ = v.addr()
	},
	"pools": func(p *PPP, v *value) { p.Pools = list(v, (*value).addressRange) },
	"dns":   func(p *PPP, v *value) { p.DNS = v.addrs() },
	"mtu": func(p *PPP, v *value) {
		if n, ok := v.number(minPPPMTU, maxPPPMTU); ok {
			p.MTU = int(n)
		}
	},
	"auth":          func(p *PPP, v *value) { p.Auth = v.pppAuth() },
	"idle":          func(p *PPP, v *value) { v.duration(&p.Idle) },
	"session_limit": func(p *PPP, v *value) { v.duration(&p.SessionLimit) },
	"max_sessions": func(p *PPP, v *value) {
		if n, ok := v.number(1, math.MaxUint16); ok {
			p.MaxSessions = int(n)
		}
	},
	"multiple_logins": func(p *PPP, v *value) { v.boolean(&p.MultipleLogins) },
	"proxy_arp":       func(p *PPP, v *value) { v.boolean(&p.ProxyARP) },
	"radius":          func(p *PPP, v *value) { p.Radius = readRadius(v) },
	"users":           func(p *PPP, v *value) { p.Users = readUsers(v, userNames, pppUserFields) },
	"clients":         func(p *PPP, v *value) { p.Clients = readClients(v, pppClientFields) },
}

// pppAuths are the ways to log in, best first.
var pppAuths = []PPPAuth{MSCHAPv2, MSCHAP, CHAP, PAP}

// pppAuth reads a set of ways to log in: best first, each once.
func (v *value) pppAuth() []PPPAuth {
	given := list(v, func(item *value) (PPPAuth, bool) {
		var a PPPAuth
		word(item, &a, pppAuths...)
		return a, a != ""
	})
	if len(given) == 0 && !v.bad && len(v.node.Content) == 0 {
		v.fail("names no way to log in; use mschapv2, mschap, chap or pap")
	}
	var ordered []PPPAuth
	for _, a := range pppAuths {
		if slices.Contains(given, a) {
			ordered = append(ordered, a)
		}
	}
	return ordered
}

func newPPP(v *value) PPP { return PPP{Name: v.name, Pos: v.keyPos(), MultipleLogins: true} }

// requirePPP asks for what no server can do without.
func (v *value) requirePPP() {
	v.require("server", "the node that clients dial")
	v.require("local_ip", "the server's own address on every link")
}

var radiusFields = fields[Radius]{
	"servers": func(r *Radius, v *value) {
		r.Servers = list(v, func(item *value) (RadiusServer, bool) { return readRadiusServer(item), true })
	},
}

func readRadius(v *value) *Radius {
	r := &Radius{Pos: v.keyPos()}
	decode(v, radiusFields, r)
	v.require("servers", "a list of {address, secret}")
	return r
}

var radiusServerFields = fields[RadiusServer]{
	"address":   func(s *RadiusServer, v *value) { s.Address, _ = v.host() },
	"auth_port": func(s *RadiusServer, v *value) { v.port(&s.AuthPort) },
	"acct_port": func(s *RadiusServer, v *value) { v.port(&s.AcctPort) },
	"secret":    func(s *RadiusServer, v *value) { v.secret(&s.Secret, password) },
}

func readRadiusServer(v *value) RadiusServer {
	s := RadiusServer{Pos: v.pos(), AuthPort: 1812, AcctPort: 1813}
	decode(v, radiusServerFields, &s)
	v.require("address", "where the RADIUS server is")
	v.require("secret", "what both share, such as {file: /etc/vpnctl/secrets/radius}")
	return s
}

var l2tpFields = liftPPP(fields[L2TP]{
	"ipsec": func(l *L2TP, v *value) { l.IPsec = readL2TPIPsec(v) },
}, func(l *L2TP) *PPP { return &l.PPP })

func readL2TP(v *value) L2TP {
	l := L2TP{PPP: newPPP(v)}
	decode(v, l2tpFields, &l)
	v.requirePPP()
	v.require("ipsec", "what protects it, such as {psk: {file: …}}, or none to run it in clear")
	if l.Auth == nil && !v.has("auth") {
		l.Auth = []PPPAuth{MSCHAPv2, CHAP}
	}
	return l
}

// pptpBroken is what everybody has to know who runs PPTP, and what to use instead.
const pptpBroken = "MS-CHAPv2 is broken, one search for a DES key in a recorded login gives the password's hash, and with it all traffic; " +
	"MPPE is RC4 without a checksum, and packets can be changed unseen; ipsec with ike_version: 2, or wireguard, has neither flaw"

// rawPPTP has what is asked once and then never again.
type rawPPTP struct {
	PPTP
	allowInsecure bool
}

var pptpFields = liftPPP(fields[rawPPTP]{
	"allow_insecure": func(p *rawPPTP, v *value) {
		if v.boolean(&p.allowInsecure); !p.allowInsecure && !v.bad {
			v.fail("must be true to run PPTP at all: %s", pptpBroken)
		}
	},
	"mppe": func(p *rawPPTP, v *value) {
		mppe := "required"
		word(v, &mppe, "required", "none")
		p.MPPE = mppe == "required"
	},
}, func(p *rawPPTP) *PPP { return &p.PPP })

func readPPTP(v *value) PPTP {
	p := rawPPTP{PPTP: PPTP{PPP: newPPP(v), MPPE: true}}
	decode(v, pptpFields, &p)
	v.requirePPP()
	v.require("allow_insecure", "true says that you know: "+pptpBroken)
	if p.Auth == nil && !v.has("auth") {
		p.Auth = []PPPAuth{MSCHAPv2}
	}
	return p.PPTP
}

// liftPPP adds the fields of PPP to those of what embeds it.
func liftPPP[T any](own fields[T], of func(*T) *PPP) fields[T] {
	for name, read := range pppFields {
		own[name] = func(t *T, v *value) { read(of(t), v) }
	}
	return own
}

var l2tpIPsecFields = func() fields[L2TPIPsec] {
	f := fields[L2TPIPsec]{
		"id":            func(i *L2TPIPsec, v *value) { i.IDSet = v.identity(&i.ID) },
		"ike_proposals": func(i *L2TPIPsec, v *value) { i.IKEProposals = v.proposals(proposal.IKE) },
		"esp_proposals": func(i *L2TPIPsec, v *value) { i.ESPProposals = v.proposals(proposal.ESP) },
		"ike_rekey":     func(i *L2TPIPsec, v *value) { v.optionalDuration(&i.IKERekey) },
		"child_rekey":   func(i *L2TPIPsec, v *value) { v.optionalDuration(&i.ChildRekey) },
		"dpd": func(i *L2TPIPsec, v *value) {
			decode(v, fields[DPD]{
				"delay":   func(d *DPD, v *value) { v.duration(&d.Delay) },
				"timeout": func(d *DPD, v *value) { v.duration(&d.Timeout) },
			}, &i.DPD)
		},
	}
	// IKEv1 knows neither EAP nor, in practice, raw keys.
	for _, name := range []string{"psk", "cert", "key", "ca"} {
		read := authFields[name]
		f[name] = func(i *L2TPIPsec, v *value) { read(&i.Auth, v) }
	}
	return f
}()

// readL2TPIPsec reads what protects L2TP, nil for none at all.
func readL2TPIPsec(v *value) *L2TPIPsec {
	if v.node.Value == "none" {
		return nil
	}
	i := &L2TPIPsec{Pos: v.keyPos(), Auth: Auth{Pos: v.keyPos()}, DPD: DPD{Delay: defaultDPDDelay}}
	if v.node.Tag != "!!map" {
		v.fail("must be a mapping such as {psk: {file: …}}, or none")
		return i
	}
	v.decodeWithSettings(decoder(l2tpIPsecFields, i), func(entry *value) bool {
		return entry.setting(&i.Settings, connectionSettings, connectionWords) ||
			entry.setting(&i.ChildSettings, childSettings, connectionWords)
	}, settingNames(connectionSettings, childSettings))
	sortSettings(i.Settings)
	sortSettings(i.ChildSettings)
	v.authKind(&i.Auth, true, l2tpKinds)
	return i
}
