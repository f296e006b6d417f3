package desired

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// randomConnections are connections among nodes, in any order, with some of everything
// that both ends see.
func randomConnections(r *rand.Rand) string {
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	nodes := []string{"a: {addresses: [192.0.2.1]}", "b: {addresses: [198.51.100.2, '2001:db8::2']}", "c: {addresses: [c.example.net]}", "d: {}"}
	names := []string{"a", "b", "c", "d"}
	var conns []string
	for i := range 1 + r.IntN(4) {
		one := r.IntN(3)
		two := (one + 1 + r.IntN(3)) % 4
		end := func(n int, side int) string {
			more := []string{}
			if s := pick("", fmt.Sprintf("10.%d.%d.0/24", i, side), fmt.Sprintf("10.%d.%d.5-10.%d.%d.9", i, side, i, side), "dynamic", fmt.Sprintf("'10.%d.%d.0/24[tcp/80]'", i, side)); s != "" {
				more = append(more, "subnets: ["+s+pick("", fmt.Sprintf(", 'fd%02x:%x::/64'", i, side))+"]")
			}
			if r.IntN(3) == 0 {
				more = append(more, fmt.Sprintf("id: id%d", side))
			}
			return "      " + names[n] + ": {" + strings.Join(more, ", ") + "}"
		}
		lines := []string{
			// One key for all: charon cannot tell two apart that two ends share.
			"    auth: {psk: {value: psk}}",
			"    mode: " + pick("tunnel", "tunnel", "transport"), "    ike_version: " + pick("1", "2"),
			"    ike_proposals: [" + pick("aes128-sha256-modp2048", "aes256-sha512-ecp256") + "]",
			"    esp_proposals: [" + pick("aes128-sha256", "aes256gcm16") + "]", "    child_rekey: " + pick("1h", "30m"),
			"    dpd: {delay: " + pick("5s", "30s") + "}", "    encap: " + pick("yes", "no"), "    copy_df: " + pick("yes", "no"),
		}
		if r.IntN(2) == 0 {
			lines = append(lines, fmt.Sprintf("    interface: xfrm%d", i))
		}
		if r.IntN(2) == 0 {
			lines = append(lines, "    fail_closed: "+pick("true", "false"))
		}
		lines = append(lines, "    ends:\n"+strings.Join(shuffle(r, end(one, 0), end(two, 1)), "\n"))
		if action := pick("start", "trap", "none", ""); action != "" {
			lines = append(lines, "    start_action: "+action)
		}
		conns = append(conns, fmt.Sprintf("  conn%d:\n", i)+strings.Join(shuffle(r, lines...), "\n"))
	}
	return "version: 1\nsite: test\nnodes:\n  " + strings.Join(shuffle(r, nodes...), "\n  ") + "\nipsec:\n" + strings.Join(shuffle(r, conns...), "\n") + "\n"
}

func shuffle(r *rand.Rand, lines ...string) []string {
	r.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	return lines
}

// TestMirror: what one node of a connection holds is the mirror image of what the other
// does, on every run alike, and it survives JSON.
func TestMirror(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	connections := 0
	for range 300 {
		text := randomConnections(r)
		top := parse(t, text)
		w := deriveAll(t, top)
		if diff := cmp.Diff(w, deriveAll(t, parse(t, text)), addrs); diff != "" {
			t.Errorf("another run (-first +second)\n%s", diff)
		}
		for i := range top.IPsec {
			c := &top.IPsec[i]
			one, two := w[c.Ends[0].Name], w[c.Ends[1].Name]
			mirrored(t, one, two, c.Name)
			mirrored(t, two, one, c.Name)
			connections++
		}
		for node, s := range w {
			checkIPsec(t, node, s)
		}
		if t.Failed() {
			t.Fatalf("topology:\n%s", text)
		}
	}
	if connections == 0 {
		t.Error("no connection was looked at")
	}
}

