package ipsec_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"testing"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/file"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/rtnl"
)

func fileHandler(files host.Tree) backend.Handler { return file.Handler(files) }

func route(dst, via string) rtnl.Route {
	r := rtnl.Route{Dst: netip.MustParsePrefix(dst), Table: rtnl.MainTable}
	if via != "" {
		r.Gateway = netip.MustParseAddr(via)
	}
	return r
}

// state is a wanted state of IPsec.
func state(parts ...func(i *desired.IPsec)) *desired.State {
	s := &desired.State{Site: "hq", Node: "gw-a"}
	for _, p := range parts {
		p(&s.IPsec)
	}
	return s
}

// net is a site-to-site connection that this node initiates, changed as wanted.
func net(r *rig, name string, change ...func(c *desired.Connection)) func(i *desired.IPsec) {
	c := desired.Connection{
		Name: name, Origin: "ipsec/" + name, Version: 2,
		LocalAddrs: []string{"192.168.10.10"}, RemoteAddrs: []string{"192.168.20.20"},
		Proposals: []string{"aes128-sha256-modp2048"}, DPDDelay: 30 * time.Second,
		Local:  desired.Auth{Method: "psk", ID: "192.168.10.10"},
		Remote: desired.Auth{Method: "psk", ID: "192.168.20.20"},
		Children: []desired.Child{{
			Name: name, LocalTS: []string{"10.10.0.0/24"}, RemoteTS: []string{"10.14.0.0/24"}, Mode: "tunnel",
			Protocol: "esp", Proposals: []string{"aes128-sha256"}, Hold: "trap", Initiate: desired.InitiateFirst, DPDAction: "restart",
		}},
	}
	for _, f := range change {
		f(&c)
	}
	return func(i *desired.IPsec) {
		i.Connections = append(i.Connections, c)
		if c.Local.Method == "psk" {
			i.Secrets = append(i.Secrets, desired.CharonSecret{
				Name: "ike-" + name, Kind: "ike", Owners: []string{"192.168.10.10", "192.168.20.20"}, Secret: r.secrets.put("psk of " + name),
			})
		}
	}
}

func proposals(p ...string) func(c *desired.Connection) {
	return func(c *desired.Connection) { c.Proposals = p }
}

func esp(p ...string) func(c *desired.Connection) {
	return func(c *desired.Connection) { c.Children[0].Proposals = p }
}

func initiate(how desired.Initiate) func(c *desired.Connection) {
	return func(c *desired.Connection) { c.Children[0].Initiate = how }
}

// withChild adds a child.
func withChild(name string) func(c *desired.Connection) {
	return func(c *desired.Connection) {
		ch := c.Children[0]
		ch.Name, ch.LocalTS = name, []string{"10.11.0.0/24"}
		c.Children = append(c.Children, ch)
	}
}

// psk changes the PSK of a connection.
func psk(r *rig, name, text string) func(i *desired.IPsec) {
	return func(i *desired.IPsec) {
		for k := range i.Secrets {
			if i.Secrets[k].Name == "ike-"+name {
				i.Secrets[k].Secret = r.secrets.put(text)
			}
		}
	}
}

// roadwarriors is a server with a pool and users.
func roadwarriors(r *rig, pool string, users ...string) func(i *desired.IPsec) {
	return func(i *desired.IPsec) {
		i.Connections = append(i.Connections, desired.Connection{
			Name: "rw", Origin: "ipsec/rw", Version: 2, LocalAddrs: []string{"192.168.10.10"}, RemoteAddrs: []string{"%any"},
			Local:  desired.Auth{Method: "psk", ID: "gw-a"},
			Remote: desired.Auth{Method: "eap-mschapv2", EAPID: "%any"},
			Pools:  []string{"rw-4"}, Server: true,
			Children: []desired.Child{{
				Name: "rw", LocalTS: []string{"10.10.0.0/16"}, Mode: "tunnel", Protocol: "esp", Hold: "none", DPDAction: "clear",
			}},
		})
		i.Pools = append(i.Pools, desired.Pool{Name: "rw-4", Addrs: pool, DNS: []netip.Addr{netip.MustParseAddr("10.10.0.53")}})
		for _, u := range users {
			i.Secrets = append(i.Secrets, desired.CharonSecret{
				Name: "eap-rw-" + u, Kind: "eap", Owners: []string{u}, Secret: r.secrets.put("password of " + u), User: u,
			})
		}
	}
}

// keys are made once: they take time.
var keyA, keyB = newKey(), newKey()

