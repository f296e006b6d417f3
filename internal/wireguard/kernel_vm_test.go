//go:build vm

package wireguard_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/lab"
	"github.com/vpnctl/vpnctl/internal/plan"
	"github.com/vpnctl/vpnctl/internal/wireguard"
)

// inside marks a test binary that runs in a host of the lab, where it is what vpnctl is:
// a process of that host.
const inside = "WIREGUARD_TEST_INSIDE"

// order is what such a process is to do, and its answer.
type order struct {
	Want, Applied *desired.State
	Memory        backend.Memory
	Undo          bool // after applying

	Plan string // of the answer
	Left string // what there is still to do
}

func TestMain(m *testing.M) {
	if os.Getenv(inside) == "" {
		os.Exit(m.Run())
	}
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// quiet runs no hooks.
type quiet struct{}

func (quiet) Run(context.Context, host.Cmd) ([]byte, error) { return nil, nil }

// serve carries out one order on the real kernel.
func serve() error {
	var o order
	if err := json.NewDecoder(os.Stdin).Decode(&o); err != nil {
		return err
	}
	r := newRig(nil)
	r.states() // for their secrets
	r.applied, r.memory = o.Applied, o.Memory
	r.real = wireguard.New(wireguard.Config{
		Secrets: r.secrets,
		Runner:  quiet{},
		Resolve: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("192.0.2.99")}, nil
		},
	})
	if err := r.real.Check(context.Background(), r.input(o.Want)); err != nil {
		return err
	}
	steps, err := r.real.Plan(context.Background(), r.input(o.Want))
	if err != nil {
		return err
	}
	p := plan.New("hq", "linux1", steps)
	o.Plan = p.Text(plan.Palette{})
	err = r.do(p)
	if o.Undo && err == nil {
		err = r.undo()
	}
	if err != nil {
		return err
	}
	if !o.Undo {
		r.applied = o.Want
		if steps, err = r.real.Plan(context.Background(), r.input(o.Want)); err != nil {
			return err
		}
		if len(steps) > 0 {
			o.Left = plan.New("hq", "linux1", steps).Text(plan.Palette{})
		}
	}
	o.Applied, o.Memory = r.applied, r.memory
	return json.NewEncoder(os.Stdout).Encode(o)
}

// machine is a host of the lab with what is remembered of it.
type machine struct {
	*lab.Host
	t       *testing.T
	applied *desired.State
	memory  backend.Memory
}

func (m *machine) order(want *desired.State, undo bool) {
	m.t.Helper()
	in, err := json.Marshal(order{Want: want, Applied: m.applied, Memory: m.memory, Undo: undo})
	if err != nil {
		m.t.Fatal(err)
	}
	cmd := m.Cmd(m.t.Context(), "/proc/self/exe")
	cmd.Env = append(cmd.Env, inside+"=1")
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &stderr
	out, err := cmd.Output()
	if err != nil {
		m.t.Fatalf("%v: %s", err, stderr.String())
	}
	var o order
	if err := json.Unmarshal(out, &o); err != nil {
		m.t.Fatal(err)
	}
	if o.Left != "" {
		m.t.Errorf("there is still to do:\n%s\nafter\n%s", o.Left, o.Plan)
	}
	m.applied, m.memory = o.Applied, o.Memory
}

// text is all that the tools tell of the host, without what no configuration is: in
// which order things came, and which address of a subnet was first.
func (m *machine) text() string {
	m.t.Helper()
	out := m.Run("sh", "-c", `
show() {
	ip $1 -o link | sed 's/^[0-9]*: //; s/ qdisc .*//' | sort
	ip $1 -o addr | sed 's/^[0-9]*: //; s/ secondary//; /inet6 fe80/d' | sort
	for f in -4 -6; do
		ip $1 $f route show table all | grep -v -e 'table local' -e '^fe80' -e '^multicast' -e '^anycast' |
			sed 's/ linkdown//; /proto kernel/s/ src [^ ]*//' | sort
		ip $1 -d $f rule
	done
}
peers() {
	for i in $($1 wg show interfaces | tr ' ' '\n' | sort); do
		echo "# $i"
		$1 wg showconf $i | awk 'BEGIN { RS = "" } { gsub("\n", "; "); print }' | sort
	done
}
show; peers
for n in $(ip netns list | cut -d' ' -f1); do echo "netns $n"; show "-n $n"; peers "ip netns exec $n"; done`)
	return allowedIPs.ReplaceAllStringFunc(out, func(s string) string {
		list := strings.Split(strings.TrimPrefix(s, "AllowedIPs = "), ", ")
		slices.Sort(list)
		return "AllowedIPs = " + strings.Join(list, ", ")
	})
}

var allowedIPs = regexp.MustCompile(`AllowedIPs = [^;\n]*`)

