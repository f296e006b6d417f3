package pptp

import (
	"context"
	"os"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/file"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/ppp"
	"github.com/vpnctl/vpnctl/internal/reason"
	"github.com/vpnctl/vpnctl/internal/unit"
)

// Backend reconciles the pptpd and the links of one host.
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
	Files     host.Tree
	Sessions  ppp.Sessions
	Processes Processes
	// Units drives systemd, where it runs.
	Units  func(ctx context.Context) (Units, error)
	Booted func() bool
	// Exe is the path of vpnctl.
	Exe func() (string, error)
	// Installed reports whether a program is there.
	Installed func(program string) bool
	// Reasons keeps why links are down.
	Reasons *reason.Store
	// Look is the time between two looks while watching.
	Look time.Duration
}

// Units are systemd's; see unit.Manager.
type Units interface {
	Reload(ctx context.Context) error
	Enable(ctx context.Context, name string) error
	Disable(ctx context.Context, name string) error
	Start(ctx context.Context, name string) error
	StopAndWait(ctx context.Context, name string) error
	Active(ctx context.Context, name string) (bool, error)
	FileState(ctx context.Context, name string) (string, error)
	Close()
}

// New returns a Backend for the real host, apart from what c replaces.
func New(c Config) *Backend {
	if c.Files == nil {
		c.Files = host.Disk{}
	}
	if c.Sessions == nil {
		c.Sessions = ppp.Live()
	}
	if c.Processes == nil {
		c.Processes = processes{}
	}
	if c.Units == nil {
		c.Units = func(ctx context.Context) (Units, error) { return unit.Connect(ctx) }
	}
	if c.Booted == nil {
		c.Booted = unit.Booted
	}
	if c.Exe == nil {
		c.Exe = os.Executable
	}
	if c.Installed == nil {
		c.Installed = func(program string) bool { _, err := host.LookPath(program); return err == nil }
	}
	if c.Reasons == nil {
		c.Reasons = reason.Open(reason.Dir)
	}
	if c.Look == 0 {
		c.Look = 5 * time.Second
	}
	return &Backend{c}
}

// Kind implements backend.Backend.
func (b *Backend) Kind() backend.Kind { return backend.PPTP }

// Status implements backend.Backend: sessions are pppd's, and its backend's to tell.
func (b *Backend) Status(context.Context, backend.Input) ([]backend.Tunnel, error) { return nil, nil }

// unitOwner is whose the files are of which systemd must be told.
const unitOwner backend.Kind = "pptp-unit"

func (b *Backend) confs() file.Owner { return file.Owner{Files: b.Files, Kind: backend.PPTP} }

func (b *Backend) units() file.Owner { return file.Owner{Files: b.Files, Kind: unitOwner} }

// wanted is what of PPTP a state has.
type wanted struct {
	server *desired.PPPServer
	conf   []byte
	links  []desired.PPPLink
}

func want(s *desired.State) wanted {
	w := wanted{server: s.PPP.Server(desired.PPTP), links: s.PPP.LinksOf(desired.PPTP)}
	if w.server != nil {
		w.conf = Render(w.server)
	}
	return w
}

func (w *wanted) empty() bool { return w.server == nil && len(w.links) == 0 }

func (w *wanted) confFiles() []desired.File {
	if w.server == nil {
		return nil
	}
	return []desired.File{{Path: ConfPath, Data: w.conf, Mode: 0o644}}
}

// Plan implements backend.Backend.
func (b *Backend) Plan(ctx context.Context, in backend.Input) ([]backend.Step, error) {
	w := want(in.Want)
	if w.empty() && b.forgotten(in.Memory) {
		return nil, nil
	}
	h, err := b.observe(ctx)
	if err != nil {
		return nil, err
	}
	d := &differ{b: b, in: in, w: w, h: h}
	return d.plan(ctx)
}

// forgotten reports whether nothing of ours is left here: such a host is asked nothing.
func (b *Backend) forgotten(m backend.Memory) bool {
	return m[serverKey] == nil && len(linksOf(m)) == 0 && len(b.confs().Owned(m))+len(b.units().Owned(m)) == 0
}

// The operations.
const (
	opServer = "pptp.server"
	opLink   = "pptp.link"
	opRedial = "pptp.redial"
	opEnd    = "pptp.end"
	opReload = "pptp.reload"
)

// Handlers implements backend.Operator.
func (b *Backend) Handlers() map[string]backend.Handler {
	return map[string]backend.Handler{
		opServer: backend.Handle(b.applyServer),
		opLink:   backend.Handle(b.applyLink),
		opRedial: backend.Handle(b.applyRedial),
		opEnd:    backend.Handle(b.applyEnd),
		opReload: backend.Handle(b.applyReload),
	}
}
