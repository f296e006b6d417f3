package desired

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/topology"
)

// keyOf makes a private key of a word, so that tests need no real ones.
func keyOf(word string) wgtypes.Key {
	k := wgtypes.Key(sha256.Sum256([]byte(word)))
	k[0] &= 248
	k[31] = k[31]&127 | 64
	return k
}

var words = regexp.MustCompile(`(priv|pub|psk)\(([^)]*)\)`)

// expandKeys writes the keys that a topology of a test names: priv(a) and pub(a) belong
// together, psk(a) is a preshared key.
func expandKeys(text string) string {
	return words.ReplaceAllStringFunc(text, func(s string) string {
		m := words.FindStringSubmatch(s)
		if m[1] == "pub" {
			return keyOf("priv " + m[2]).PublicKey().String()
		}
		return keyOf(m[1] + " " + m[2]).String()
	})
}

func parse(t testing.TB, text string) *topology.Topology {
	t.Helper()
	top, _, err := topology.Parse("site.yaml", []byte(expandKeys(text)))
	if err != nil {
		t.Fatalf("topology of the test:\n%v", err)
	}
	return top
}

// addrs compares addresses as ==.
var addrs = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

// keyring is a Source of what stands in the topology itself and of some files. Its ids
// are the values: only tests may do that.
type keyring struct {
	files map[string]string
	reads map[string]int
}

func (k *keyring) Value(ref *secret.Ref) (secret.Value, error) {
	if ref.Origin == secret.Inline {
		return ref.Value, nil
	}
	if k.reads != nil {
		k.reads[ref.Name]++
	}
	data, ok := k.files[ref.Name]
	if !ok {
		return secret.Value{}, fmt.Errorf("%s: %w", ref, fs.ErrNotExist)
	}
	return secret.New([]byte(expandKeys(data))), nil
}

func (k *keyring) ID(_ *secret.Ref, v secret.Value) secret.ID { return secret.ID(v.Reveal()) }

