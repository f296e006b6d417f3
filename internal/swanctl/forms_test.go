package swanctl_test

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/secret"
)

// form is one way to use IPsec, as a node wants it.
type form struct {
	name string
	want desired.IPsec
}

// reveal has the secrets of the forms: an id is the secret itself behind a word.
func reveal(id secret.ID) ([]byte, error) {
	value, ok := strings.CutPrefix(string(id), "secret:")
	if !ok {
		return nil, fmt.Errorf("secret %s is unknown", id)
	}
	return []byte(value), nil
}

func pointer[T any](v T) *T { return &v }

// forms are the examples, from both their ends, and every form of the contract.
func forms() []form {
	return []form{
		{"site-to-site-a", siteToSite("192.168.10.10", "192.168.20.20", "10.10.0.0/24", "10.14.0.0/24")},
		{"site-to-site-b", siteToSite("192.168.20.20", "192.168.10.10", "10.14.0.0/24", "10.10.0.0/24")},
		{"transport-ah", transport("ah", "sha256")},
		{"transport-esp", transport("esp", "aes128-sha256")},
		{"transport-ah-default", transport("ah")},
		{"windows", windows()},
		{"l2tp-server", l2tpServer()},
		{"l2tp-client", l2tpClient()},
		{"certificates", certificates()},
		{"public-keys", publicKeys()},
		{"route-based", routeBased()},
		{"children", children()},
		{"anybody", anybody()},
		{"remote-access-users", remoteAccess("eap-mschapv2")},
		{"remote-access-certificates", remoteAccess("pubkey")},
		{"dial-in", dialIn()},
		{"bypass", bypass()},
		{"odd-text", oddText()},
		{"long-text", longText()},
		{"settings", everySetting()},
		{"nothing", desired.IPsec{}},
	}
}

// between is a connection with a PSK and a child of its own name.
func between(name, here, there string) desired.Connection {
	return desired.Connection{
		Name: name, Version: 2, LocalAddrs: []string{here}, RemoteAddrs: []string{there},
		DPDDelay: 30 * time.Second,
		Local:    desired.Auth{Method: "psk", ID: here},
		Remote:   desired.Auth{Method: "psk", ID: there},
		Children: []desired.Child{{
			Name: name, Mode: "tunnel", Protocol: "esp", Hold: "trap", DPDAction: "trap",
		}},
	}
}

func psk(name, value string, owners ...string) desired.CharonSecret {
	return desired.CharonSecret{Name: "ike-" + name, Kind: "ike", Owners: owners, Secret: secret.ID("secret:" + value)}
}

func only(c desired.Connection, secrets ...desired.CharonSecret) desired.IPsec {
	return desired.IPsec{Connections: []desired.Connection{c}, Secrets: secrets}
}

func siteToSite(here, there, near, far string) desired.IPsec {
	c := between("mytunnel", here, there)
	c.RekeyTime, c.DPDTimeout = pointer(time.Hour), 2*time.Minute
	child := &c.Children[0]
	child.LocalTS, child.RemoteTS, child.Proposals = []string{near}, []string{far}, []string{"aes128-sha256"}
	child.DPDAction = "restart"
	return only(c, psk("mytunnel", "123456", here, there))
}

func transport(protocol string, proposals ...string) desired.IPsec {
	c := between("a-to-b", "10.13.0.101", "10.13.0.102")
	c.Children[0].Mode, c.Children[0].Protocol, c.Children[0].Proposals = "transport", protocol, proposals
	return only(c, psk("a-to-b", "123456", "10.13.0.101", "10.13.0.102"))
}

func windows() desired.IPsec {
	c := between("to-windows", "10.10.10.101", "10.10.10.102")
	c.Version, c.Proposals = 1, []string{"aes128-sha1-modp2048", "aes128-sha1-modp1024"}
	c.Children[0].Mode, c.Children[0].Proposals = "transport", []string{"aes128-sha1"}
	return only(c, psk("to-windows", "123456", "10.10.10.101", "10.10.10.102"))
}

func l2tp(here, there, localTS, remoteTS string) desired.Connection {
	c := between("l2tp-office", here, there)
	c.Version, c.Proposals = 1, []string{"aes128-sha256-modp2048"}
	c.Children[0].Mode, c.Children[0].Proposals = "transport", []string{"aes128-sha256"}
	c.Children[0].LocalTS, c.Children[0].RemoteTS = []string{localTS}, []string{remoteTS}
	return c
}

func l2tpServer() desired.IPsec {
	c := l2tp("10.13.0.101", "%any", "dynamic[udp/1701]", "dynamic[udp]")
	c.Remote.ID, c.Server = "%any", true
	c.Children[0].Hold, c.Children[0].DPDAction = "none", "clear"
	return only(c, psk("l2tp-office", "123456", "10.13.0.101"))
}

