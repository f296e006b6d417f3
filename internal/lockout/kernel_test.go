package lockout

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// TestKernel asks the kernel of this machine and a view which way packets go, over random
// routes and rules in a namespace of their own.
func TestKernel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	asked, routed := 0, 0
	err := rtnl.OnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		c, err := rtnl.Open("")
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		if err := addLinks(c); err != nil {
			return err
		}
		for range 20 {
			if err := randomize(c, rnd); err != nil {
				return err
			}
			v, err := read(c)
			if err != nil {
				return err
			}
			for range 25 {
				p := packet{dst: randomAddr(rnd), mark: rnd.IntN(3)}
				r, found := v.lookup(p)
				paths, err := c.Lookup(rtnl.Query{Dst: p.dst, Mark: p.mark})
				if err != nil {
					return err
				}
				asked++
				if found {
					routed++
				}
				if v.own(p.dst) < 0 && paths[0].Index != r.Index {
					t.Errorf("%s mark %d: the kernel takes link %d, the view %d (%s)\nroutes %v\nrules %v", p.dst, p.mark, paths[0].Index, r.Index, r.Route, v.routes, v.rules)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d packets, %d with a route", asked, routed)
	if routed < asked/4 {
		t.Error("hardly any packet had a route")
	}
}

// addLinks makes three links. Of kind ifb, which small kernels have before dummy.
func addLinks(c *rtnl.Conn) error {
	up := true
	for i := range 3 {
		name := fmt.Sprintf("link%d", i)
		if err := c.Do(rtnl.AddLink{Name: name, Kind: "ifb"}, rtnl.SetLink{Name: name, Up: &up}); err != nil {
			return err
		}
	}
	return nil
}

// randomize replaces all routes and rules that a run before has made.
func randomize(c *rtnl.Conn, rnd *rand.Rand) error {
	old, err := c.Routes(rtnl.RouteFilter{Protocol: protocol})
	if err != nil {
		return err
	}
	for _, r := range old {
		if err := c.Do(rtnl.DelRoute{Route: r}); err != nil {
			return err
		}
	}
	rules, err := c.Rules()
	if err != nil {
		return err
	}
	for _, r := range rules {
		if r.Protocol == protocol {
			if err := c.Do(rtnl.DelRule{Rule: r}); err != nil {
				return err
			}
		}
	}
	links, err := c.Links()
	if err != nil {
		return err
	}
	for range 12 {
		a := randomAddr(rnd)
		dst := netip.PrefixFrom(a, rnd.IntN(a.BitLen()+1)).Masked()
		if rnd.IntN(4) == 0 {
			dst = netip.PrefixFrom(dst.Addr(), 0).Masked()
		}
		r := rtnl.Route{Dst: dst, Table: []int{rtnl.MainTable, 51820, 77}[rnd.IntN(3)], Metric: 1 + rnd.IntN(3),
			Protocol: protocol, Index: links[rnd.IntN(len(links)-1)+1].Index}
		_ = c.Do(rtnl.AddRoute{Route: r}) // one that is there already stays
	}
	for range 4 {
		r := rtnl.Rule{IPv6: rnd.IntN(2) == 0, Priority: 100 + rnd.IntN(1000), Not: rnd.IntN(2) == 0, Mark: rnd.IntN(3),
			Table: []int{rtnl.MainTable, 51820, 77}[rnd.IntN(3)], SuppressDefault: rnd.IntN(2) == 0, Protocol: protocol}
		_ = c.Do(rtnl.AddRule{Rule: r})
	}
	return nil
}

func randomAddr(rnd *rand.Rand) netip.Addr {
	// Few of them, so that they meet.
	if rnd.IntN(2) == 0 {
		return netip.AddrFrom4([4]byte{10, byte(rnd.IntN(4)), byte(rnd.IntN(4)), byte(rnd.IntN(250) + 1)})
	}
	return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, byte(rnd.IntN(4)), 15: byte(rnd.IntN(250) + 1)})
}

func read(c *rtnl.Conn) (*view, error) {
	o := &Observed{}
	var err error
	if o.Links, err = c.Links(); err != nil {
		return nil, err
	}
	if o.Addrs, err = c.Addrs(0); err != nil {
		return nil, err
	}
	if o.Routes, err = c.Routes(rtnl.RouteFilter{}); err != nil {
		return nil, err
	}
	if o.Rules, err = c.Rules(); err != nil {
		return nil, err
	}
	return newBuilder(o, &Question{Want: &desired.State{Site: "hq"}}).now(), nil
}
