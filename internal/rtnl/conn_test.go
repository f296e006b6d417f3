package rtnl

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"
)

func open(t testing.TB) *Conn {
	t.Helper()
	c, err := Open("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// dummy makes a link that leads nowhere, up and with addresses. Its kind is ifb because
// small kernels have that one before type dummy.
func dummy(t testing.TB, c *Conn, name string, addrs ...string) Link {
	t.Helper()
	up := true
	if err := c.Do(AddLink{Name: name, Kind: "ifb"}, SetLink{Name: name, Up: &up}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Do(DelLink{Name: name}) })
	l, err := c.Link(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if err := c.Do(AddAddr{Index: l.Index, Prefix: netip.MustParsePrefix(a)}); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func TestLink(t *testing.T) {
	c := open(t)
	l := dummy(t, c, "d0")
	alias, down := "vpnctl:hq", false
	if err := c.Do(SetLink{Name: "d0", Alias: &alias, MTU: 1400}, SetLink{Name: "d0", Up: &down}); err != nil {
		t.Fatal(err)
	}
	want := Link{Index: l.Index, Name: "d0", Kind: "ifb", Alias: alias, MTU: 1400}
	got, err := c.Link("d0")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("link (-want +got):\n%s", diff)
	}
	alias = ""
	if err := c.Do(SetLink{Name: "d0", Alias: &alias}); err != nil {
		t.Fatal(err)
	}
	links, err := c.Links()
	if err != nil {
		t.Fatal(err)
	}
	want.Alias = ""
	if diff := cmp.Diff(want, links[len(links)-1]); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
}

func TestLinkErrors(t *testing.T) {
	c := open(t)
	dummy(t, c, "d0")
	if _, err := c.Link("d1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("finding an absent link: %v, want fs.ErrNotExist", err)
	}
	for _, tt := range []struct {
		request Request
		want    error
		text    string
	}{
		{DelLink{Name: "d1"}, fs.ErrNotExist, "deleting link d1: no such device"},
		{AddLink{Name: "d0", Kind: "ifb"}, fs.ErrExist, "adding link d0: file exists"},
		{AddLink{Name: "d1", Kind: "no-such"}, errors.ErrUnsupported, "adding link d1: operation not supported: Unknown device type"},
	} {
		err := c.Do(tt.request)
		if !errors.Is(err, tt.want) || err.Error() != tt.text {
			t.Errorf("%v: got %q (%v), want %q", tt.request, err, errors.Is(err, tt.want), tt.text)
		}
	}
}

func TestMoveLink(t *testing.T) {
	if err := AddNamespace("rtnltest"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = DelNamespace("rtnltest") })
	c := open(t)
	dummy(t, c, "d0")
	to, err := OpenNamespace("rtnltest")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = to.Close() }()
	if err := c.Do(MoveLink{Name: "d0", To: to}); err != nil {
		t.Fatal(err)
	}
	there, err := Open("rtnltest")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = there.Close() }()
	if _, err := there.Link("d0"); err != nil {
		t.Error(err)
	}
	if err := DelNamespace("rtnltest"); err != nil {
		t.Error(err)
	}
	if HasNamespace("rtnltest") {
		t.Error("the namespace is still there")
	}
}

func TestOpenAbsent(t *testing.T) {
	if _, err := Open("no-such"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}

func TestAddrs(t *testing.T) {
	c := open(t)
	other := dummy(t, c, "d1", "10.9.0.1/24")
	l := dummy(t, c, "d0", "10.0.0.1/24", "fd00::1/64")
	got, err := c.Addrs(l.Index)
	if err != nil {
		t.Fatal(err)
	}
	var ours []string
	for _, a := range got {
		if a.Index == other.Index {
			t.Errorf("%v is another link's", a)
		}
		if !a.Kernel {
			ours = append(ours, a.Prefix.String())
		}
	}
	if diff := cmp.Diff([]string{"10.0.0.1/24", "fd00::1/64"}, ours); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	err = c.Do(DelAddr{Index: l.Index, Prefix: netip.MustParsePrefix("10.0.0.7/24")})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("deleting an absent address: %v, want fs.ErrNotExist", err)
	}
}

