package ppp

import (
	"context"
	"os"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/file"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// Kind is the backend's.
const Kind backend.Kind = "ppp"

// Backend reconciles what pppd reads, and its sessions, with the host. The daemons that
// call pppd are others' matter.
type Backend struct {
	Config
}

var (
	_ backend.Backend      = (*Backend)(nil)
	_ backend.Operator     = (*Backend)(nil)
	_ backend.ServerLister = (*Backend)(nil)
	_ backend.Kicker       = (*Backend)(nil)
)

// Config is what a Backend works with. Fields that are nil get the real host's.
type Config struct {
	Files    host.Tree
	Secrets  backend.Secrets
	Sessions Sessions
	Modules  Modules
	// Network opens the host's rtnetlink.
	Network func() (Network, error)
	// Reasons says why a PPTP link is down; "" where nobody knows.
	Reasons func(name string) string
	// Installed reports whether a program is there.
	Installed func(program string) bool
	// Device reports whether /dev/ppp is there.
	Device func() bool
	Now    func() time.Time
}

// Network is the rtnetlink of the host; see rtnl.Conn.
type Network interface {
	Links() ([]rtnl.Link, error)
	Routes(f rtnl.RouteFilter) ([]rtnl.Route, error)
	Do(requests ...rtnl.Request) error
	Close() error
}

// New returns a Backend for the real host, apart from what c replaces.
func New(c Config) *Backend {
	if c.Files == nil {
		c.Files = host.Disk{}
	}
	if c.Sessions == nil {
		c.Sessions = Live()
	}
	if c.Modules == nil {
		c.Modules = kernelModules{host.System{}}
	}
	if c.Network == nil {
		c.Network = func() (Network, error) { return rtnl.Open("") }
	}
	if c.Reasons == nil {
		c.Reasons = func(string) string { return "" }
	}
	if c.Installed == nil {
		c.Installed = func(program string) bool { _, err := host.LookPath(program); return err == nil }
	}
	if c.Device == nil {
		c.Device = func() bool { _, err := os.Stat(device); return err == nil }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Backend{c}
}

// Kind implements backend.Backend.
func (b *Backend) Kind() backend.Kind { return Kind }

// The operations.
const (
	opSecrets  = "ppp.secrets"
	opFallback = "ppp.fallback"
	opRoutes   = "ppp.routes"
	opModules  = "ppp.modules"
	opEnd      = "ppp.end"
)

// Handlers implements backend.Operator.
func (b *Backend) Handlers() map[string]backend.Handler {
	return map[string]backend.Handler{
		file.SecretOp: file.SecretHandler(b.Files, b.Secrets),
		opSecrets:     backend.Handle(b.applySecrets),
		opFallback:    backend.Handle(b.applyFallback),
		opRoutes:      backend.Handle(b.applyRoutes),
		opModules:     backend.Handle(b.applyModules),
		opEnd:         backend.Handle(b.applyEnd),
	}
}

// differ plans.
type differ struct {
	b        *Backend
	in       backend.Input
	sessions []Session
	steps    []backend.Step
	ended    []backend.Change // ends of sessions that nothing else shows
}

// Plan implements backend.Backend.
func (b *Backend) Plan(ctx context.Context, in backend.Input) ([]backend.Step, error) {
	if b.idle(in) {
		return nil, nil
	}
	d := &differ{b: b, in: in}
	if err := d.planModules(ctx); err != nil {
		return nil, err
	}
	if err := d.planFiles(); err != nil {
		return nil, err
	}
	var err error
	if d.sessions, err = b.Sessions.List(ctx); err != nil {
		return nil, err
	}
	if err := d.planRoutes(); err != nil {
		return nil, err
	}
	return d.steps, d.planSecrets()
}

// idle reports whether there is no PPP here, and none of ours that would have to go. A
// host like that is asked nothing.
func (b *Backend) idle(in backend.Input) bool {
	if !in.Want.PPP.IsZero() || len(in.Want.Modules) > 0 {
		return false
	}
	if in.Applied != nil && (!in.Applied.PPP.IsZero() || len(in.Applied.Modules) > 0) {
		return false
	}
	return len(b.plain().Owned(in.Memory))+len(b.secret(in).Owned(in.Memory)) == 0 &&
		in.Memory[madeKey(chapSecrets)] == nil && in.Memory[madeKey(papSecrets)] == nil
}

// secretKind owns the files that hold secrets, Kind the others.
const secretKind backend.Kind = "ppp-secrets"

func (b *Backend) plain() file.Owner { return file.Owner{Files: b.Files, Kind: Kind} }

func (b *Backend) secret(in backend.Input) file.Owner {
	return file.Owner{Files: b.Files, Kind: secretKind, Secrets: in.Secrets}
}

func (d *differ) planFiles() error {
	steps, err := d.b.plain().Plan(d.in, plainFiles(d.in.Want))
	if err != nil {
		return err
	}
	d.steps = append(d.steps, steps...)
	secret, err := secretFiles(&d.in.Want.PPP, d.in.Secrets.Value)
	if err != nil {
		return err
	}
	steps, err = d.b.secret(d.in).Plan(d.in, secret)
	d.steps = append(d.steps, steps...)
	return err
}

// sessionID is a session as an operation holds it.
type sessionID struct {
	PID       int    `json:"pid"`
	Interface string `json:"interface"`
}

// sessionList is what an operation ends.
type sessionList struct {
	Sessions []sessionID `json:"sessions"`
}

// applyEnd ends sessions. It has no inverse: who was logged in has to dial again.
func (b *Backend) applyEnd(ctx context.Context, from, to *sessionList) error {
	if from == nil || to != nil {
		return nil
	}
	live, err := b.Sessions.List(ctx)
	if err != nil {
		return err
	}
	for _, s := range live {
		for _, id := range from.Sessions {
			if s.PID == id.PID && s.Interface == id.Interface {
				if err := b.Sessions.End(ctx, s); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
