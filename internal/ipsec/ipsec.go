package ipsec

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/file"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/reason"
	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// Backend reconciles the IPsec of one host.
type Backend struct {
	Config
}

var (
	_ backend.Backend  = (*Backend)(nil)
	_ backend.Operator = (*Backend)(nil)
)

// Config is what a Backend works with. Fields that are nil get the real host's.
type Config struct {
	// Secrets gives the handlers the bytes behind the ids of operations.
	Secrets backend.Secrets
	// Dial opens a session with charon.
	Dial func(ctx context.Context) (Session, error)
	// Listen hands on what charon says, until ctx ends or charon does.
	Listen func(ctx context.Context, fn func(Event)) error
	// Daemon starts and stops charon.
	Daemon Daemon
	// Files are the host's.
	Files host.Tree
	// Kernel tells what the kernel can do.
	Kernel Kernel
	// SAD is the kernel's.
	SAD SAD
	// Glob lists files by a pattern.
	Glob func(pattern string) ([]string, error)
	// Network opens the host's links and routes.
	Network func() (Network, error)
	// Resolve looks a name up.
	Resolve func(ctx context.Context, name string) ([]netip.Addr, error)
	// Reasons keeps why tunnels are down.
	Reasons *reason.Store
	// Now is the time.
	Now func() time.Time
	// Pace is that of watching.
	Pace Pace
}

// Network is the rtnetlink of the host; see rtnl.Conn.
type Network interface {
	Links() ([]rtnl.Link, error)
	// Addrs lists the addresses of all links for 0.
	Addrs(index int) ([]rtnl.Addr, error)
	Routes(f rtnl.RouteFilter) ([]rtnl.Route, error)
	Do(requests ...rtnl.Request) error
	Close() error
}

// New returns a Backend for the real host, apart from what c replaces.
func New(c Config) *Backend {
	if c.Dial == nil {
		c.Dial = Dial
	}
	if c.Listen == nil {
		c.Listen = Listen
	}
	if c.Files == nil {
		c.Files = host.Disk{}
	}
	if c.Glob == nil {
		c.Glob = filepath.Glob
	}
	if c.Kernel == nil {
		c.Kernel = newLive()
	}
	if c.SAD == nil {
		c.SAD = kernelSAD{}
	}
	if c.Network == nil {
		c.Network = func() (Network, error) { return rtnl.Open("") }
	}
	if c.Resolve == nil {
		c.Resolve = func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		}
	}
	if c.Reasons == nil {
		c.Reasons = reason.Open(reason.Dir)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Daemon == nil {
		c.Daemon = &system{files: c.Files, dial: c.Dial}
	}
	c.Pace = Pace{
		Look: cmp.Or(c.Pace.Look, time.Second), Second: cmp.Or(c.Pace.Second, 5*time.Second),
		First: cmp.Or(c.Pace.First, 5*time.Second), Most: cmp.Or(c.Pace.Most, time.Minute),
	}
	return &Backend{Config: c}
}

// Kind implements backend.Backend.
func (b *Backend) Kind() backend.Kind { return backend.IPsec }

// The paths of strongSwan's configuration.
const (
	swanctlDir = "/etc/swanctl/"
	confFile   = swanctlDir + "conf.d/vpnctl.conf"
)

// certOwner is whose the copies of certificates are, which everybody may read. What is
// secret belongs to backend.IPsec.
const certOwner backend.Kind = "ipsec-certificates"

// secretFiles plans the files that hold secrets, certFiles the others.
func (b *Backend) secretFiles(s backend.Secrets) file.Owner {
	return file.Owner{Files: b.Files, Kind: backend.IPsec, Secrets: s}
}

func (b *Backend) certFiles() file.Owner { return file.Owner{Files: b.Files, Kind: certOwner} }

// Plan implements backend.Backend.
func (b *Backend) Plan(ctx context.Context, in backend.Input) ([]backend.Step, error) {
	if b.idle(in) {
		return nil, nil
	}
	h, err := b.observe(ctx, in)
	if err != nil {
		return nil, err
	}
	want, err := b.settle(ctx, in, h)
	if err != nil {
		return nil, err
	}
	steps, err := b.planFiles(in, want)
	if err != nil {
		return nil, err
	}
	return append(steps, diff(want, h, in)...), nil
}

// planFiles plans the files of the wanted state.
func (b *Backend) planFiles(in backend.Input, w *wanted) ([]backend.Step, error) {
	steps, err := b.certFiles().Plan(in, w.certs)
	if err != nil {
		return nil, err
	}
	secret, err := b.secretFiles(in.Secrets).Plan(in, w.secret)
	return append(steps, secret...), err
}

// idle reports whether there is no IPsec here, and none of ours that would have to go. A
// host like that is asked nothing.
func (b *Backend) idle(in backend.Input) bool {
	w := &in.Want.IPsec
	if !w.IsZero() || len(w.Links)+len(w.Routes)+len(w.Bypasses) > 0 {
		return false
	}
	if in.Applied != nil && !in.Applied.IPsec.IsZero() {
		return false
	}
	return len(in.Memory) == 0 || !remembers(in.Memory)
}

// desiredFile is a file as an owner wants it.
func desiredFile(path string, data []byte, secret bool) desired.File {
	f := desired.File{Path: path, Data: data, Mode: 0o644}
	if secret {
		f.Mode = 0o600
	}
	return f
}