func TestRoutes(t *testing.T) {
	c := open(t)
	l := dummy(t, c, "d0", "10.0.0.1/24", "fd00::1/64")
	other := dummy(t, c, "d1", "10.9.0.1/24")
	routes := []Route{
		{Dst: netip.MustParsePrefix("10.13.0.0/16"), Table: MainTable, Protocol: 118, Index: l.Index},
		{Dst: netip.MustParsePrefix("0.0.0.0/0"), Table: 51820, Protocol: 118, Index: l.Index},
		{Dst: netip.MustParsePrefix("10.14.0.0/16"), Table: MainTable, Protocol: 118, Index: l.Index,
			Gateway: netip.MustParseAddr("10.0.0.9"), Metric: 7, MTU: 1300, Source: netip.MustParseAddr("10.0.0.1")},
		{Dst: netip.MustParsePrefix("fd01::/64"), Table: MainTable, Protocol: 118, Index: l.Index, Metric: 1024},
		{Dst: netip.MustParsePrefix("::/0"), Table: 51820, Protocol: 118, Index: l.Index, Metric: 1024},
		{Dst: netip.MustParsePrefix("10.15.0.0/16"), Table: MainTable, Protocol: 118, Index: other.Index},
		{Dst: netip.MustParsePrefix("10.15.0.0/16"), Table: MainTable, Protocol: 118, Metric: 1 << 31, Unreachable: true},
		{Dst: netip.MustParsePrefix("fd02::/64"), Table: MainTable, Protocol: 118, Metric: 9, Unreachable: true},
	}
	for _, r := range routes {
		if err := c.Do(AddRoute{r}); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name   string
		filter RouteFilter
		want   []string
	}{
		{"protocol", RouteFilter{Protocol: 118}, []string{
			"0.0.0.0/0 table 51820", "10.13.0.0/16", "10.14.0.0/16 via 10.0.0.9 src 10.0.0.1 metric 7 mtu 1300",
			"10.15.0.0/16", "fd01::/64", "::/0 table 51820"}},
		{"link and protocol", RouteFilter{Index: other.Index, Protocol: 118}, []string{"10.15.0.0/16"}},
		{"table", RouteFilter{Table: 51820}, []string{"0.0.0.0/0 table 51820", "::/0 table 51820"}},
		{"unreachable", RouteFilter{Protocol: 118, Unreachable: true}, []string{
			"unreachable 10.15.0.0/16 metric 2147483648", "unreachable fd02::/64 metric 9"}},
		{"absent table", RouteFilter{Table: 99}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := c.Routes(tt.filter)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(set(tt.want), set(texts(got))); diff != "" {
				t.Errorf("routes (-want +got):\n%s", diff)
			}
		})
	}
	if err := c.Do(AddRoute{routes[0]}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("adding a route twice: %v, want fs.ErrExist", err)
	}
	for _, r := range routes {
		if err := c.Do(DelRoute{r}); err != nil {
			t.Error(err)
		}
	}
	if err := c.Do(DelRoute{routes[0]}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("deleting a route twice: %v, want fs.ErrNotExist", err)
	}
}

func texts(routes []Route) []string {
	var s []string
	for _, r := range routes {
		s = append(s, r.String())
	}
	return s
}

func set(s []string) map[string]bool {
	m := map[string]bool{}
	for _, v := range s {
		m[v] = true
	}
	return m
}

