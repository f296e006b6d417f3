// Package pptptest has a host for tests on which pptpd, the links of PPTP and systemd run,
// as far as package pptp can tell.
package pptptest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/host/hosttest"
	"github.com/vpnctl/vpnctl/internal/ppp"
	"github.com/vpnctl/vpnctl/internal/ppp/ppptest"
	"github.com/vpnctl/vpnctl/internal/pptp"
)

// World is such a host. Sessions of users are begun and ended by the test, those of links
// come and go with their processes.
type World struct {
	Files    *hosttest.Files
	PPP      *ppptest.Fake
	Systemd  bool
	Packaged bool // systemd has the package's unit
	// Away says that no server answers the links.
	Away bool
	// Fault is asked before each write but those to files, which have their own.
	Fault func(write string) error

	processes []pptp.Process
	units     map[string]*unit
	pid       int
	listener  int
	other     string // who has the port and is no pptpd
}

// unit is one of systemd's.
type unit struct {
	loaded  string // what systemd has read of our file
	enabled bool
	active  bool
	pid     int
}

// New returns a host without anything.
func New() *World {
	return &World{Files: &hosttest.Files{}, PPP: &ppptest.Fake{}, units: map[string]*unit{}}
}

func (w *World) fault(write string) error {
	if w.Fault == nil {
		return nil
	}
	return w.Fault(write)
}

const (
	service = "pptpd.service"
	folder  = "/etc/systemd/system/"
	dropIn  = folder + service + ".d/vpnctl.conf"
)

// Install is what the package does: its unit runs, with a file that nobody has touched.
func (w *World) Install() {
	w.Packaged = true
	if w.Systemd {
		w.units[service] = &unit{enabled: true, active: true, pid: w.begin("pptpd", "/usr/sbin/pptpd", "--fg")}
		w.listener = w.units[service].pid
	}
}

// Foreign starts a pptpd of somebody else's.
func (w *World) Foreign(args ...string) {
	w.listener = w.begin("pptpd", args...)
}

// Occupy gives the port to a program that is no pptpd.
func (w *World) Occupy(name string) { w.other = name }

func (w *World) begin(name string, args ...string) int {
	w.pid++
	w.processes = append(w.processes, pptp.Process{PID: w.pid, Name: name, Args: args})
	return w.pid
}

// Reboot ends everything, and starts nothing again.
func (w *World) Reboot() {
	w.processes, w.listener = nil, 0
	w.PPP.Drop(func(ppp.Session) bool { return true })
	for _, u := range w.units {
		u.active = false
	}
}

// Login is a user's session at an address, with a server of vpnctl's, or with somebody else's
// for "".
func (w *World) Login(object, user, address string) {
	pid := w.Negotiate(object, address)
	_, name, _ := strings.Cut(object, "/")
	w.PPP.Begin(ppp.Session{Protocol: desired.PPTP, Name: name, User: user, PID: pid,
		Local: netip.MustParseAddr("192.168.0.1"), Remote: netip.MustParseAddr(address)})
}

// Negotiate is a login that is not done yet; it returns the number of its pppd.
func (w *World) Negotiate(object, address string) (pid int) {
	options := "/etc/ppp/pptpd-options"
	if _, name, ours := strings.Cut(object, "/"); ours {
		options = "/etc/ppp/options.vpnctl-pptp-" + name
	}
	return w.begin("pppd", "/usr/sbin/pppd", "local", "file", options, "192.168.0.1:"+address)
}

// Logout ends the sessions at an address.
func (w *World) Logout(address string) {
	all, _ := w.PPP.List(context.Background())
	for _, s := range all {
		if s.Remote.String() == address {
			w.kill(s.PID)
		}
	}
}

// KillServer ends pptpd's parents, as SIGKILL does. systemd starts its own again.
func (w *World) KillServer() {
	w.processes = slices.DeleteFunc(w.processes, func(p pptp.Process) bool { return p.Name == "pptpd" })
	w.listener = 0
	if u := w.units[service]; u != nil && u.active {
		u.active = false
		w.startService(u)
	}
}

// KillLink ends the process of a link and leaves its pppd.
func (w *World) KillLink(name string) {
	w.processes = slices.DeleteFunc(w.processes, func(p pptp.Process) bool { return runs(p, pptp.LinkCommand, name) })
}