func derive(t testing.TB, text, node string) *State {
	t.Helper()
	s, err := Derive(parse(t, text), node, &keyring{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// show prints a state compactly, in the manner of wg(8).
func show(s *State) string {
	var b strings.Builder
	for i := range s.Interfaces {
		showInterface(&b, &s.Interfaces[i])
	}
	showIPsec(&b, &s.IPsec)
	showPPP(&b, &s.PPP)
	showNetfilter(&b, &s.Netfilter)
	for _, key := range slices.Sorted(maps.Keys(s.Sysctl)) {
		fmt.Fprintf(&b, "sysctl %s=%s\n", key, s.Sysctl[key])
	}
	for _, f := range s.Files {
		fmt.Fprintf(&b, "file %s %04o\n", f.Path, f.Mode)
	}
	for _, m := range s.Modules {
		fmt.Fprintf(&b, "module %s\n", m)
	}
	return b.String()
}

func showInterface(b *strings.Builder, i *Interface) {
	fmt.Fprintf(b, "interface %s %s", i.Name, join2(i.Addresses))
	option(b, "port", i.ListenPort)
	option(b, "mtu", i.MTU)
	option(b, "fwmark", i.FirewallMark)
	option(b, "netns", i.Netns)
	option(b, "table", i.Table)
	option(b, "dns", strings.Join(append(slices.Clone(i.DNS), i.Search...), ","))
	b.WriteString("\n")
	for name, lines := range map[string][]string{
		"pre_up": i.Hooks.PreUp, "post_up": i.Hooks.PostUp, "pre_down": i.Hooks.PreDown, "post_down": i.Hooks.PostDown,
	} {
		for _, l := range lines {
			fmt.Fprintf(b, "  %s: %s\n", name, l)
		}
	}
	for _, p := range i.Peers {
		fmt.Fprintf(b, "  peer %s [%s]", p.Name, join2(p.AllowedIPs))
		if !p.Endpoint.IsZero() {
			option(b, "endpoint", fmt.Sprintf("%s %d", p.Endpoint.Host, p.Endpoint.Port))
		}
		option(b, "keepalive", p.PersistentKeepalive)
		option(b, "psk", p.PresharedKey)
		b.WriteString("\n")
	}
}

func showNetfilter(b *strings.Builder, n *Netfilter) {
	for _, m := range n.Masquerades {
		fmt.Fprintf(b, "masquerade %s out %s", m.Source, m.Out)
		option(b, "snat", m.SNAT)
		b.WriteString("\n")
	}
	for _, f := range n.Forwards {
		b.WriteString("forward")
		option(b, "in", f.In)
		option(b, "from", f.From)
		option(b, "from", f.FromRange)
		option(b, "out", f.Out)
		option(b, "to", f.To)
		option(b, "to", f.ToRange)
		option(b, "family", f.Family)
		if f.Answers {
			b.WriteString(" answers")
		}
		option(b, "ipsec", f.IPsec)
		b.WriteString("\n")
	}
	for _, c := range n.Clamps {
		b.WriteString("clamp")
		option(b, "out", c.Interface)
		option(b, "local", c.Local)
		option(b, "remote", c.Remote)
		option(b, "family", c.Family)
		option(b, "mss", c.MSS)
		b.WriteString("\n")
	}
	for _, a := range n.AntiSpoofs {
		fmt.Fprintf(b, "anti-spoof %s %v mark %d\n", a.Interface, a.Addresses, a.Mark)
	}
	for _, o := range n.OpenPorts {
		fmt.Fprintf(b, "open %s/%d", o.Protocol, o.Port)
		option(b, "dialled", o.Dialled)
		option(b, "family", o.Family)
		b.WriteString("\n")
	}
	for _, name := range n.Inner {
		fmt.Fprintf(b, "inner %s\n", name)
	}
	for _, i := range n.InnerIPsec {
		b.WriteString("inner ipsec")
		option(b, "local", i.Local)
		option(b, "remote", i.Remote)
		b.WriteString("\n")
	}
	for _, i := range n.InnerLinks {
		fmt.Fprintf(b, "inner %s", i.Interface)
		option(b, "remote", i.Remote)
		option(b, "remote", i.RemoteRange)
		option(b, "answers", i.Answers)
		b.WriteString("\n")
	}
	for _, d := range n.Drops {
		fmt.Fprintf(b, "drop udp/%d", d.Port)
		for _, p := range d.Peers {
			option(b, "peer", p)
		}
		for _, p := range d.Except {
			option(b, "except", p)
		}
		b.WriteString("\n")
	}
	for _, h := range n.Helpers {
		fmt.Fprintf(b, "helper %s tcp/%d from %s\n", h.Name, h.Port, h.Source)
	}
	for _, e := range n.Exempts {
		b.WriteString("exempt")
		option(b, "from", e.Source)
		option(b, "to", e.Dest)
		showPorts(b, e.Ports)
	}
	for _, g := range n.Guards {
		b.WriteString("guard")
		option(b, "from", g.Source)
		option(b, "to", g.Dest)
		option(b, "on", g.Interface)
		for _, p := range g.Peers {
			option(b, "peer", p)
		}
		for _, l := range g.Local {
			option(b, "local", l)
		}
		showPorts(b, g.Ports)
	}
}

func showPorts(b *strings.Builder, p Ports) {
	option(b, "protocol", p.Protocol)
	option(b, "sport", p.SourcePort)
	option(b, "dport", p.Port)
	b.WriteString("\n")
}

// showIPsec prints what charon holds in the manner of swanctl.conf, what is default left
// out.
func showIPsec(b *strings.Builder, i *IPsec) {
	for k := range i.Connections {
		showConnection(b, &i.Connections[k])
	}
	for _, p := range i.Pools {
		fmt.Fprintf(b, "pool %s %s", p.Name, p.Addrs)
		for _, a := range p.DNS {
			option(b, "dns", a)
		}
		b.WriteString("\n")
	}
	for _, s := range i.Secrets {
		fmt.Fprintf(b, "secret %s %s [%s]", s.Name, s.Secret, strings.Join(s.Owners, " "))
		option(b, "file", s.File)
		b.WriteString("\n")
	}
	for _, c := range i.Credentials {
		fmt.Fprintf(b, "credential %s %04o\n", strings.TrimPrefix(c.Path, "/etc/swanctl/"), c.Mode)
	}
	for _, l := range i.Links {
		fmt.Fprintf(b, "link %s [%s]\n", l.Name, join2(l.Routes))
	}
	for _, r := range i.Routes {
		fmt.Fprintf(b, "route %s by %s\n", r.Dst, r.Peer)
	}
	for _, p := range i.Bypasses {
		fmt.Fprintf(b, "bypass %s [%s]\n", p.Name, strings.Join(p.LocalTS, " "))
	}
}

func showConnection(b *strings.Builder, c *Connection) {
	fmt.Fprintf(b, "connection %s v%d [%s] [%s]", c.Name, c.Version, strings.Join(c.LocalAddrs, " "), strings.Join(c.RemoteAddrs, " "))
	option(b, "proposals", strings.Join(c.Proposals, ","))
	if c.RekeyTime != nil {
		option(b, "rekey", c.RekeyTime.String())
	}
	if c.DPDDelay != 30*time.Second {
		fmt.Fprintf(b, " dpd %s", c.DPDDelay)
	}
	option(b, "timeout", c.DPDTimeout)
	for _, s := range c.Settings {
		option(b, s.Key, s.Value)
	}
	option(b, "pools", strings.Join(c.Pools, ","))
	option(b, "vips", strings.Join(c.VIPs, ","))
	for name, set := range map[string]bool{" routed": c.IfID != 0, " use_dns": c.UseDNS, " default_route": c.DefaultRoute} {
		if set {
			b.WriteString(name)
		}
	}
	for _, d := range c.Clients {
		fmt.Fprintf(b, " client %s %s", d.Node, d.ID)
	}
	b.WriteString("\n")
	for _, a := range []struct {
		name string
		Auth
	}{{"local", c.Local}, {"remote", c.Remote}} {
		fmt.Fprintf(b, "  %s %s %s", a.name, a.Method, a.ID)
		option(b, "eap", a.EAPID)
		option(b, "certs", strings.Join(a.Certs, ","))
		option(b, "cacerts", strings.Join(a.CACerts, ","))
		option(b, "pubkeys", strings.Join(a.PubKeys, ","))
		b.WriteString("\n")
	}
	for k := range c.Children {
		ch := &c.Children[k]
		fmt.Fprintf(b, "  child %s %s %s [%s] [%s]", ch.Name, ch.Mode, ch.Protocol, strings.Join(ch.LocalTS, " "), strings.Join(ch.RemoteTS, " "))
		option(b, "proposals", strings.Join(ch.Proposals, ","))
		if ch.RekeyTime != nil {
			option(b, "rekey", ch.RekeyTime.String())
		}
		fmt.Fprintf(b, " hold %s dpd %s", ch.Hold, ch.DPDAction)
		option(b, "initiate", ch.Initiate)
		for _, s := range ch.Settings {
			option(b, s.Key, s.Value)
		}
		b.WriteString("\n")
	}
}

// showPPP prints servers and links.
func showPPP(b *strings.Builder, p *PPP) {
	for i := range p.Servers {
		s := &p.Servers[i]
		fmt.Fprintf(b, "server %s %s pools %v", s.Object(), s.LocalIP, s.Pools)
		showPPPTunnel(b, &s.PPPTunnel)
		for _, a := range s.DNS {
			option(b, "dns", a)
		}
		option(b, "idle", s.Idle)
		option(b, "session_limit", s.SessionLimit)
		option(b, "max_sessions", s.MaxSessions)
		option(b, "one_login", s.OneLogin)
		option(b, "proxy_arp", s.ProxyARP)
		b.WriteString("\n")
		for _, u := range s.Users {
			fmt.Fprintf(b, "  user %s %s", u.Name, u.Password)
			option(b, "address", u.Address)
			b.WriteString("\n")
		}
		for _, n := range s.Networks {
			fmt.Fprintf(b, "  behind %s %s\n", n.User, join2(n.Prefixes))
		}
		for _, r := range s.Radius {
			fmt.Fprintf(b, "  radius %s %d %d %s\n", r.Host, r.AuthPort, r.AcctPort, r.Secret)
		}
	}
	for i := range p.Links {
		l := &p.Links[i]
		fmt.Fprintf(b, "dial %s %s %s user %s %s", l.Object(), l.Server, l.LocalIP, l.User, l.Password)
		showPPPTunnel(b, &l.PPPTunnel)
		option(b, "routes", join2(l.Routes))
		option(b, "default_route", l.DefaultRoute)
		option(b, "use_dns", l.UseDNS)
		b.WriteString("\n")
	}
}

func showPPPTunnel(b *strings.Builder, t *PPPTunnel) {
	fmt.Fprintf(b, " auth %s", strings.Join(t.Auth, ","))
	option(b, "ipsec", t.IPsec)
	option(b, "mppe", t.MPPE)
	option(b, "mtu", t.MTU)
	option(b, "ipv6", t.IPv6)
}

// option prints what is not the zero of its type.
func option[T comparable](b *strings.Builder, name string, v T) {
	if v != *new(T) {
		fmt.Fprintf(b, " %s %v", name, v)
	}
}

func join2(prefixes []netip.Prefix) string {
	words := make([]string, len(prefixes))
	for i, p := range prefixes {
		words[i] = p.String()
	}
	return strings.Join(words, " ")
}

// unindent takes the indent of its first line off a text.
func unindent(text string) string {
	text = strings.TrimPrefix(text, "\n")
	indent := text[:len(text)-len(strings.TrimLeft(text, "\t"))]
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimPrefix(line, indent))
	}
	return strings.TrimRight(b.String(), "\t")
}

// decoding is a Source that decodes as secret.Resolver does.
type decoding struct{ *keyring }

func (d decoding) Value(ref *secret.Ref) (secret.Value, error) {
	v, err := d.keyring.Value(ref)
	if err != nil || ref.Encoding != secret.Hex {
		return v, err
	}
	b, err := hex.DecodeString(string(v.Reveal()))
	if err != nil {
		return v, nil // left for the reader of the key to refuse
	}
	return secret.New(b), nil
}
