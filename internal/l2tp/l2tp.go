package l2tp

import (
	"context"
	"fmt"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/file"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/ppp"
)

// Backend reconciles the xl2tpd of one host.
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
	Files   host.Tree
	Daemon  Daemon
	Control Control
	// Sessions are the pppds of the host.
	Sessions ppp.Sessions
	// Taken names a process that has L2TP's port and is no xl2tpd, "" for none.
	Taken func() (string, error)
	// Kernel reports whether the kernel can carry L2TP.
	Kernel func() bool
	// Look is the time between two looks at xl2tpd while watching.
	Look time.Duration
}

// New returns a Backend for the real host, apart from what c replaces.
func New(c Config) *Backend {
	if c.Files == nil {
		c.Files = host.Disk{}
	}
	if c.Control == nil {
		c.Control = pipe{}
	}
	if c.Daemon == nil {
		c.Daemon = &system{control: c.Control}
	}
	if c.Sessions == nil {
		c.Sessions = ppp.Live()
	}
	if c.Taken == nil {
		c.Taken = portOwner
	}
	if c.Kernel == nil {
		c.Kernel = kernelCarries
	}
	if c.Look == 0 {
		c.Look = 2 * time.Second
	}
	return &Backend{c}
}

// Kind implements backend.Backend.
func (b *Backend) Kind() backend.Kind { return backend.L2TP }

// Status implements backend.Backend: sessions are pppd's, and its backend's to tell.
func (b *Backend) Status(context.Context, backend.Input) ([]backend.Tunnel, error) { return nil, nil }

// unitOwner is whose the drop-ins are, of which systemd must be told.
const unitOwner backend.Kind = "l2tp-unit"

func (b *Backend) owner() file.Owner { return file.Owner{Files: b.Files, Kind: backend.L2TP} }

func (b *Backend) units() file.Owner { return file.Owner{Files: b.Files, Kind: unitOwner} }

// Plan implements backend.Backend.
func (b *Backend) Plan(ctx context.Context, in backend.Input) ([]backend.Step, error) {
	want := sections(&in.Want.PPP)
	if len(want) == 0 && b.forgotten(in) {
		return nil, nil
	}
	h, err := b.observe(ctx)
	if err != nil {
		return nil, err
	}
	conf, err := b.owner().Plan(in, confFile(want))
	if err != nil {
		return nil, err
	}
	units, err := b.units().Plan(in, unitFiles(want, h.DaemonState))
	if err != nil {
		return nil, err
	}
	d := &differ{in: in, want: want, h: h, steps: conf}
	d.units(units)
	d.daemon()
	return d.steps, nil
}

// forgotten reports whether nothing of ours is left here: such a host is asked nothing.
func (b *Backend) forgotten(in backend.Input) bool {
	return in.Memory[daemonMemory] == nil && len(b.owner().Owned(in.Memory))+len(b.units().Owned(in.Memory)) == 0
}

// observed is what there is.
type observed struct {
	DaemonState
	// answers says that xl2tpd listens on its control pipe, and has told what it loaded.
	answers  bool
	loaded   Loaded
	filed    []Section // in the file
	sessions []ppp.Session
}

func (b *Backend) observe(ctx context.Context) (*observed, error) {
	state, err := b.Daemon.State(ctx)
	if err != nil {
		return nil, err
	}
	h := &observed{DaemonState: state}
	if f, err := b.Files.Read(ConfPath); err == nil {
		h.filed = parse(f.Data)
	}
	all, err := b.Sessions.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing sessions: %w", err)
	}
	for _, s := range all {
		if s.Protocol == desired.L2TP {
			h.sessions = append(h.sessions, s)
		}
	}
	if !h.Running {
		return h, nil
	}
	h.loaded, err = b.Control.List(ctx)
	// One that cannot be spoken to is one that has to be started anew.
	h.answers = err == nil
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return h, nil
}

// ours reports whether the running xl2tpd has read a file of ours.
func (h *observed) ours() bool {
	for _, name := range append(append([]string(nil), h.loaded.LNS...), h.loaded.LAC...) {
		if _, _, ok := nameOf(name); ok {
			return h.answers
		}
	}
	return false
}

// names lists the loaded sections of a kind and tunnel, in their order.
func (l *Loaded) names(kind, tunnel string) []string {
	all := l.LNS
	if kind == kindLAC {
		all = l.LAC
	}
	var out []string
	for _, name := range all {
		if t, _, ok := nameOf(name); ok && t == tunnel {
			out = append(out, name)
		}
	}
	return out
}

// has reports whether a section counts for those who come now: of a server, the first one
// does; a link dials with each that it has.
func (l *Loaded) has(s *Section) bool {
	names := l.names(s.Kind, s.Tunnel)
	if len(names) == 0 || s.Kind == kindLAC && len(names) > 1 {
		return false
	}
	_, base, _ := nameOf(names[0])
	return base == s.Name
}
