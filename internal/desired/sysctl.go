package desired

import "net/netip"

// The kernel settings that forwarding and tunnels need.
const (
	forward4      = "net/ipv4/ip_forward"
	forward6      = "net/ipv6/conf/all/forwarding"
	validMark     = "net/ipv4/conf/all/src_valid_mark"
	sendRedirects = "net/ipv4/conf/all/send_redirects"
)

// redirects are the settings that a gateway of IPsec turns off: where LAN and tunnel share
// an interface, its kernel would tell the LAN a shorter way than the tunnel, and would
// itself believe in one.
var redirects = []string{
	sendRedirects, "net/ipv4/conf/default/send_redirects",
	"net/ipv4/conf/all/accept_redirects", "net/ipv4/conf/default/accept_redirects",
}

// sysctl derives exactly the settings that the rest of the state needs. A family that
// nobody sends through this host is left alone: with IPv6 forwarding on, the kernel no
// longer listens to router advertisements as before.
func sysctl(interfaces []Interface, nf *Netfilter, tunnels []tunnel) map[string]string {
	keys := map[string]string{}
	v4, v6 := nf.forwards()
	if v4 {
		keys[forward4] = "1"
	}
	if v6 {
		keys[forward6] = "1"
	}
	for i := range tunnels {
		for _, key := range redirects {
			if tunnels[i].carries {
				keys[key] = "0"
			}
		}
	}
	for i := range interfaces {
		w := &interfaces[i]
		if w.Netns != "" {
			continue // it has settings of its own
		}
		// The kernel sets this by itself when the first WireGuard link comes up, and
		// never takes it back. Said here, it is remembered before and restored after.
		keys[sendRedirects] = "0"
		// The reverse path filter looks up the way back by the mark of a packet only
		// when told to; without it the answers to the tunnel's own packets are dropped.
		if w.FullTunnel(false) {
			keys[validMark] = "1"
		}
	}
	if len(keys) == 0 {
		return nil
	}
	return keys
}

// forwards reports which families are forwarded.
func (n *Netfilter) forwards() (v4, v6 bool) {
	for _, m := range n.Masquerades {
		v4, v6 = v4 || m.Source.Addr().Is4(), v6 || m.Source.Addr().Is6()
	}
	for _, f := range n.Forwards {
		is4, is6 := f.families()
		v4, v6 = v4 || is4, v6 || is6
	}
	return v4, v6
}

// families reports which families an entry lets through.
func (f *Forward) families() (v4, v6 bool) {
	for _, p := range []netip.Prefix{f.From, f.To} {
		if p.IsValid() {
			return p.Addr().Is4(), p.Addr().Is6()
		}
	}
	for _, r := range []AddrRange{f.FromRange, f.ToRange} {
		if r.From.IsValid() {
			return r.From.Is4(), r.From.Is6()
		}
	}
	return f.Family != 6, f.Family != 4
}