func newKey() []byte {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// certificates lets a connection authenticate by them.
func certificates(r *rig, name, cert string, key []byte) func(i *desired.IPsec) {
	return func(i *desired.IPsec) {
		net(r, name, func(c *desired.Connection) {
			c.Local = desired.Auth{Method: "pubkey", ID: "gw-a", Certs: []string{"vpnctl-" + name + ".crt"}}
			c.Remote = desired.Auth{Method: "pubkey", ID: "gw-b", CACerts: []string{"vpnctl-" + name + "-ca.crt"}}
		})(i)
		i.Credentials = append(i.Credentials,
			desired.Credential{Path: "/etc/swanctl/private/vpnctl-" + name + ".key", Secret: r.secrets.put(string(key)), Mode: 0o600},
			desired.Credential{Path: "/etc/swanctl/x509/vpnctl-" + name + ".crt", Data: []byte(cert), Mode: 0o644},
			desired.Credential{Path: "/etc/swanctl/x509ca/vpnctl-" + name + "-ca.crt", Data: []byte("CA of " + name), Mode: 0o644})
	}
}

func link(name string, id uint32, dst ...string) func(i *desired.IPsec) {
	return func(i *desired.IPsec) {
		l := desired.XFRMLink{Name: name, IfID: id}
		for _, d := range dst {
			l.Routes = append(l.Routes, netip.MustParsePrefix(d))
		}
		i.Links = append(i.Links, l)
	}
}

func selectorRoute(dst string) func(i *desired.IPsec) {
	return func(i *desired.IPsec) {
		i.Routes = append(i.Routes, desired.SelectorRoute{Dst: netip.MustParsePrefix(dst), Peer: "192.168.20.20"})
	}
}

func bypass(name, ts string) func(i *desired.IPsec) {
	return func(i *desired.IPsec) {
		i.Bypasses = append(i.Bypasses, desired.Bypass{Name: name, LocalTS: []string{ts}})
	}
}

// dialled is a server that nodes with certificates dial.
func dialled(r *rig, nodes ...string) func(i *desired.IPsec) {
	return func(i *desired.IPsec) {
		roadwarriors(r, "10.99.0.0/24")(i)
		c := &i.Connections[len(i.Connections)-1]
		c.Remote = desired.Auth{Method: "pubkey", ID: "%any"}
		for _, n := range nodes {
			c.Clients = append(c.Clients, desired.DialIn{Node: n, ID: n + ".example.net"})
		}
	}
}

// dialIn is a node that logs in at a server.
func dialIn(r *rig, useDNS bool) func(i *desired.IPsec) {
	return func(i *desired.IPsec) {
		i.Connections = append(i.Connections, desired.Connection{
			Name: "dial", Origin: "ipsec/dial", Version: 2, RemoteAddrs: []string{"203.0.113.1"}, VIPs: []string{"0.0.0.0"},
			Local:  desired.Auth{Method: "eap-mschapv2", ID: "alice", EAPID: "alice"},
			Remote: desired.Auth{Method: "psk", ID: "gw1"}, UseDNS: useDNS,
			Children: []desired.Child{{
				Name: "dial", RemoteTS: []string{"10.10.0.0/16"}, Mode: "tunnel", Protocol: "esp", Hold: "none",
				Initiate: desired.InitiateFirst, DPDAction: "restart",
			}},
		})
		i.Secrets = append(i.Secrets,
			desired.CharonSecret{Name: "eap-alice", Kind: "eap", Owners: []string{"alice"}, Secret: r.secrets.put("password of alice"), User: "alice"},
			desired.CharonSecret{Name: "ike-dial", Kind: "ike", Owners: []string{"alice", "gw1"}, Secret: r.secrets.put("psk of dial")})
	}
}

// named is a state with a name for messages.
type named struct {
	name string
	*desired.State
}

// states are those that the walks visit.
func (r *rig) states() []named {
	routeBased := func(c *desired.Connection) { c.IfID = 7 }
	v1 := func(c *desired.Connection) { c.Version = 1 }
	rekey := func(c *desired.Connection) { d := time.Hour; c.RekeyTime = &d }
	ah := func(c *desired.Connection) {
		c.Children[0].Protocol, c.Children[0].Proposals = "ah", []string{"sha256"}
	}
	transport := func(c *desired.Connection) {
		c.Children[0].Mode, c.Children[0].LocalTS, c.Children[0].RemoteTS = "transport", nil, nil
	}
	ts := func(c *desired.Connection) { c.Children[0].RemoteTS = []string{"10.14.0.0/24", "10.15.0.0/24[tcp/80]"} }
	remote := func(a ...string) func(c *desired.Connection) {
		return func(c *desired.Connection) { c.RemoteAddrs = a }
	}
	set := func(key, value string) func(c *desired.Connection) {
		return func(c *desired.Connection) { c.Settings = []desired.Setting{{Key: key, Value: value}} }
	}
	return []named{
		{"empty", state()},
		{"one", state(net(r, "a"))},
		{"one, other IKE proposals", state(net(r, "a", proposals("aes256-sha384-ecp256")))},
		{"one, other ESP proposals", state(net(r, "a", esp("aes256gcm16")))},
		{"one, both", state(net(r, "a", proposals("aes256-sha384-ecp256"), esp("aes256gcm16")))},
		{"one, other PSK", state(net(r, "a"), psk(r, "a", "another psk"))},
		{"one, AH", state(net(r, "a", ah))},
		{"one, transport", state(net(r, "a", transport))},
		{"one, IKEv1", state(net(r, "a", v1))},
		{"one, rekeyed hourly", state(net(r, "a", rekey))},
		{"one, other selectors", state(net(r, "a", ts))},
		{"one, from anywhere", state(net(r, "a", remote("%any"), initiate(desired.InitiateNever)))},
		{"one, at a name", state(net(r, "a", remote("gw-b.example.net")))},
		{"one, mobike off", state(net(r, "a", set("mobike", "no")))},
		{"one, encapsulated", state(net(r, "a", set("encap", "yes")))},
		{"one, second", state(net(r, "a", initiate(desired.InitiateSecond)))},
		{"two children", state(net(r, "a", withChild("a2")))},
		{"two children, one changed", state(net(r, "a", withChild("a2"), esp("aes256gcm16")))},
		{"three children", state(net(r, "a", withChild("a2"), withChild("a3")))},
		{"another name", state(net(r, "b"))},
		{"two", state(net(r, "a"), net(r, "b"))},
		{"two, one changed", state(net(r, "a"), net(r, "b", esp("aes256gcm16")))},
		{"two, both changed", state(net(r, "a", rekey), net(r, "b", proposals("aes256-sha384-ecp256")))},
		{"three", state(net(r, "a"), net(r, "b"), net(r, "c"))},
		{"certificates", state(certificates(r, "a", "certificate 1", keyA))},
		{"certificates, renewed", state(certificates(r, "a", "certificate 2", keyB))},
		{"certificates and PSK", state(certificates(r, "a", "certificate 1", keyA), net(r, "b"))},
		{"server", state(roadwarriors(r, "10.99.0.0/24", "alice"))},
		{"server, two users", state(roadwarriors(r, "10.99.0.0/24", "alice", "bob"))},
		{"server, other pool", state(roadwarriors(r, "10.98.0.0/24", "alice", "bob"))},
		{"server and tunnel", state(net(r, "a"), roadwarriors(r, "10.99.0.0/24", "alice"))},
		{"route-based", state(net(r, "a", routeBased), link("xfrm0", 7, "10.14.0.0/24"))},
		{"route-based, other id", state(net(r, "a", routeBased), link("xfrm0", 8, "10.14.0.0/24", "10.15.0.0/24"))},
		{"two links", state(net(r, "a", routeBased), link("xfrm0", 7, "10.14.0.0/24"), link("xfrm1", 9))},
		{"with a route", state(net(r, "a"), selectorRoute("10.14.0.0/24"))},
		{"with routes", state(net(r, "a"), selectorRoute("10.14.0.0/24"), selectorRoute("fd14::/64"))},
		{"client", state(dialIn(r, false))},
		{"client and tunnel", state(net(r, "a"), dialIn(r, false))},
		{"client with resolvers", state(net(r, "a"), dialIn(r, true))},
		{"L2TP server", state(l2tp(r, "vpn"))},
		{"L2TP server, other proposals, and tunnel", state(l2tp(r, "vpn", "aes128-sha256-modp2048", "aes256-sha384-ecp256", "aes128-sha256]", "aes256gcm16]"), net(r, "a"))},
		{"L2TP server, other key", state(l2tp(r, "vpn", `psk: {value: "123456"}`, "psk: {value: other}"))},
		{"L2TP client", state(l2tp(r, "branch"))},
		{"with a bypass", state(net(r, "a"), bypass("vpnctl-bypass-a", "10.10.0.0/24"))},
		{"with another bypass", state(net(r, "a"), bypass("vpnctl-bypass-a", "10.10.0.0/16"))},
	}
}

func TestStates(t *testing.T) {
	if n := len(newRig(t).states()); n < 30 {
		t.Fatalf("only %d states", n)
	}
}
