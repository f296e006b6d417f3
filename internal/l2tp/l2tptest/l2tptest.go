// Package l2tptest is a host with xl2tpd for tests. Its xl2tpd does what the real one does
// with its file and its control pipe, the traps included.
package l2tptest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/host/hosttest"
	"github.com/vpnctl/vpnctl/internal/l2tp"
	"github.com/vpnctl/vpnctl/internal/ppp"
	"github.com/vpnctl/vpnctl/internal/ppp/ppptest"
)

// Host is one fake host. It is the l2tp.Daemon and l2tp.Control of a l2tp.Backend, and in
// the hands of a test the far ends of its sessions.
type Host struct {
	// Fault is asked before each write, also those of files and sessions, with what it is:
	// "start xl2tpd", "add lns NAME". The write does not happen where it returns an error.
	Fault func(write string) error
	// State is what the host is like; whether xl2tpd runs is not taken from there.
	State l2tp.DaemonState
	// Taken names who has L2TP's port; NoKernel is a kernel without L2TP.
	Taken    string
	NoKernel bool
	Files    *hosttest.Files
	Sessions *ppptest.Fake
	// Alone says that no link comes up: there is nobody.
	Alone bool
	// Starts counts the starts of xl2tpd, Reloads those of systemd.
	Starts, Reloads int

	running  bool
	lns, lac []section
	on       map[int]string // the section of a session's pppd
}

// section is one that xl2tpd has loaded.
type section struct {
	name    string
	options []string
}

// New is a host that has what L2TP needs, and no xl2tpd that runs.
func New() *Host {
	h := &Host{
		State: l2tp.DaemonState{Installed: true},
		Files: &hosttest.Files{}, Sessions: &ppptest.Fake{}, on: map[int]string{},
	}
	h.Files.Fault, h.Sessions.Fault = h.fault, h.fault
	return h
}

// Config is a Backend's view of the host.
func (h *Host) Config() l2tp.Config {
	return l2tp.Config{
		Files: h.Files, Daemon: daemon{h}, Control: control{h}, Sessions: h.Sessions,
		Taken: func() (string, error) { return h.Taken, nil }, Kernel: func() bool { return !h.NoKernel },
	}
}

func (h *Host) fault(write string) error {
	if h.Fault == nil {
		return nil
	}
	return h.Fault(write)
}

// Run starts xl2tpd as an operator does.
func (h *Host) Run() error {
	h.kill()
	f, err := h.Files.Read(l2tp.ConfPath)
	if err != nil {
		return errors.New("xl2tpd: Unable to load config file")
	}
	h.lns, h.lac = nil, nil
	var current *section
	for line := range strings.Lines(string(f.Data)) {
		line, _, _ = strings.Cut(line, ";")
		line = strings.TrimSpace(line)
		switch {
		case line == "":
		case line == "[global]":
			current = &section{}
		case strings.HasPrefix(line, "[lns ") && strings.HasSuffix(line, "]"):
			current = push(&h.lns, line[len("[lns "):len(line)-1])
		case strings.HasPrefix(line, "[lac ") && strings.HasSuffix(line, "]"):
			current = push(&h.lac, line[len("[lac "):len(line)-1])
		case current == nil || !strings.Contains(line, "="):
			return fmt.Errorf("parse_config: data '%s' occurs with no context", line)
		default:
			current.options = append(current.options, line)
		}
	}
	h.running = true
	for _, s := range h.lac {
		h.dial(s)
	}
	return nil
}

// push puts a section at the head of its kind.
func push(all *[]section, name string) *section {
	*all = append([]section{{name: name}}, *all...)
	return &(*all)[0]
}

// Kill ends xl2tpd as SIGKILL does: its pppds stay.
func (h *Host) Kill() { h.running, h.lns, h.lac, h.on = false, nil, nil, map[int]string{} }

// kill ends it as SIGTERM does.
func (h *Host) kill() {
	h.Sessions.Drop(func(s ppp.Session) bool { _, ok := h.on[s.PID]; return ok })
	h.Kill()
}

// dial brings a link up.
func (h *Host) dial(s section) {
	if h.Alone {
		return
	}
	tunnel, _, _ := strings.Cut(strings.TrimPrefix(s.name, "vpnctl-"), "-")
	session := h.Sessions.Begin(ppp.Session{
		Protocol: desired.L2TP, Name: tunnel, Link: true, User: h.userOf(s), Local: netip.MustParseAddr("192.168.77.7"),
	})
	h.on[session.PID] = s.name
}

// userOf is as whom a link dials, by the file that its pppd would read.
func (h *Host) userOf(s section) string {
	for _, o := range s.options {
		path, ok := strings.CutPrefix(o, "pppoptfile = ")
		if f, err := h.Files.Read(path); ok && err == nil {
			if _, rest, ok := strings.Cut(string(f.Data), "\nuser \""); ok {
				name, _, _ := strings.Cut(rest, "\"")
				return name
			}
		}
	}
	return "us"
}