// mirrored compares what two nodes hold of a connection.
func mirrored(t *testing.T, s, other *State, name string) {
	a, b := s.connection(name), other.connection(name)
	if a == nil || b == nil {
		t.Fatalf("%s: %s has %v, %s has %v", name, s.Node, a, other.Node, b)
	}
	image := *b
	image.Local, image.Remote = b.Remote, b.Local
	image.Children = slices.Clone(b.Children)
	starting := 0
	for i := range image.Children {
		ch := &image.Children[i]
		ch.LocalTS, ch.RemoteTS = ch.RemoteTS, ch.LocalTS
		starting += len(a.Children[i].Initiate) + len(ch.Initiate)
		if a.Children[i].Initiate != InitiateNever && a.Children[i].Initiate == ch.Initiate {
			t.Errorf("%s: both initiate %s", name, ch.Initiate)
		}
		if a.Children[i].Initiate == InitiateSecond && ch.Initiate != InitiateFirst {
			t.Errorf("%s: nobody initiates first", name)
		}
	}
	// Which addresses a node has and knows of the other, and what it can do towards it, is
	// each node's own.
	unlike := cmp.Options{cmpopts.IgnoreFields(Connection{}, "LocalAddrs", "RemoteAddrs"),
		cmpopts.IgnoreFields(Child{}, "Hold", "Initiate", "DPDAction")}
	if diff := cmp.Diff(*a, image, unlike); diff != "" {
		t.Errorf("%s: on %s, and the mirror of that on %s\n%s", name, s.Node, other.Node, diff)
	}
	if diff := cmp.Diff(s.secretOf("ike-"+name), other.secretOf("ike-"+name)); diff != "" {
		t.Errorf("%s: secret\n%s", name, diff)
	}
}

// checkIPsec checks what must hold on every node.
func checkIPsec(t *testing.T, node string, s *State) {
	ids := map[uint32]string{}
	for _, l := range s.IPsec.Links {
		if ids[l.IfID] != "" || l.IfID == 0 {
			t.Errorf("%s: if_id %d of %s is none of its own", node, l.IfID, l.Name)
		}
		ids[l.IfID] = l.Name
		for _, p := range l.Routes {
			if p.Bits() == 0 {
				t.Errorf("%s: default route into %s", node, l.Name)
			}
		}
	}
	for _, c := range s.IPsec.Connections {
		for _, ch := range c.Children {
			if ch.Hold == "start" || ch.Hold == "trap" && slices.Contains(c.RemoteAddrs, anywhere) {
				t.Errorf("%s: %s holds %s towards %v", node, c.Name, ch.Hold, c.RemoteAddrs)
			}
		}
		guarded := slices.ContainsFunc(s.Netfilter.Guards, func(g Guard) bool { return g.Object == "nat/"+node+"/guard/"+c.Name })
		if guarded && !c.FailClosed {
			t.Errorf("%s: %s is guarded, and need not be", node, c.Name)
		}
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	back := &State{}
	if err := json.Unmarshal(text, back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, back, addrs); diff != "" {
		t.Errorf("%s: through JSON (-want +got)\n%s", node, diff)
	}
}

func (s *State) connection(name string) *Connection {
	for i := range s.IPsec.Connections {
		if c := &s.IPsec.Connections[i]; c.Name == name {
			return c
		}
	}
	return nil
}

func (s *State) secretOf(name string) *CharonSecret {
	for i := range s.IPsec.Secrets {
		if c := &s.IPsec.Secrets[i]; c.Name == name {
			return c
		}
	}
	return nil
}

// TestMSS: the arithmetic of a clamp, by hand: 1500 less 20 of IPv4, 8 of UDP, 8 of ESP,
// 16 of the vector and 32 of the checksum is 1416, in whole blocks 1408, less 2 of the
// trailer 1406, and of that 40 are IP and TCP.
func TestMSS(t *testing.T) {
	for _, tt := range []struct {
		inner6, outer6 bool
		want           int
	}{{false, false, 1366}, {true, false, 1346}, {false, true, 1350}, {true, true, 1330}} {
		if got := mss(tt.inner6, tt.outer6); got != tt.want {
			t.Errorf("mss(%v, %v) = %d, want %d", tt.inner6, tt.outer6, got, tt.want)
		}
	}
}