func l2tpClient() desired.IPsec {
	c := l2tp("10.13.0.105", "10.13.0.101", "dynamic[udp/1701]", "dynamic[udp/1701]")
	return only(c, psk("l2tp-office", "123456", "10.13.0.101"))
}

// The keys and certificates that the forms name; see credentials.
const (
	certFile, caFile, keyFile       = "vpnctl-gw.crt", "vpnctl-gw-ca.crt", "vpnctl-gw.key"
	ourPubFile, theirPubFile        = "vpnctl-raw-a.pub", "vpnctl-raw-b.pub"
	closedKeyFile, closedPassphrase = "vpnctl-closed.key", "0sNot base64: \"quoted\", \\ back#slash} and\ttab"
)

func certificates() desired.IPsec {
	c := between("pki", "192.0.2.1", "gw-b.example.net")
	c.Local = desired.Auth{Method: "pubkey", ID: "gw-a.example.net", Certs: []string{certFile}}
	c.Remote = desired.Auth{Method: "pubkey", ID: "C=DE, O=Example Ltd., CN=gw-b.example.net", CACerts: []string{caFile}}
	return only(c, desired.CharonSecret{
		Name: "private-closed", Kind: "private", File: closedKeyFile, Secret: "secret:" + closedPassphrase,
	})
}

func publicKeys() desired.IPsec {
	c := between("raw", "192.0.2.1", "192.0.2.2")
	c.Local = desired.Auth{Method: "pubkey", ID: "a.example.net", PubKeys: []string{ourPubFile}}
	c.Remote = desired.Auth{Method: "pubkey", ID: "b.example.net", PubKeys: []string{theirPubFile}}
	return only(c)
}

func routeBased() desired.IPsec {
	c := between("routed", "192.0.2.1", "192.0.2.2")
	c.IfID = 3_000_000_000
	c.Children[0].LocalTS, c.Children[0].RemoteTS = []string{"0.0.0.0/0", "::/0"}, []string{"0.0.0.0/0", "::/0"}
	return only(c, psk("routed", "secret", "192.0.2.1", "192.0.2.2"))
}

func children() desired.IPsec {
	c := between("several", "2001:db8::1", "2001:db8::2")
	c.RekeyTime = pointer(time.Duration(0))
	c.Children = []desired.Child{
		{
			Name: "four-in-six", LocalTS: []string{"10.1.0.0/16", "10.2.0.0/16"}, RemoteTS: []string{"10.3.0.0/16"},
			Mode: "tunnel", Protocol: "esp", Hold: "trap", Initiate: desired.InitiateFirst, DPDAction: "restart",
			RekeyTime: pointer(90 * time.Minute),
		},
		{
			Name: "ports", LocalTS: []string{"10.1.0.0/16[tcp/80]", "10.1.0.0/16[udp/5000-5100]"}, RemoteTS: []string{"10.4.0.1[icmp]"},
			Mode: "tunnel", Protocol: "esp", Proposals: []string{"aes256gcm16-x25519", "aes128-sha256"}, Hold: "none", DPDAction: "clear",
			RekeyTime: pointer(time.Duration(0)),
		},
		{
			Name: "whole_host", Mode: "transport", Protocol: "ah", Proposals: []string{"sha256"}, Hold: "trap", DPDAction: "trap",
		},
	}
	return only(c, psk("several", "secret", "2001:db8::1", "2001:db8::2"))
}

func anybody() desired.IPsec {
	c := between("anybody", "192.0.2.1", "%any")
	c.LocalAddrs, c.Remote.ID, c.DPDDelay = nil, "%any", 0
	c.Children[0].Hold, c.Children[0].DPDAction = "none", "clear"
	c.Children[0].RemoteTS = []string{"dynamic"}
	return only(c, psk("anybody", "secret", "192.0.2.1"))
}