// TestForeignRules reads what only others' rules have.
func TestForeignRules(t *testing.T) {
	c := open(t)
	for _, args := range []string{
		"add prio 100 from 192.0.2.0/24 to 198.51.100.0/24 fwmark 0x10/0xf0 table 77",
		"add prio 101 iif lo table 77",
		"add prio 102 from 2001:db8::/32 prohibit",
	} {
		args := strings.Fields(args)
		if strings.Contains(args[4], ":") {
			args = append([]string{"-6", "rule"}, args...)
		} else {
			args = append([]string{"rule"}, args...)
		}
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", args, err, out)
		}
		args[slices.Index(args, "add")] = "del"
		t.Cleanup(func() { _ = exec.Command("ip", args...).Run() })
	}
	rules, err := c.Rules()
	if err != nil {
		t.Fatal(err)
	}
	var found []Rule
	for _, r := range rules {
		if r.Priority >= 100 && r.Priority <= 102 {
			r.Protocol = 0
			found = append(found, r)
		}
	}
	want := []Rule{
		{Priority: 100, Table: 77, Mark: 0x10, Mask: 0xf0,
			Src: netip.MustParsePrefix("192.0.2.0/24"), Dst: netip.MustParsePrefix("198.51.100.0/24")},
		{Priority: 101, Table: 77, Other: true},
		{Priority: 102, IPv6: true, Src: netip.MustParsePrefix("2001:db8::/32"), Other: true},
	}
	if diff := cmp.Diff(want, found, cmpopts.EquateComparable(Rule{})); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
}

func TestRules(t *testing.T) {
	c := open(t)
	before, err := c.Rules()
	if err != nil {
		t.Fatal(err)
	}
	var ours []Rule
	for _, v6 := range []bool{false, true} {
		ours = append(ours,
			Rule{IPv6: v6, Priority: 32700, Table: MainTable, SuppressDefault: true, Protocol: 118},
			Rule{IPv6: v6, Priority: 32701, Not: true, Mark: 51820, Table: 51820, Protocol: 118})
	}
	for _, r := range ours {
		if err := c.Do(AddRule{r}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := c.Rules()
	if err != nil {
		t.Fatal(err)
	}
	var found []Rule
	for _, r := range got {
		if r.Protocol == 118 {
			found = append(found, r)
		}
	}
	if diff := cmp.Diff(ours, found, cmpopts.EquateComparable(Rule{})); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	for _, r := range ours {
		if err := c.Do(DelRule{r}); err != nil {
			t.Error(err)
		}
	}
	after, err := c.Rules()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after, cmpopts.EquateComparable(Rule{})); diff != "" {
		t.Errorf("rules after deleting (-want +got):\n%s", diff)
	}
}

func TestLookup(t *testing.T) {
	c := open(t)
	l := dummy(t, c, "d0", "10.0.0.1/24")
	d1 := dummy(t, c, "d1", "10.9.0.1/24")
	err := c.Do(
		AddRoute{Route{Dst: netip.MustParsePrefix("10.20.0.0/16"), Table: MainTable, Protocol: 118, Index: l.Index, MTU: 1234}},
		AddRoute{Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), Table: 77, Protocol: 118, Index: d1.Index}},
		AddRule{Rule{Priority: 32701, Not: true, Mark: 5, Table: 77, Protocol: 118}},
	)
	if err != nil {
		t.Fatal(err)
	}
	queries := []Query{
		{Dst: netip.MustParseAddr("10.0.0.2"), Mark: 5},
		{Dst: netip.MustParseAddr("10.20.0.2"), Mark: 5},
		{Dst: netip.MustParseAddr("10.20.0.2")},
		{Dst: netip.MustParseAddr("192.0.2.1"), Mark: 5},
		{Dst: netip.MustParseAddr("2001:db8::1"), Mark: 5},
		{Dst: netip.MustParseAddr("10.0.0.1")},
	}
	want := []Path{{Index: l.Index}, {Index: l.Index, MTU: 1234}, {Index: d1.Index}, {}, {}, {Index: l.Index}}
	// More than one exchange, to prove that answers find their questions.
	for range 5 {
		queries, want = append(queries, queries...), append(want, want...)
	}
	got, err := c.Lookup(queries...)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
}