func runs(p pptp.Process, command string, args ...string) bool {
	return len(p.Args) > len(args)+1 && p.Args[1] == command && slices.Equal(p.Args[2:2+len(args)], args)
}

// kill ends one process, and what ends with it.
func (w *World) kill(pid int) {
	i := slices.IndexFunc(w.processes, func(p pptp.Process) bool { return p.PID == pid })
	if i < 0 {
		return
	}
	p := w.processes[i]
	w.processes = slices.Delete(w.processes, i, i+1)
	w.PPP.Drop(func(s ppp.Session) bool { return s.PID == pid })
	if w.listener == pid {
		w.listener = 0
	}
	if runs(p, pptp.LinkCommand) {
		w.hangUp(p.Args[2])
	}
	if name := linkOf(p); name != "" && w.dialled(name) {
		w.dial(name)
	}
}

// linkOf is the link that a pppd is of.
func linkOf(p pptp.Process) string {
	if i := slices.Index(p.Args, "call"); i >= 0 {
		return strings.TrimPrefix(p.Args[i+1], "vpnctl-pptp-")
	}
	return ""
}

// dialled reports whether a process dials a link.
func (w *World) dialled(name string) bool {
	return slices.ContainsFunc(w.processes, func(p pptp.Process) bool { return runs(p, pptp.LinkCommand, name) })
}

func (w *World) hangUp(name string) {
	for _, p := range slices.Clone(w.processes) {
		if linkOf(p) == name {
			w.kill(p.PID)
		}
	}
}

// dial begins the session of a link.
func (w *World) dial(name string) {
	f, err := w.Files.Read("/etc/ppp/peers/vpnctl-pptp-" + name)
	if err != nil || w.Away {
		return
	}
	pid := w.begin("pppd", pptp.DialArgs(name, f.Data)...)
	w.PPP.Begin(ppp.Session{Protocol: desired.PPTP, Name: name, Link: true, User: "user1", PID: pid,
		Local: netip.MustParseAddr("192.168.131.100"), Remote: netip.MustParseAddr("192.168.0.1")})
}

// List implements pptp.Processes.
func (w *World) List() ([]pptp.Process, error) { return slices.Clone(w.processes), nil }

// Start implements pptp.Processes.
func (w *World) Start(argv []string) error {
	if err := w.fault("start " + strings.Join(argv, " ")); err != nil {
		return err
	}
	w.Foreign(argv...)
	return nil
}

// StartSelf implements pptp.Processes.
func (w *World) StartSelf(args ...string) error {
	if err := w.fault("start vpnctl " + strings.Join(args, " ")); err != nil {
		return err
	}
	w.self(args...)
	return nil
}

// self runs one of vpnctl's hidden commands.
func (w *World) self(args ...string) int {
	if args[0] == pptp.LinkCommand {
		pid := w.begin("vpnctl", append([]string{"/usr/sbin/vpnctl"}, args...)...)
		w.dial(args[1])
		return pid
	}
	f, _ := w.Files.Read(pptp.ConfPath)
	sessions, _ := w.PPP.List(context.Background())
	var held []netip.Addr
	for _, s := range sessions {
		held = append(held, s.Remote)
	}
	text, free, err := pptp.Load(f.Data, held)
	if err != nil || free == 0 || w.listener != 0 {
		return 0
	}
	w.Files.Put(pptp.LoadedPath, string(text), 0o600)
	w.Files.Put("/run/vpnctl/pptpd.pid", "1\n", 0o644)
	w.listener = w.begin("pptpd", "pptpd", "-f", "-c", pptp.LoadedPath)
	return w.listener
}

// End implements pptp.Processes.
func (w *World) End(_ context.Context, pid int) error {
	if err := w.fault("end a process"); err != nil {
		return err
	}
	w.kill(pid)
	return nil
}

// Listener implements pptp.Processes.
func (w *World) Listener() (int, string, error) {
	switch {
	case w.other != "":
		return 1, w.other, nil
	case w.listener != 0:
		return w.listener, "pptpd", nil
	}
	return 0, "", nil
}

// Sessions are the host's pppds.
func (w *World) Sessions() ppp.Sessions { return sessions{w} }

type sessions struct{ *World }

func (s sessions) List(ctx context.Context) ([]ppp.Session, error) { return s.PPP.List(ctx) }

func (s sessions) End(_ context.Context, one ppp.Session) error {
	if err := s.fault("end a session"); err != nil {
		return err
	}
	s.kill(one.PID)
	return nil
}