// Login begins a session of a user, on the server's section that is looked at first.
func (h *Host) Login(user, address string) {
	if !h.running || len(h.lns) == 0 {
		panic("nobody serves " + user)
	}
	s := h.lns[0]
	name := ""
	if rest, ok := strings.CutPrefix(s.name, "vpnctl-"); ok {
		name, _, _ = strings.Cut(rest, "-")
	}
	session := h.Sessions.Begin(ppp.Session{
		Protocol: desired.L2TP, Name: name, User: user, Remote: netip.MustParseAddr(address), Outer: "198.51.100.7:1701",
	})
	h.on[session.PID] = s.name
}

// Serving are the options of the server's section that new sessions get.
func (h *Host) Serving() []string {
	if len(h.lns) == 0 {
		return nil
	}
	return h.lns[0].options
}

// Offers are the ranges from which a session on any of the server's sections can get its
// address, each once.
func (h *Host) Offers() []string {
	var out []string
	for _, s := range h.lns {
		var ranges []string
		for _, o := range s.options {
			key, value, _ := strings.Cut(o, " = ")
			switch {
			case key == "ip range":
				ranges = append(ranges, value)
			case key == "no ip range" && value == "0.0.0.0-255.255.255.255":
				ranges = nil
			case key == "no ip range":
				panic("no ip range = " + value)
			}
		}
		out = append(out, ranges...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// String is all that an apply may change, as files, xl2tpd-control and pgrep show it.
// Sections on which nobody can come any more are left out: they are nobody's difference.
func (h *Host) String() string {
	return h.Files.String() + h.Daemon()
}

// Daemon is what of it is xl2tpd's.
func (h *Host) Daemon() string {
	var b strings.Builder
	if h.running {
		b.WriteString("xl2tpd runs\n")
	}
	for i, s := range h.lns {
		if i == 0 {
			fmt.Fprintf(&b, "lns %s: %s\n", base(s.name), strings.Join(s.options, "; "))
		}
	}
	lacs := slices.Clone(h.lac)
	slices.SortFunc(lacs, func(x, y section) int { return strings.Compare(x.name, y.name) })
	for _, s := range lacs {
		fmt.Fprintf(&b, "lac %s: %s\n", base(s.name), strings.Join(s.options, "; "))
	}
	return b.String()
}

func base(name string) string {
	base, _, _ := strings.Cut(name, ".")
	return base
}

// daemon is the Host as an l2tp.Daemon.
type daemon struct{ *Host }

// State implements l2tp.Daemon.
func (d daemon) State(context.Context) (l2tp.DaemonState, error) {
	s := d.Host.State
	s.Running = d.running
	return s, nil
}

// Start implements l2tp.Daemon.
func (d daemon) Start(context.Context) error {
	if err := d.fault("start xl2tpd"); err != nil {
		return err
	}
	d.Starts++
	return d.Run()
}

// Stop implements l2tp.Daemon.
func (d daemon) Stop(context.Context) error {
	if !d.running {
		return nil
	}
	if err := d.fault("stop xl2tpd"); err != nil {
		return err
	}
	d.kill()
	return nil
}

// Reload implements l2tp.Daemon.
func (d daemon) Reload(context.Context) error {
	d.Reloads++
	return nil
}

// control is the Host as an l2tp.Control.
type control struct{ *Host }

// List implements l2tp.Control.
func (c control) List(context.Context) (l2tp.Loaded, error) {
	if !c.running {
		return l2tp.Loaded{}, l2tp.ErrNotRunning
	}
	return l2tp.Loaded{LNS: names(c.lns), LAC: names(c.lac)}, nil
}

func names(all []section) []string {
	var out []string
	for _, s := range all {
		out = append(out, s.name)
	}
	return out
}

// Add implements l2tp.Control. To a server that it has, xl2tpd adds; of a link that it has
// it takes no notice.
func (c control) Add(_ context.Context, s l2tp.Section) error {
	if err := c.fault("add " + s.Kind + " " + s.Name); err != nil {
		return err
	}
	all := &c.lns
	if s.Kind == "lac" {
		all = &c.lac
	}
	if i := slices.Index(names(*all), s.Name); i >= 0 {
		if s.Kind == "lac" {
			return errors.New("xl2tpd: no answer")
		}
		(*all)[i].options = append((*all)[i].options, s.Options...)
		return nil
	}
	added := push(all, s.Name)
	added.options = slices.Clone(s.Options)
	if s.Kind == "lac" {
		c.dial(*added)
	}
	return nil
}

// Remove implements l2tp.Control.
func (c control) Remove(_ context.Context, kind, name string) error {
	if err := c.fault("remove " + kind + " " + name); err != nil {
		return err
	}
	c.Sessions.Drop(func(s ppp.Session) bool { return c.on[s.PID] == name })
	all := &c.lns
	if kind == "lac" {
		all = &c.lac
	}
	*all = slices.DeleteFunc(*all, func(s section) bool { return s.name == name })
	return nil
}

// Tunnels implements l2tp.Control.
func (c control) Tunnels(ctx context.Context, name string) (int, error) {
	all, err := c.Sessions.List(ctx)
	n := 0
	for _, s := range all {
		if c.on[s.PID] == name {
			n++
		}
	}
	return n, err
}
