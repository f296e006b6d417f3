package desired

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/topology"
)

// site is a random topology: the lines of its mappings, in any order.
type site struct {
	hub                           string
	nodes, members, peers, others []string
}

// randomSite makes a topology in which everybody may reach everybody: members that can
// be dialled, in a mesh or around a hub, networks, foreign peers with and without via.
func randomSite(r *rand.Rand) *site {
	s := &site{}
	n := 1 + r.IntN(6)
	names := make([]string, n)
	for i := range names {
		names[i] = "n" + strconv.Itoa(i)
		s.nodes = append(s.nodes, fmt.Sprintf("%s: {addresses: [192.0.2.%d]}", names[i], i+1))
		more := ""
		if n > 1 && r.IntN(2) == 0 {
			more += fmt.Sprintf(", networks: [10.%d.0.0/16, 'fd%02x::/32']", 100+i, i+1)
		}
		if r.IntN(4) == 0 {
			more += fmt.Sprintf(", endpoint: 'h%d.example.net:%d'", i, 1000+i)
		}
		s.members = append(s.members, fmt.Sprintf("%s: {addresses: [10.0.0.%d/24, 'fd00::%d/64'], public_key: pub(%s), private_key: {value: priv(%s)}%s}",
			names[i], i+1, i+1, names[i], names[i], more))
	}
	if r.IntN(2) == 0 {
		s.hub = names[r.IntN(n)]
	}
	for i := range r.IntN(6) {
		more := ""
		if r.IntN(2) == 0 {
			via := slices.Clone(names)
			r.Shuffle(n, func(i, j int) { via[i], via[j] = via[j], via[i] })
			more = ", via: [" + strings.Join(via[:1+r.IntN(n)], ", ") + "]"
		}
		s.peers = append(s.peers, fmt.Sprintf("p%d: {addresses: [10.0.1.%d/32, 'fd00::1:%d/128'], public_key: pub(p%d)%s}", i, i+1, i+1, i, more))
	}
	s.others = []string{"preshared_key: {value: psk(all)}", "listen_port: 51820"}
	return s
}

// text writes the site with its mappings in the order that r gives.
func (s *site) text(r *rand.Rand) string {
	shuffled := func(lines []string, indent string) string {
		lines = slices.Clone(lines)
		r.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
		var b strings.Builder
		for _, l := range lines {
			b.WriteString(indent + l + "\n")
		}
		return b.String()
	}
	network := slices.Clone(s.others)
	if s.hub != "" {
		network = append(network, "hub: "+s.hub)
	}
	if len(s.peers) > 0 {
		network = append(network, "peers:\n"+strings.TrimRight(shuffled(s.peers, "      "), "\n"))
	}
	network = append(network, "members:\n"+strings.TrimRight(shuffled(s.members, "      "), "\n"))
	return shuffled([]string{
		"version: 1", "site: random",
		"nodes:\n" + strings.TrimRight(shuffled(s.nodes, "  "), "\n"),
		"wireguard:\n  wg0:\n" + strings.TrimRight(shuffled(network, "    "), "\n"),
	}, "")
}

// world is what all nodes of a site hold.
type world map[string]*State

func deriveAll(t *testing.T, top *topology.Topology) world {
	t.Helper()
	w := world{}
	for _, n := range top.Nodes {
		s, err := Derive(top, n.Name, &keyring{})
		if err != nil {
			t.Fatal(err)
		}
		w[n.Name] = s
	}
	return w
}

// TestRandomSites checks, on random topologies, what must hold whatever the roles are.
func TestRandomSites(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		s := randomSite(r)
		text := s.text(r)
		top := parse(t, text)
		w := deriveAll(t, top)
		w.checkPeers(t)
		w.checkReach(t, top)
		if diff := cmp.Diff(w, deriveAll(t, parse(t, s.text(r))), addrs); diff != "" {
			t.Errorf("another order of the file gives another state (-first +second)\n%s", diff)
		}
		if t.Failed() {
			t.Fatalf("topology:\n%s", text)
		}
	}
}

// checkPeers: no allowed IP is on two peers of an interface, or its own; who has a member
// as a peer is that member's peer, with the same preshared key.
func (w world) checkPeers(t *testing.T) {
	for node, s := range w {
		i := &s.Interfaces[0]
		owners := map[netip.Prefix]string{}
		for _, a := range hostPrefixes(i.Addresses) {
			owners[a] = "itself"
		}
		for _, p := range i.Peers {
			for _, a := range p.AllowedIPs {
				if owner, twice := owners[a]; twice {
					t.Errorf("on %s, %s is an allowed IP of %s and %s", node, a, owner, p.Name)
				}
				owners[a] = p.Name
			}
			if !slices.IsSortedFunc(p.AllowedIPs, comparePrefixes) {
				t.Errorf("on %s, allowed IPs of %s are not sorted: %v", node, p.Name, p.AllowedIPs)
			}
			other := w[p.Name]
			if other == nil {
				continue // no node
			}
			if back := other.peer(node); back == nil || back.PresharedKey != p.PresharedKey {
				t.Errorf("%s has %s as a peer, which has %v", node, p.Name, back)
			}
		}
	}
}

