package wireguardtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/resolver"
	"github.com/vpnctl/vpnctl/internal/rtnl"
	"github.com/vpnctl/vpnctl/internal/wireguard"
)

// ErrKilled from Fault is the end of the process. What it has handed to the kernel in one
// call is done all the same.
var ErrKilled = errors.New("killed")

// Host is the state of one host. It is not safe for concurrent use, apart from looking
// up names.
type Host struct {
	// Fault is asked before each write ("adding route 10.0.0.0/8"); the write does not
	// happen where it returns an error. Nil never fails.
	Fault func(write string) error

	NoKernel   bool // the kernel refuses the link type
	NoTun      bool
	NoProcess  bool // nobody runs userspace WireGuard
	NoResolver bool // nothing takes DNS servers
	Restricted bool // without CAP_NET_ADMIN

	Names map[string][]netip.Addr // what DNS answers
	Used  map[int]bool            // UDP ports of others
	Time  time.Time
	Ran   []string // the lines of hooks that ran
	// Messages counts what the WireGuard devices were sent.
	Messages int
	// HookFault fails a hook; nil never does.
	HookFault func(line string) error

	spaces map[string]*space
	dns    map[string]resolver.Config
	index  int // of the newest link
	seq    int // of the newest peer
	port   int // chosen last
}

var (
	_ wireguard.Namespaces = (*Host)(nil)
	_ wireguard.Userspace  = (*Host)(nil)
	_ wireguard.Network    = (*network)(nil)
	_ wireguard.Devices    = (*devices)(nil)
)

// New returns a host with a loopback, and an Ethernet with a default route.
func New() *Host {
	h := &Host{
		Names:  map[string][]netip.Addr{},
		Used:   map[int]bool{},
		Time:   time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		spaces: map[string]*space{},
		dns:    map[string]resolver.Config{},
		port:   firstPort,
	}
	s := h.addSpace("")
	eth0 := h.addLink(s, "eth0", "", 1500)
	h.Must("",
		rtnl.SetLink{Name: "eth0", Up: new(true)},
		rtnl.AddAddr{Index: eth0.Index, Prefix: netip.MustParsePrefix("10.12.0.201/16")},
		rtnl.AddRoute{Route: rtnl.Route{
			Dst: netip.MustParsePrefix("0.0.0.0/0"), Table: rtnl.MainTable, Protocol: unix.RTPROT_BOOT,
			Index: eth0.Index, Gateway: netip.MustParseAddr("10.12.0.1"),
		}},
	)
	return h
}

// Config is what a wireguard.Backend needs to work with the host.
func (h *Host) Config(secrets backend.Secrets) wireguard.Config {
	c := wireguard.Config{
		Secrets:    secrets,
		Network:    h.Network,
		Devices:    h.Devices,
		Namespaces: h,
		Userspace:  h,
		Resolver:   dns{h},
		Runner:     runner{h},
		Probe:      probe{h},
		Resolve:    h.resolve,
		Now:        func() time.Time { return h.Time },
	}
	if h.NoProcess {
		c.Userspace = nil
	}
	return c
}

// Network opens a namespace.
func (h *Host) Network(netns string) (wireguard.Network, error) {
	s, ok := h.spaces[netns]
	if !ok {
		return nil, fmt.Errorf("opening network namespace: %w", fs.ErrNotExist)
	}
	return &network{h, s}, nil
}

// Devices opens the WireGuard devices of a namespace.
func (h *Host) Devices(netns string) (wireguard.Devices, error) {
	s, ok := h.spaces[netns]
	if !ok {
		return nil, fmt.Errorf("opening network namespace: %w", fs.ErrNotExist)
	}
	return &devices{h, s}, nil
}

// Must makes changes as somebody else would: past Fault.
func (h *Host) Must(netns string, requests ...rtnl.Request) {
	for _, r := range requests {
		if err := h.spaces[netns].do(h, r); err != nil {
			panic(fmt.Sprintf("%s: %v", r, err))
		}
	}
}

// Index is the index of a link.
func (h *Host) Index(netns, name string) int { return h.spaces[netns].find(name).Index }

// Has implements wireguard.Namespaces.
func (h *Host) Has(name string) bool { return h.spaces[name] != nil }

// Add implements wireguard.Namespaces.
func (h *Host) Add(name string) error {
	if h.Has(name) {
		return nil
	}
	if err := h.fault("adding netns " + name); err != nil {
		return err
	}
	h.addSpace(name)
	return nil
}

// Del implements wireguard.Namespaces.
func (h *Host) Del(name string) error {
	if err := h.fault("deleting netns " + name); err != nil {
		return err
	}
	delete(h.spaces, name)
	return nil
}

// Open implements wireguard.Namespaces; the file is good for its name.
func (h *Host) Open(name string) (*os.File, error) {
	if !h.Has(name) {
		return nil, fs.ErrNotExist
	}
	fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Start implements wireguard.Userspace.
func (h *Host) Start(_ context.Context, name string) error {
	if err := h.fault("starting userspace " + name); err != nil {
		return err
	}
	s := h.spaces[""]
	if s.find(name) != nil {
		return unix.EEXIST
	}
	h.addLink(s, name, "tun", defaultMTU)
	return nil
}

func (h *Host) fault(write string) error {
	if h.Fault == nil {
		return nil
	}
	return h.Fault(write)
}

func (h *Host) resolve(_ context.Context, name string) ([]netip.Addr, error) {
	addrs, ok := h.Names[name]
	if !ok {
		return nil, fmt.Errorf("lookup %s: no such host", name)
	}
	return slices.Clone(addrs), nil
}

// dns is the host's resolver.
type dns struct{ h *Host }

func (r dns) Get(_ context.Context, iface string, _ int) (resolver.Config, error) {
	if r.h.NoResolver {
		return resolver.Config{}, errors.ErrUnsupported
	}
	return r.h.dns[iface], nil
}

func (r dns) Set(_ context.Context, iface string, _ int, c resolver.Config) error {
	if err := r.h.fault("setting dns of " + iface); err != nil {
		return err
	}
	if c.IsZero() {
		delete(r.h.dns, iface)
		return nil
	}
	r.h.dns[iface] = c
	return nil
}

// runner runs hooks.
type runner struct{ h *Host }

func (r runner) Run(_ context.Context, c host.Cmd) ([]byte, error) {
	line := c.Args[len(c.Args)-1]
	if r.h.HookFault != nil {
		if err := r.h.HookFault(line); err != nil {
			return nil, err
		}
	}
	r.h.Ran = append(r.h.Ran, line)
	return nil, nil
}

// probe tells what the host can do.
type probe struct{ h *Host }

func (p probe) Privileged() bool { return !p.h.Restricted }
func (p probe) Kernel() bool     { return !p.h.NoKernel }
func (p probe) Tun() bool        { return !p.h.NoTun }

func (p probe) Ports() (map[int]bool, error) {
	ports := maps.Clone(p.h.Used)
	for _, s := range p.h.spaces {
		for _, l := range s.links {
			if l.wg != nil && l.Up {
				ports[l.wg.port] = true
			}
		}
	}
	return ports, nil
}