// many is as many routes as the largest host that is promised.
func many(index int) []Request {
	var r []Request
	for i := range 10_000 {
		dst := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(64 + i>>16), byte(i >> 8), byte(i)}), 32)
		r = append(r, AddRoute{Route{Dst: dst, Table: MainTable, Protocol: 118, Index: index}})
	}
	return r
}

func TestManyRoutes(t *testing.T) {
	c := open(t)
	l := dummy(t, c, "d0", "10.0.0.1/24")
	if err := c.Do(many(l.Index)...); err != nil {
		t.Fatal(err)
	}
	got, err := c.Routes(RouteFilter{Index: l.Index, Protocol: 118})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 10_000 {
		t.Errorf("got %d routes, want 10000", len(got))
	}
	// Every one of them fails now: the answers must not overflow the queue, and the
	// first must find its request.
	err = c.Do(many(l.Index)...)
	var e *Error
	if !errors.As(err, &e) || e.Errno != unix.EEXIST || e.Error() != "adding route 100.64.0.0/32: file exists" {
		t.Errorf("adding all again: got %v", err)
	}
}

// TestSmallQueue proves that a receive queue that may not be raised is enough.
func TestSmallQueue(t *testing.T) {
	c := open(t)
	l := dummy(t, c, "d0", "10.0.0.1/24")
	err := c.control(func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 64<<10)
	})
	if err != nil {
		t.Fatal(err)
	}
	size, err := c.c.ReadBuffer()
	if err != nil {
		t.Fatal(err)
	}
	c.chunk = min(max(size/2048, 16), 1024)
	if err := c.Do(many(l.Index)...); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := c.Do(many(l.Index)...); !errors.Is(err, fs.ErrExist) {
			t.Fatalf("got %v, want fs.ErrExist", err)
		}
	}
}

func BenchmarkRoutes(b *testing.B) {
	c := open(b)
	l := dummy(b, c, "d0", "10.0.0.1/24")
	requests := many(l.Index)
	b.Run("add", func(b *testing.B) {
		for b.Loop() {
			if err := c.Do(requests...); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			drop(b, c, requests)
			b.StartTimer()
		}
	})
	if err := c.Do(requests...); err != nil {
		b.Fatal(err)
	}
	b.Run("list", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Routes(RouteFilter{Index: l.Index, Protocol: 118}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func drop(b *testing.B, c *Conn, added []Request) {
	var del []Request
	for _, r := range added {
		del = append(del, DelRoute{r.(AddRoute).Route})
	}
	if err := c.Do(del...); err != nil {
		b.Fatal(err)
	}
}

// FuzzParse feeds what no kernel sends: nothing may panic or loop.
func FuzzParse(f *testing.F) {
	var e encoder
	for _, r := range []Request{
		AddLink{Name: "wg0", Kind: "wireguard", MTU: 1420},
		AddAddr{Index: 3, Prefix: netip.MustParsePrefix("fd00::1/64")},
		AddRoute{Route{Dst: netip.MustParsePrefix("10.13.0.0/16"), Table: 254, MTU: 1300}},
		AddRule{Rule{Priority: 1, Mark: 5, Table: 77, SuppressDefault: true}},
	} {
		e.reset()
		r.encode(&e, 1)
		e.end()
		f.Add(append([]byte(nil), e.b...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			m, rest, err := parseMessage(b)
			if err != nil {
				return
			}
			if len(rest) >= len(b) {
				t.Fatal("no progress")
			}
			_, _ = parseLink(m.data)
			_, _ = parseAddr(m.data)
			_, _, _ = parseRoute(m.data)
			_, _ = parseRule(m.data)
			_ = answer(m)
			b = rest
		}
	})
}

func ExampleRoute_String() {
	fmt.Fprintln(os.Stdout, Route{Dst: netip.MustParsePrefix("::/0"), Table: 51820, Metric: 1024})
	// Output: ::/0 table 51820
}