// checkReach: from every node a packet finds its way to everybody's addresses and
// networks, each hop passes it on and takes it from the one before.
func (w world) checkReach(t *testing.T, top *topology.Topology) {
	n := &top.WireGuard[0]
	for from, s := range w {
		for i := range n.Members {
			if m := &n.Members[i]; m.Node != from {
				w.send(t, s, m.Node, slices.Concat(hostPrefixes(m.Addresses), m.Networks))
			}
		}
		for i := range n.Peers {
			w.send(t, s, n.Peers[i].Name, hostPrefixes(n.Peers[i].Addresses))
		}
	}
}

func (w world) send(t *testing.T, from *State, to string, prefixes []netip.Prefix) {
	for _, p := range prefixes {
		if err := w.walk(from, to, p); err != nil {
			t.Errorf("from %s to %s, %s: %v", from.Node, to, p, err)
		}
	}
}

func (w world) walk(from *State, to string, dst netip.Prefix) error {
	v6 := dst.Addr().Is6()
	source := hostPrefixes(ofFamily(from.Interfaces[0].Addresses, v6))[0]
	at := from
	for hops := 0; hops <= len(w); hops++ {
		next := at.holder(dst)
		if next == nil || next.Name == to && w[to] == nil {
			if next == nil {
				return fmt.Errorf("%s has no peer for it", at.Node)
			}
			return nil // a foreign peer: what it holds is not ours to know
		}
		s := w[next.Name]
		if s == nil {
			return fmt.Errorf("%s sends it to %s", at.Node, next.Name)
		}
		if back := s.holder(source); back == nil || back.Name != at.Node {
			return fmt.Errorf("%s does not take %s from %s", s.Node, source, at.Node)
		}
		if s.Node == to {
			return nil
		}
		if !s.relays(v6) {
			return fmt.Errorf("%s does not forward it", s.Node)
		}
		at = s
	}
	return fmt.Errorf("it goes round in circles")
}

// holder is the peer that has a prefix among its allowed IPs.
func (s *State) holder(dst netip.Prefix) *Peer {
	for i := range s.Interfaces[0].Peers {
		if p := &s.Interfaces[0].Peers[i]; slices.Contains(p.AllowedIPs, dst) {
			return p
		}
	}
	return nil
}

func (s *State) peer(name string) *Peer {
	for i := range s.Interfaces[0].Peers {
		if p := &s.Interfaces[0].Peers[i]; p.Name == name {
			return p
		}
	}
	return nil
}

// relays reports whether the node passes packets of a family from peer to peer.
func (s *State) relays(v6 bool) bool {
	key := forward4
	if v6 {
		key = forward6
	}
	return s.Sysctl[key] == "1" && slices.ContainsFunc(s.Netfilter.Forwards, func(f Forward) bool {
		is4, is6 := f.families()
		return f.In == "wg0" && f.Out == "wg0" && !f.Answers && (v6 && is6 || !v6 && is4)
	})
}

// starOf is a hub with n foreign peers and one spoke.
func starOf(n int) *topology.Topology {
	hub := topology.Member{Node: "hub", Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/8")}, PublicKey: keyOf("hub")}
	spoke := topology.Member{Node: "spoke", Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/8")}, PublicKey: keyOf("spoke"),
		Networks: []netip.Prefix{netip.MustParsePrefix("172.16.0.0/12")}}
	star := topology.Network{Name: "wg0", Hub: "hub", Members: []topology.Member{hub, spoke}}
	via := []string{"hub"}
	for i := range n {
		a := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
		star.Peers = append(star.Peers, topology.Peer{
			Name: fmt.Sprintf("p%05d", i), Addresses: []netip.Prefix{netip.PrefixFrom(a, 32)}, PublicKey: keyOf(strconv.Itoa(i)), Via: via,
		})
	}
	return &topology.Topology{
		Site: "star", Nodes: []topology.Node{{Name: "hub"}, {Name: "spoke"}}, WireGuard: []topology.Network{star},
		NAT: []topology.NATRule{{Node: "spoke", Sources: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/18")}, Out: OutAuto}},
	}
}

// BenchmarkDerive shows that the time a peer costs does not grow with their number.
func BenchmarkDerive(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		top := starOf(n)
		for i := range top.WireGuard[0].Members {
			top.WireGuard[0].Members[i].PrivateKey = &secret.Ref{Origin: secret.File, Name: "key"}
		}
		for _, node := range []string{"hub", "spoke"} {
			b.Run(fmt.Sprintf("%s/%d", node, n), func(b *testing.B) {
				for b.Loop() {
					if _, err := Derive(top, node, Masked); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/peer")
			})
		}
	}
}
