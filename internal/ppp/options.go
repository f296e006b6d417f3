package ppp

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/file"
)

// The folders of pppd's files.
const (
	folder      = "/etc/ppp"
	peersFolder = folder + "/peers"
)

// PeerName is what pppd's `call` names the link's options by.
func PeerName(t *desired.PPPTunnel) string { return t.AuthName() }

// PeerPath is the option file of a link.
func PeerPath(t *desired.PPPTunnel) string { return peersFolder + "/" + PeerName(t) }

// OptionsPath is the option file of a server.
func OptionsPath(t *desired.PPPTunnel) string { return folder + "/options." + t.AuthName() }

// authWords are the ways to log in as pppd's options have them.
var authWords = map[string]string{"mschapv2": "mschap-v2", "mschap": "mschap", "chap": "chap", "pap": "pap"}

// allAuth are all ways to log in that pppd knows, in its words.
var allAuth = []string{"pap", "chap", "mschap", "mschap-v2", "eap"}

// The options file is read word by word, so what a host's own /etc/ppp/options may say is
// said again here the way it has to be: the last word counts.
type options struct{ b bytes.Buffer }

func (o *options) add(words ...string) {
	for i, w := range words {
		if i > 0 {
			o.b.WriteByte(' ')
		}
		o.b.WriteString(w)
	}
	o.b.WriteByte('\n')
}

// The time after which a peer that is silent counts as gone: a client that has lost its
// network tells nobody, and its address and its place stay taken.
const (
	echoInterval = 20 // seconds
	echoFailures = 3
)

// begin is what both ends have in common.
func begin(t *desired.PPPTunnel) *options {
	o := &options{}
	o.add(file.Header + "; changes are overwritten.")
	o.add("set", "VPNCTL="+t.Object())
	if t.MTU != 0 {
		o.add("mtu", fmt.Sprint(t.MTU))
		o.add("mru", fmt.Sprint(t.MTU))
	}
	if t.MPPE {
		o.add("require-mppe-128")
		// Only MPPE is wanted of the protocol that also negotiates compression.
		o.add("nobsdcomp")
		o.add("nodeflate")
	} else {
		o.add("noccp")
	}
	// Headers that are compressed by difference do not survive a lost packet, and nothing
	// below sends one again.
	o.add("novj")
	if t.IPv6 {
		o.add("+ipv6")
	} else {
		// Nothing but link-local addresses would come of it, and a way around rules and
		// routes that know of IPv4 alone.
		o.add("noipv6")
	}
	o.add("nodefaultroute")
	o.add("lcp-echo-interval", fmt.Sprint(echoInterval))
	o.add("lcp-echo-failure", fmt.Sprint(echoFailures))
	return o
}

// RenderOptions is a server's option file. It holds no secret.
func RenderOptions(s *desired.PPPServer) []byte {
	o := begin(&s.PPPTunnel)
	o.add("name", s.AuthName())
	o.add("auth")
	for _, a := range s.Auth {
		o.add("require-" + authWords[a])
	}
	// The server proves itself to nobody: a user's line of chap-secrets would let it, with
	// the user's password.
	for _, a := range allAuth {
		o.add("refuse-" + a)
	}
	for _, a := range s.DNS {
		o.add("ms-dns", a.String())
	}
	if s.ProxyARP {
		o.add("proxyarp")
	} else {
		o.add("noproxyarp")
	}
	o.limit("idle", s.Idle)
	o.limit("maxconnect", s.SessionLimit)
	if s.OneLogin {
		o.add("set", "VPNCTL_ONE_LOGIN=1")
	}
	if len(s.Radius) > 0 {
		o.add("plugin", "radius.so")
		o.add("plugin", "radattr.so")
		o.add("radius-config-file", radiusConfigPath(&s.PPPTunnel))
	}
	return o.b.Bytes()
}

// limit adds a duration in whole seconds; 0 says that there is none.
func (o *options) limit(name string, d time.Duration) {
	seconds := (d + time.Second - 1) / time.Second // never rounded to no limit at all
	o.add(name, fmt.Sprint(int64(seconds)))
}

// RenderPeer is a link's option file. It holds no secret: the password is in chap-secrets.
func RenderPeer(l *desired.PPPLink) []byte {
	o := begin(&l.PPPTunnel)
	o.add("set", "VPNCTL_LINK=1")
	o.add("set", quote("VPNCTL_SERVER="+l.Server))
	if routes := backend.FormatAddrs(linkRoutes(l)); len(routes) > 0 {
		o.add("set", quote("VPNCTL_ROUTES="+strings.Join(routes, " ")))
	}
	if capturesServer(l) {
		o.add("set", "VPNCTL_HOST_ROUTE=1")
	}
	o.add("set", quote("VPNCTL_USER="+l.User))
	o.add("user", quote(l.User))
	// The name of the server is ours to say: it finds the line of chap-secrets.
	o.add("remotename", l.AuthName())
	o.add("noauth")
	for _, a := range allAuth {
		if !slices.ContainsFunc(l.Auth, func(allowed string) bool { return authWords[allowed] == a }) {
			o.add("refuse-" + a)
		}
	}
	o.add("noipdefault")
	o.add("ipcp-accept-local")
	o.add("ipcp-accept-remote")
	o.add("noproxyarp")
	if l.UseDNS {
		o.add("usepeerdns")
	}
	o.limit("idle", 0)
	o.limit("maxconnect", 0)
	if l.Protocol == desired.PPTP {
		o.add("pty", quote("pptp "+l.Server+" --nohostroute --nolaunchpppd"))
	}
	return o.b.Bytes()
}

// halves are all of IPv4 in two: they go before whatever default route the host has, and
// leave it alone.
var halves = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/1"), netip.MustParsePrefix("128.0.0.0/1")}

// linkRoutes are the routes into a link's session while it is up.
func linkRoutes(l *desired.PPPLink) []netip.Prefix {
	out := slices.Clone(l.Routes)
	if l.DefaultRoute {
		out = append(out, halves...)
	}
	return out
}

// capturesServer reports whether the way to the server could lead into its own session. A
// name may be any address.
func capturesServer(l *desired.PPPLink) bool {
	a, err := netip.ParseAddr(l.Server)
	return slices.ContainsFunc(linkRoutes(l), func(p netip.Prefix) bool { return err != nil || p.Contains(a) })
}