// TestKernel goes through all states on a real kernel; what the tools read back is what
// was wanted.
func TestKernel(t *testing.T) {
	l := lab.Start(t, lab.Wire("gw:eth0 10.12.0.201/16 via 10.12.0.1", "far:eth0 10.12.0.1/16"))
	m := &machine{Host: l.Host("gw"), t: t, memory: backend.Memory{}}
	m.Run("ip", "rule", "add", "priority", "100", "fwmark", "0x7", "lookup", "77") // somebody's
	before := m.text()
	r := newRig(t)
	for _, s := range r.states() {
		if slices.ContainsFunc(s.Interfaces, func(i desired.Interface) bool { return len(i.DNS) > 0 }) {
			continue // the lab has no resolver
		}
		t.Run(s.name, func(t *testing.T) {
			m.t = t
			here := m.text()
			m.order(s.State, true)
			if diff := cmp.Diff(here, m.text()); diff != "" {
				t.Fatalf("after undo (-before +after):\n%s", diff)
			}
			m.order(s.State, false)
			for i := range s.Interfaces {
				m.verify(&s.Interfaces[i])
			}
		})
	}
	m.t = t
	m.order(state(), false)
	if diff := cmp.Diff(before, m.text()); diff != "" {
		t.Errorf("after everything is removed (-before +after):\n%s", diff)
	}
	if len(m.memory) > 0 {
		t.Errorf("memory is left: %v", m.memory)
	}
}

// verify reads one interface by wg(8) and ip(8).
func (m *machine) verify(want *desired.Interface) {
	m.t.Helper()
	prefix := []string{}
	if want.Netns != "" {
		prefix = []string{"ip", "netns", "exec", want.Netns}
	}
	run := func(argv ...string) string {
		m.t.Helper()
		return m.Run(append(slices.Clone(prefix), argv...)...)
	}
	var have []string
	for n, line := range strings.Split(strings.TrimSpace(run("wg", "show", want.Name, "dump")), "\n") {
		f := strings.Split(line, "\t")
		if n == 0 {
			have = append(have, fmt.Sprintf("mark %s", f[3]))
			continue
		}
		ips := strings.Split(f[3], ",")
		slices.Sort(ips)
		have = append(have, fmt.Sprintf("%s psk %v keepalive %s ips %s", f[0], f[1] != "(none)", f[7], strings.Join(ips, ",")))
	}
	slices.Sort(have[1:])
	if diff := cmp.Diff(m.dump(want), have); diff != "" {
		m.t.Errorf("wg show %s (-want +have):\n%s", want.Name, diff)
	}
	var links []struct {
		MTU   int    `json:"mtu"`
		Alias string `json:"ifalias"`
		Addrs []struct {
			Local string `json:"local"`
			Len   int    `json:"prefixlen"`
			Scope string `json:"scope"`
		} `json:"addr_info"`
	}
	if err := json.Unmarshal([]byte(run("ip", "-j", "-d", "addr", "show", "dev", want.Name)), &links); err != nil {
		m.t.Fatal(err)
	}
	var addrs []string
	for _, a := range links[0].Addrs {
		if a.Scope == "global" {
			addrs = append(addrs, fmt.Sprintf("%s/%d", a.Local, a.Len))
		}
	}
	slices.Sort(addrs)
	wantAddrs := backend.FormatAddrs(want.Addresses)
	slices.Sort(wantAddrs)
	if diff := cmp.Diff(wantAddrs, addrs); diff != "" || links[0].Alias != "vpnctl:hq" || want.MTU != 0 && links[0].MTU != want.MTU {
		m.t.Errorf("ip addr show %s: alias %q, mtu %d (-want +have):\n%s", want.Name, links[0].Alias, links[0].MTU, diff)
	}
	if want.Table.Off || want.Table.Number != 0 {
		return
	}
	routes := run("ip", "-4", "route", "show", "table", "all", "proto", "118")
	for _, p := range want.Peers {
		for _, a := range p.AllowedIPs {
			if a.Bits() == 16 && !strings.Contains(routes, a.String()+" dev "+want.Name+" ") {
				m.t.Errorf("no route to %s in\n%s", a, routes)
			}
		}
	}
}

// dump is what verify makes of `wg show dump`.
func (m *machine) dump(want *desired.Interface) []string {
	mark := "off"
	if want.Mark() != 0 {
		mark = fmt.Sprintf("%#x", want.Mark())
	}
	lines := []string{"mark " + mark}
	for _, p := range want.Peers {
		keepalive := "off"
		if p.PersistentKeepalive != 0 {
			keepalive = fmt.Sprint(int(p.PersistentKeepalive.Seconds()))
		}
		ips := backend.FormatAddrs(p.AllowedIPs)
		slices.Sort(ips)
		if len(ips) == 0 {
			ips = []string{"(none)"}
		}
		lines = append(lines, fmt.Sprintf("%s psk %v keepalive %s ips %s", p.PublicKey, p.PresharedKey != "", keepalive, strings.Join(ips, ",")))
	}
	slices.Sort(lines[1:])
	return lines
}