func remoteAccess(method string) desired.IPsec {
	c := between("roadwarriors", "192.0.2.1", "%any")
	c.Server, c.Pools = true, []string{"roadwarriors-4", "roadwarriors-6"}
	c.Local = desired.Auth{Method: "pubkey", ID: "gw1.example.net", Certs: []string{certFile}}
	c.Remote = desired.Auth{Method: method, ID: "%any", EAPID: "%any"}
	c.Children[0].LocalTS = []string{"10.10.0.0/16", "fd00:10::/64"}
	c.Children[0].Hold, c.Children[0].DPDAction = "none", "clear"
	i := only(c)
	if method == "pubkey" {
		i.Connections[0].Remote.EAPID, i.Connections[0].Remote.CACerts = "", []string{caFile}
	} else {
		for _, user := range []string{"alice", "bob@example.net"} {
			name := "eap-roadwarriors-" + strings.ReplaceAll(strings.ReplaceAll(user, "@", "_"), ".", "_")
			i.Secrets = append(i.Secrets, desired.CharonSecret{
				Name: name, Kind: "eap", Owners: []string{user}, User: user, Secret: "secret:0x is how " + secret.ID(user) + "'s begins",
			})
		}
	}
	i.Pools = []desired.Pool{
		{Name: "roadwarriors-4", Addrs: "10.99.0.0/24", DNS: []netip.Addr{netip.MustParseAddr("10.10.0.53"), netip.MustParseAddr("10.10.0.54")}},
		{Name: "roadwarriors-6", Addrs: "fd00:99::/64", DNS: []netip.Addr{netip.MustParseAddr("fd00:10::53")}},
	}
	return i
}

func dialIn() desired.IPsec {
	c := between("roadwarriors", "%any", "gw1.example.net")
	c.LocalAddrs, c.VIPs = nil, []string{"0.0.0.0", "::"}
	c.Local = desired.Auth{Method: "eap-mschapv2", ID: "alice", EAPID: "alice"}
	c.Remote = desired.Auth{Method: "pubkey", ID: "gw1.example.net", CACerts: []string{caFile}}
	c.Children[0].RemoteTS = []string{"10.10.0.0/16"}
	return only(c, desired.CharonSecret{
		Name: "eap-roadwarriors", Kind: "eap", Owners: []string{"alice"}, User: "alice", Secret: "secret:correct horse",
	})
}

func bypass() desired.IPsec {
	i := siteToSite("192.168.10.10", "192.168.20.20", "10.10.0.0/24", "10.0.0.0/8")
	i.Bypasses = []desired.Bypass{{Name: "mytunnel-local", LocalTS: []string{"10.10.0.0/24", "fd10::/64"}}}
	return i
}

// oddText has every character in an id that charon takes, and secrets of all kinds.
func oddText() desired.IPsec {
	ids := []string{"keyid:a \"b\" \\ # { } $ % ; . , : ~", "keyid:  two  spaces  ", "CN=quoted \"x\", OU=#1", "user+tag@example.net", "keyid:only#", "keyid:only}"}
	var all strings.Builder
	for b := range 256 {
		all.WriteByte(byte(b))
	}
	c := between("odd", "192.0.2.1", "192.0.2.2")
	c.Local.ID, c.Remote.ID = ids[0], ids[1]
	return only(c,
		psk("all-bytes", all.String(), ids[2]),
		psk("looks-encoded", "0sZm9v", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j"),
		psk("odd", "a\"b\\c#d{e}f=g\nh", ids...),
		psk("one-kibibyte", strings.Repeat("0123456789abcdef", 64), ids[3]),
	)
}

// longText has the longest names and ids that are not refused.
func longText() desired.IPsec {
	long := func(size int, end string) string { return strings.Repeat("a", size-len(end)) + end }
	c := between(long(100, "-name"), "192.0.2.1", "192.0.2.2")
	c.Local.ID, c.Remote.ID = long(511, "-local"), long(511, "-remote")
	s := psk("x", "secret", long(255, "-owner"))
	s.Name = "ike-" + long(96, "-secret")
	i := only(c, s)
	i.Pools = []desired.Pool{{Name: long(100, "-pool"), Addrs: "10.0.0.0/24"}}
	return i
}

// everySetting passes on keys that have no word of their own in a topology.
func everySetting() desired.IPsec {
	c := between("settings", "192.0.2.1", "192.0.2.2")
	c.Settings = []desired.Setting{
		{Key: "childless", Value: "force"},
		{Key: "dscp", Value: "101110"},
		{Key: "encap", Value: "yes"},
		{Key: "fragmentation", Value: "force"},
		{Key: "keyingtries", Value: "0"},
		{Key: "mobike", Value: "no"},
		{Key: "over_time", Value: "600s"},
		{Key: "reauth_time", Value: "86400s"},
		{Key: "send_cert", Value: "always"},
		{Key: "unique", Value: "replace"},
	}
	c.Children[0].Settings = []desired.Setting{
		{Key: "copy_dscp", Value: "out"},
		{Key: "mark_in", Value: "0x10/0xff"},
		{Key: "mark_out", Value: "42"},
		{Key: "rekey_bytes", Value: "500m"},
		{Key: "replay_window", Value: "128"},
		{Key: "set_mark_out", Value: "0x10/0xff"},
		{Key: "updown", Value: "/usr/bin/logger -t \"updown #1\" {a}"},
	}
	return only(c, psk("settings", "secret", "192.0.2.1", "192.0.2.2"))
}
