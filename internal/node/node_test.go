package node

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/vpnctl/vpnctl/internal/topology"
)

func host(s string) topology.Host {
	if a, err := netip.ParseAddr(s); err == nil {
		return topology.Host{Addr: a}
	}
	return topology.Host{Name: s}
}

func nodeOf(name, hostname string, addresses ...string) topology.Node {
	n := topology.Node{Name: name, Hostname: hostname}
	for _, a := range addresses {
		n.Addresses = append(n.Addresses, host(a))
	}
	return n
}

func site() *topology.Topology {
	return &topology.Topology{File: "site.yaml", Nodes: []topology.Node{
		nodeOf("branch", ""),
		nodeOf("gw1", "gw1.example.net", "10.13.0.101", "vpn.example.net"),
		nodeOf("gw2", "gate.example.org", "10.13.0.102", "2001:db8::2"),
		nodeOf("linux1", "", "10.12.0.201", "127.0.0.1", "10.99.0.1"),
		nodeOf("twin-a", "twin.a.example", "10.99.0.1"),
		nodeOf("twin-b", "twin.b.example"),
	}}
}

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func TestIdentify(t *testing.T) {
	const all = "branch, gw1, gw2, linux1, twin-a, twin-b"
	tests := []struct {
		name  string
		hints Hints
		want  string // a name, or the error
	}{
		{"flag", Hints{Flag: "branch", Env: "gw1", Hostname: "gw2", Addrs: addrs("10.12.0.201")}, "branch"},
		{"variable", Hints{Env: "gw1", Hostname: "gw2", Addrs: addrs("10.12.0.201")}, "gw1"},
		{"host name before address", Hints{Hostname: "gw2", Addrs: addrs("10.12.0.201")}, "gw2"},
		{"full host name, node by its short one", Hints{Hostname: "linux1.lan"}, "linux1"},
		{"full host name", Hints{Hostname: "gate.example.org"}, "gw2"},
		{"full host name with a dot", Hints{Hostname: "gate.example.org."}, "gw2"},
		{"host name in capitals", Hints{Hostname: "GW1"}, "gw1"},
		{"short host name of a full one", Hints{Hostname: "gate"}, "gw2"},
		{"full host name of one of two", Hints{Hostname: "twin.b.example"}, "twin-b"},
		{"short host name of two, then the address", Hints{Hostname: "twin", Addrs: addrs("10.13.0.102")}, "gw2"},
		{"address", Hints{Hostname: "debian", Addrs: addrs("127.0.0.1", "192.168.7.7", "10.13.0.101")}, "gw1"},
		{"IPv6 address", Hints{Addrs: addrs("fe80::1%eth0", "2001:db8::2")}, "gw2"},
		{"mapped address", Hints{Addrs: addrs("::ffff:10.13.0.102")}, "gw2"},
		{"wrong flag", Hints{Flag: "linus1", Hostname: "gw1"},
			`--node: "linus1" is no node of site.yaml (did you mean "linux1"?); nodes: ` + all},
		{"wrong variable", Hints{Env: "mail", Hostname: "gw1"}, `VPNCTL_NODE: "mail" is no node of site.yaml; nodes: ` + all},
		{"two addresses", Hints{Hostname: "debian", Addrs: addrs("10.13.0.101", "10.13.0.102")},
			"this host (debian) has addresses of several nodes of site.yaml; name it with --node: gw1, gw2"},
		{"one address of two nodes", Hints{Hostname: "debian", Addrs: addrs("10.99.0.1")},
			"this host (debian) has addresses of several nodes of site.yaml; name it with --node: linux1, twin-a"},
		{"loopback is everybody's", Hints{Hostname: "debian", Addrs: addrs("127.0.0.1", "::1")},
			"this host (debian) is no node of site.yaml by host name or address; name it with --node: " + all},
		{"no hint", Hints{}, "this host (without a name) is no node of site.yaml by host name or address; name it with --node: " + all},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Identify(site(), tt.hints)
			if err != nil {
				got += err.Error()
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestIdentifyIsBriefAboutManyNodes(t *testing.T) {
	top := &topology.Topology{File: "big.yaml"}
	for i := range 5000 {
		top.Nodes = append(top.Nodes, nodeOf(fmt.Sprintf("n%04d", i), ""))
	}
	_, err := Identify(top, Hints{Flag: "other"})
	if err == nil || !strings.HasSuffix(err.Error(), "n0018, n0019 and 4980 more") {
		t.Errorf("got %v", err)
	}
}

func TestIdentifyWithoutNodes(t *testing.T) {
	if _, err := Identify(&topology.Topology{}, Hints{Flag: "a"}); err == nil || err.Error() != "the topology has no nodes" {
		t.Errorf("got %v", err)
	}
}

func TestLocalHints(t *testing.T) {
	t.Setenv(Env, "gw1")
	h := LocalHints("gw2")
	if h.Flag != "gw2" || h.Env != "gw1" || h.Hostname == "" {
		t.Errorf("got %+v", h)
	}
	for _, a := range h.Addrs {
		if !a.IsValid() {
			t.Errorf("got the address %v", a)
		}
	}
}