// Units is systemd.
func (w *World) Units(context.Context) (pptp.Units, error) { return units{w}, nil }

type units struct{ w *World }

func (units) Close() {}

// file is what there is of ours for a unit, "" for nothing.
func (u units) file(name string) string {
	path := folder + name
	if name == service {
		path = dropIn
	}
	f, _ := u.w.Files.Read(path)
	return string(f.Data)
}

func (u units) get(name string) *unit {
	if u.w.units[name] == nil {
		u.w.units[name] = &unit{}
	}
	return u.w.units[name]
}

func (u units) Reload(context.Context) error {
	if err := u.w.fault("daemon-reload"); err != nil {
		return err
	}
	for _, path := range u.w.Files.Paths() {
		if name, ok := strings.CutPrefix(path, folder+"vpnctl-pptp-"); ok {
			u.get("vpnctl-pptp-" + name)
		}
	}
	for name, s := range u.w.units {
		s.loaded = u.file(name)
	}
	return nil
}

func (u units) Enable(_ context.Context, name string) error { return u.turn(name, true) }

func (u units) Disable(_ context.Context, name string) error { return u.turn(name, false) }

func (u units) turn(name string, enabled bool) error {
	if err := u.w.fault(fmt.Sprintf("enable %s: %t", name, enabled)); err != nil {
		return err
	}
	u.get(name).enabled = enabled
	return nil
}

func (u units) Start(_ context.Context, name string) error {
	s := u.get(name)
	if s.active {
		return nil
	}
	if name != service && s.loaded == "" {
		return errors.New("no such unit")
	}
	if err := u.w.fault("start " + name); err != nil {
		return err
	}
	if name == service {
		u.w.startService(s)
		return nil
	}
	s.active = true
	link := strings.TrimSuffix(strings.TrimPrefix(name, "vpnctl-pptp-"), ".service")
	s.pid = u.w.self(pptp.LinkCommand, link)
	return nil
}

// startService starts the package's unit, as our drop-in says or without one.
func (w *World) startService(s *unit) {
	s.active = true
	if strings.Contains(s.loaded, pptp.ServerCommand) {
		s.pid = w.self(pptp.ServerCommand) // tried again and again where that is 0
		return
	}
	s.pid = w.begin("pptpd", "/usr/sbin/pptpd", "--fg")
	w.listener = s.pid
}

func (u units) StopAndWait(_ context.Context, name string) error {
	s := u.get(name)
	if !s.active {
		return nil
	}
	if err := u.w.fault("stop " + name); err != nil {
		return err
	}
	s.active = false
	u.w.kill(s.pid)
	if name == service && !strings.Contains(s.loaded, "KillMode=process") {
		// The package's unit takes the sessions along.
		for _, p := range slices.Clone(u.w.processes) {
			if p.Name == "pppd" && linkOf(p) == "" {
				u.w.kill(p.PID)
			}
		}
	}
	return nil
}

func (u units) Active(_ context.Context, name string) (bool, error) {
	return u.w.units[name] != nil && u.w.units[name].active, nil
}

func (u units) FileState(_ context.Context, name string) (string, error) {
	if name != service && (u.w.units[name] == nil || u.w.units[name].loaded == "") || name == service && !u.w.Packaged {
		return "", nil
	}
	if u.get(name).enabled {
		return "enabled", nil
	}
	return "disabled", nil
}

// String is the host in the words of its tools, without numbers of processes.
func (w *World) String() string {
	var lines []string
	for _, p := range w.processes {
		lines = append(lines, fmt.Sprintf("%s: %s", p.Name, strings.Join(p.Args, " ")))
	}
	for name, u := range w.units {
		if u.loaded != "" || u.enabled || u.active {
			lines = append(lines, fmt.Sprintf("%s: enabled %t, active %t, read %t", name, u.enabled, u.active, u.loaded != ""))
		}
	}
	all, _ := w.PPP.List(context.Background())
	for _, s := range all {
		lines = append(lines, fmt.Sprintf("session of %s at %s", s.User, s.Remote))
	}
	slices.Sort(lines)
	// That folder is the lock's and others' as well.
	return strings.Join(lines, "\n") + "\n" + strings.Replace(w.Files.String(), "drwxr-xr-x /run/vpnctl\n", "", 1)
}
