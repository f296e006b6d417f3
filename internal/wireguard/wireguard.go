package wireguard

import (
	"context"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/resolver"
	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// Backend reconciles the WireGuard interfaces of one host.
type Backend struct {
	Config
}

var (
	_ backend.Backend  = (*Backend)(nil)
	_ backend.Operator = (*Backend)(nil)
	_ backend.Watcher  = (*Backend)(nil)
)

// Config is what a Backend works with. Fields that are nil get the real host's.
type Config struct {
	// Secrets gives the handlers the bytes behind the ids of operations.
	Secrets backend.Secrets
	// Network opens the links, addresses, routes and rules of a namespace.
	Network func(netns string) (Network, error)
	// Devices opens the WireGuard devices of a namespace.
	Devices func(netns string) (Devices, error)
	// Namespaces makes and removes named network namespaces.
	Namespaces Namespaces
	// Userspace carries interfaces that the kernel does not; nil for none.
	Userspace Userspace
	// Resolver tells the host which DNS servers an interface brings; nil for none.
	Resolver Resolver
	// Runner runs the hooks.
	Runner host.Runner
	// Probe tells what the host can do.
	Probe Probe
	// Resolve looks a DNS name up.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Now is the time.
	Now func() time.Time
	// Pace is how patiently Watch works.
	Pace Pace
}

// Network is the rtnetlink of one namespace; see rtnl.Conn.
type Network interface {
	Links
	Routing
	// Do makes changes in their order and returns the first error.
	Do(requests ...rtnl.Request) error
	Close() error
}

// Links reads links and their addresses.
type Links interface {
	Links() ([]rtnl.Link, error)
	Link(name string) (rtnl.Link, error)
	Addrs(index int) ([]rtnl.Addr, error)
}

// Routing reads routes and rules.
type Routing interface {
	Routes(f rtnl.RouteFilter) ([]rtnl.Route, error)
	Rules() ([]rtnl.Rule, error)
	Lookup(queries ...rtnl.Query) ([]rtnl.Path, error)
}

// Devices reads and configures WireGuard devices; see wgctrl.Client.
type Devices interface {
	Device(name string) (*wgtypes.Device, error)
	ConfigureDevice(name string, cfg wgtypes.Config) error
	Close() error
}

// Namespaces makes and removes named network namespaces. Add and Del are
// idempotent.
type Namespaces interface {
	Has(name string) bool
	Add(name string) error
	Del(name string) error
	// Open is the namespace's file, for moving links into it.
	Open(name string) (*os.File, error)
}

// Userspace runs a process that carries an interface where the kernel has no WireGuard.
// It ends with its link.
type Userspace interface {
	Start(ctx context.Context, name string) error
}

// Resolver is the host's DNS resolver, as far as it takes servers by interface. A host
// without one is errors.ErrUnsupported.
type Resolver interface {
	Get(ctx context.Context, iface string, index int) (resolver.Config, error)
	// Set replaces what the interface brings; the zero Config removes it.
	Set(ctx context.Context, iface string, index int, c resolver.Config) error
}

// New returns a Backend for the real host, apart from what c replaces.
func New(c Config) *Backend {
	if c.Network == nil {
		c.Network = func(netns string) (Network, error) { return rtnl.Open(netns) }
	}
	if c.Devices == nil {
		c.Devices = openDevices
	}
	if c.Namespaces == nil {
		c.Namespaces = namespaces{}
	}
	if c.Runner == nil {
		c.Runner = host.System{}
	}
	if c.Probe == nil {
		c.Probe = kernel{}
	}
	if c.Resolve == nil {
		c.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Pace = c.Pace.orDefault()
	return &Backend{Config: c}
}

// Kind implements backend.Backend.
func (b *Backend) Kind() backend.Kind { return backend.WireGuard }

// Plan implements backend.Backend.
func (b *Backend) Plan(ctx context.Context, in backend.Input) ([]backend.Step, error) {
	h, err := b.observe(ctx, in)
	if err != nil {
		return nil, err
	}
	want, err := b.settle(ctx, in, h)
	if err != nil {
		return nil, err
	}
	return diff(want, h, in, b.Now()), nil
}

// openDevices opens generic netlink in the namespace: it finds kernel devices there
// only. The sockets of userspace ones are files, the same in every namespace.
func openDevices(netns string) (Devices, error) {
	var c *wgctrl.Client
	err := rtnl.Within(netns, func() (err error) {
		c, err = wgctrl.New()
		return err
	})
	return c, err
}

// namespaces is the real host's.
type namespaces struct{}

func (namespaces) Has(name string) bool               { return rtnl.HasNamespace(name) }
func (namespaces) Add(name string) error              { return rtnl.AddNamespace(name) }
func (namespaces) Del(name string) error              { return rtnl.DelNamespace(name) }
func (namespaces) Open(name string) (*os.File, error) { return rtnl.OpenNamespace(name) }
