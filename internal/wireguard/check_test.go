package wireguard_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/rtnl"
	"github.com/vpnctl/vpnctl/internal/wireguard/wireguardtest"
)

// foreignLink puts a link there that is nobody's, or another site's.
func foreignLink(h *wireguardtest.Host, kind, alias string) {
	h.Must("", rtnl.AddLink{Name: "wg0", Kind: kind}, rtnl.SetLink{Name: "wg0", Alias: &alias})
}

func TestCheck(t *testing.T) {
	base := newRig(t)
	wg0 := state(base.wg0())
	for _, tt := range []struct {
		name    string
		host    func(h *wireguardtest.Host)
		applied *desired.State
		want    *desired.State
		options backend.Options
		errs    []string
	}{
		{name: "nothing in the way", want: wg0},
		{name: "nothing wanted", want: state(), host: func(h *wireguardtest.Host) { h.Restricted = true }},
		{
			name: "no privilege", want: wg0, host: func(h *wireguardtest.Host) { h.Restricted = true },
			errs: []string{"wireguard: no permission to configure the network (CAP_NET_ADMIN); run as root"},
		},
		{
			name: "foreign link", want: wg0, host: func(h *wireguardtest.Host) { foreignLink(h, "wireguard", "") },
			errs: []string{"wireguard/wg0: an interface of that name exists and is not vpnctl's; rename it in the topology, remove it, or `apply --adopt`"},
		},
		{
			name: "another site's link", want: wg0, host: func(h *wireguardtest.Host) { foreignLink(h, "wireguard", "vpnctl:lab") },
			options: backend.Options{Adopt: true},
			errs:    []string{"wireguard/wg0: an interface of that name exists and belongs to site lab; rename it in the topology, or `vpnctl destroy` that site first"},
		},
		{
			name: "another link of another site", want: state(),
			host: func(h *wireguardtest.Host) {
				h.Must("", rtnl.AddLink{Name: "xfrm7", Kind: "dummy"}, rtnl.SetLink{Name: "xfrm7", Alias: new("vpnctl:lab")})
			},
			errs: []string{"site/hq: a host belongs to one site at a time, and interface xfrm7 is site lab's; `vpnctl destroy` that site first, with its --state-dir; where its state is lost, `ip link del xfrm7`"},
		},
		{
			name: "another link of another site, later", want: wg0, applied: wg0,
			host: func(h *wireguardtest.Host) {
				h.Must("", rtnl.AddLink{Name: "xfrm7", Kind: "dummy"}, rtnl.SetLink{Name: "xfrm7", Alias: new("vpnctl:lab")})
			},
		},
		{
			name: "adopting a dummy", want: wg0, host: func(h *wireguardtest.Host) { foreignLink(h, "dummy", "") },
			options: backend.Options{Adopt: true},
			errs:    []string{"wireguard/wg0: an interface of that name exists and is not WireGuard's; rename it in the topology, or remove it"},
		},
		{
			name: "foreign link outside of the namespace", want: state(base.wg0(netns("blue"))),
			host: func(h *wireguardtest.Host) { foreignLink(h, "wireguard", "") },
			errs: []string{"wireguard/wg0: an interface of that name exists outside network namespace blue, where this one would be made; rename it in the topology, or remove the other"},
		},
		{name: "userspace in place of the kernel", want: wg0, host: func(h *wireguardtest.Host) { h.NoKernel = true }},
		{
			name: "no WireGuard", want: wg0, host: func(h *wireguardtest.Host) { h.NoKernel, h.NoProcess = true, true },
			errs: []string{"wireguard/wg0: this kernel has no WireGuard; load the module wireguard"},
		},
		{
			name: "no WireGuard and no tun", want: wg0, host: func(h *wireguardtest.Host) { h.NoKernel, h.NoTun = true, true },
			errs: []string{"wireguard/wg0: this kernel has no WireGuard, and there is no /dev/net/tun; load the module wireguard, or tun for userspace WireGuard"},
		},
		{
			name: "userspace without tun", want: wg0, host: func(h *wireguardtest.Host) { h.NoTun = true },
			options: backend.Options{Userspace: true},
			errs:    []string{"wireguard/wg0: userspace WireGuard needs /dev/net/tun; load the module tun"},
		},
		{
			name: "port in use", want: wg0, host: func(h *wireguardtest.Host) { h.Used[51820] = true },
			errs: []string{"wireguard/wg0: UDP port 51820 is in use; choose another listen_port, or stop what uses it"},
		},
		{
			name: "ports swapped", applied: state(base.wg0(), base.other()),
			want: state(base.wg0(port(51821)), base.other(port(51820))),
		},
		{
			name: "private key missing", want: state(base.wg0(func(i *desired.Interface) { i.PrivateKey = "" })),
			errs: []string{"wireguard/wg0: the private key is missing; put it where the topology says, or `vpnctl keygen` a new one"},
		},
		{
			name: "IPv6 on a small MTU", want: state(base.wg0(mtu(1000), addresses("fd00::1/64"))),
			errs: []string{"wireguard/wg0: IPv6 needs an MTU of 1280, not 1000; raise mtu to 1280, or remove the IPv6 addresses"},
		},
		{
			name: "no resolver", want: state(base.wg0(dns([]string{"10.0.0.53"}))), host: func(h *wireguardtest.Host) { h.NoResolver = true },
			errs: []string{"wireguard/wg0: nothing on this host takes the DNS servers of an interface; install systemd-resolved or openresolv"},
		},
		{
			name: "resolver and network namespace", want: state(base.wg0(netns("blue"), dns([]string{"10.0.0.53"}))),
			errs: []string{"wireguard/wg0: the host's resolver does not reach into network namespace blue; write /etc/netns/blue/resolv.conf instead of dns"},
		},
		{
			name: "foreign route", want: wg0, host: func(h *wireguardtest.Host) {
				for _, dst := range []string{"10.13.0.0/16", "10.77.0.0/16"} {
					h.Must("", rtnl.AddRoute{Route: rtnl.Route{
						Dst: netip.MustParsePrefix(dst), Table: rtnl.MainTable, Protocol: unix.RTPROT_STATIC, Index: h.Index("", "eth0"),
					}})
				}
			},
			errs: []string{"route/10.13.0.0/16: a route of that prefix, table and metric exists on eth0 and is not vpnctl's; remove that route, or change the allowed IPs"},
		},
		{
			name: "everything at once", want: wg0, host: func(h *wireguardtest.Host) {
				foreignLink(h, "dummy", "")
				h.Used[51820] = true
			},
			errs: []string{
				"wireguard/wg0: an interface of that name exists and is not vpnctl's; rename it in the topology, remove it, or `apply --adopt`",
				"wireguard/wg0: UDP port 51820 is in use; choose another listen_port, or stop what uses it",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := base.with(t)
			if tt.applied != nil {
				r.apply(tt.applied)
			}
			if tt.host != nil {
				tt.host(r.host)
			}
			r.options = tt.options
			before := r.state()
			err := r.backend().Check(context.Background(), r.input(tt.want))
			var have []string
			if err != nil {
				have = strings.Split(err.Error(), "\n")
				if !backend.IsRefusal(err) {
					t.Errorf("%v is no refusal", err)
				}
			}
			if diff := cmp.Diff(tt.errs, have); diff != "" {
				t.Errorf("refusals (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, r.state()); diff != "" {
				t.Errorf("checking has changed the host:\n%s", diff)
			}
		})
	}
}
