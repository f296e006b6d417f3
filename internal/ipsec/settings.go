package ipsec

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/file"
)

// settingsFile is where charon's own settings are changed. It is read after the packages'
// files, and counts more.
const settingsFile = "/etc/strongswan.d/vpnctl.conf"

// The plugins of charon that somebody has to choose about.
const (
	// resolve writes the resolvers that a server hands out into /etc/resolv.conf.
	pluginResolve = "resolve"
	// libipsec encrypts in charon itself, behind a link of its own.
	pluginLibipsec = "kernel-libipsec"
	libipsecLink   = "ipsec0"
)

// settings are what charon's own configuration has to say.
type settings struct {
	// Plugins are to be loaded (true), or not to be.
	Plugins map[string]bool `json:"plugins,omitempty"`
	// Syslog says that charon shall write its log there: one that runs without systemd
	// has no journal.
	Syslog bool `json:"syslog,omitempty"`
}

func (s *settings) empty() bool { return len(s.Plugins) == 0 && !s.Syslog }

// render is the file's text.
func (s *settings) render() []byte {
	var b strings.Builder
	b.WriteString(file.Header + "; changes are overwritten.\n")
	if len(s.Plugins) > 0 {
		b.WriteString("charon {\n    plugins {\n")
		for _, name := range sortedKeys(s.Plugins) {
			fmt.Fprintf(&b, "        %s {\n            load = %s\n        }\n", name, yesNo(s.Plugins[name]))
		}
		b.WriteString("    }\n}\n")
	}
	if s.Syslog {
		b.WriteString("charon-systemd {\n    syslog {\n        identifier = charon-systemd\n        daemon {\n            default = 1\n        }\n    }\n}\n")
	}
	return []byte(b.String())
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// settleSettings finds out what charon has to be told on this host.
func (b *Backend) settleSettings(in backend.Input, w *wanted, h *snapshot) {
	w.settings = &settings{Plugins: map[string]bool{}}
	if w.empty() {
		return
	}
	if asks, uses := resolvers(w.IPsec); asks {
		w.settings.Plugins[pluginResolve] = uses
	}
	if b.userspace(w.IPsec) {
		w.settings.Plugins[pluginLibipsec] = true
	}
	var setup *DaemonSetup
	ours := in.Memory.Get(daemonMemory, &setup) && setup != nil && !setup.Kept
	w.settings.Syslog = !h.state.Systemd && (ours || !h.state.Running && !restartCutOff(in.Memory))
	if !w.settings.empty() {
		w.certs = append(w.certs, desiredFile(settingsFile, w.settings.render(), false))
	}
}

// resolvers reports whether a connection of this node gets resolvers from a server, and
// whether one is to use them. charon asks for all or for none.
func resolvers(i *desired.IPsec) (asks, uses bool) {
	for _, c := range i.Connections {
		asks = asks || len(c.VIPs) > 0
		uses = uses || len(c.VIPs) > 0 && c.UseDNS
	}
	return asks, uses
}

// userspace reports whether charon has to encrypt itself.
func (b *Backend) userspace(i *desired.IPsec) bool { return !i.IsZero() && !b.Kernel.ESP() }

// Link is the link by which traffic that is to be protected leaves, and comes in, of a node
// on which charon encrypts itself; "" where the kernel does.
func (b *Backend) Link(want *desired.State) string {
	if b.userspace(&want.IPsec) {
		return libipsecLink
	}
	return ""
}

// wrong are the plugins that charon has otherwise than it shall, as fields of a plan.
func (s *settings) wrong(loaded []string) []backend.Field {
	var fields []backend.Field
	for _, name := range sortedKeys(s.Plugins) {
		if has := slices.Contains(loaded, name); has != s.Plugins[name] {
			fields = append(fields, backend.Field{
				Name: "plugin " + name, Have: backend.Text(yesNo(has)), Want: backend.Text(yesNo(s.Plugins[name])),
			})
		}
	}
	return fields
}

// restart is a charon that starts anew, for the sake of its plugins, and is given all that
// it had.
type restart struct {
	Setup   DaemonSetup     `json:"setup"`
	Plugins map[string]bool `json:"plugins"`
	Objects []*object       `json:"objects"`
}

// restartDaemon plans the restart of a charon whose plugins are others than they shall be:
// it loads them when it starts, and never again. Undoing it comes behind the undoing of all
// files, so that it is a step of its own, ahead of them.
func (d *differ) restartDaemon() {
	fields := d.w.settings.wrong(d.h.plugins)
	again := d.h.running && len(fields) > 0 && (!d.in.Options.Boot || !d.h.state.Systemd)
	if again && !restartCutOff(d.in.Memory) {
		d.steps = append(d.steps, backend.Remember(backend.PhaseMemory, restartMemory, nil, true))
	}
	if again || restartCutOff(d.in.Memory) {
		d.steps = append(d.steps, backend.Remember(backend.PhaseForget, restartMemory, true, nil))
	}
	if !again {
		return
	}
	d.restarts = true
	setup := DaemonSetup{Systemd: d.h.state.Systemd}
	before := &restart{setup, map[string]bool{}, d.h.have.all()}
	for name := range d.w.settings.Plugins {
		before.Plugins[name] = slices.Contains(d.h.plugins, name)
	}
	c := backend.Change{Action: backend.Update, Object: daemonObject, Fields: fields, Impact: backend.Impact{Level: backend.Reload, What: "restarts charon"}}
	var sessions []backend.Session
	for i := range d.h.sas {
		if sa := &d.h.sas[i]; sa.established() {
			sessions = append(sessions, sessionOf(sa))
			d.noteAgain(sa, nil, true)
		}
	}
	if len(sessions) > 0 {
		c.Impact = impact("restarts charon", "interrupts", sessions)
	}
	d.step(backend.PhaseMemory, backend.Op{Kind: opRestart, From: before})
	d.step(backend.PhaseStart, backend.Op{Kind: opRestart, To: &restart{setup, d.w.settings.Plugins, d.w.objects.all()}}, c)
	for _, o := range d.w.objects.of(kindConn) {
		d.bringUp(o, o.children().Names()...)
	}
}

// restartCutOff reports whether a process was killed while it restarted charon.
func restartCutOff(m backend.Memory) bool {
	_, ok := m[restartMemory]
	return ok
}

// all lists the objects in the order in which they are loaded.
func (h holding) all() []*object {
	var out []*object
	for _, k := range kinds {
		out = append(out, h.of(k)...)
	}
	return out
}

// applyRestart restarts charon where its plugins are not those that it shall have. Each
// direction has a step of its own; see restartDaemon.
func (b *Backend) applyRestart(ctx context.Context, _, to *restart) error {
	if to == nil {
		return nil
	}
	c, err := b.open(ctx)
	if err != nil && !errors.Is(err, ErrNotRunning) {
		return err
	}
	if err == nil {
		loaded, err := c.plugins(ctx)
		_ = c.Close()
		if err != nil || len((&settings{Plugins: to.Plugins}).wrong(loaded)) == 0 {
			return err
		}
		if err := b.Daemon.Stop(ctx, to.Setup); err != nil {
			return err
		}
	}
	if err := b.Daemon.Start(ctx, to.Setup); err != nil {
		return err
	}
	for _, o := range to.Objects {
		if err := b.applyObject(ctx, nil, o); err != nil {
			return err
		}
	}
	return nil
}

// plugins lists those that charon has loaded.
func (c *client) plugins(ctx context.Context) ([]string, error) {
	m, err := c.Call(ctx, "stats", nil)
	if err != nil {
		return nil, err
	}
	return list(m, "plugins"), nil
}

// libraries are where distributions have strongSwan's plugins.
var libraries = []string{"/usr/lib/ipsec/plugins/", "/usr/lib*/strongswan/plugins/", "/usr/lib/*/ipsec/plugins/", "/usr/libexec/ipsec/plugins/", "/usr/local/lib/ipsec/plugins/"}

// hasPlugin reports whether a plugin is installed.
func (b *Backend) hasPlugin(name string) bool {
	return slices.ContainsFunc(libraries, func(dir string) bool {
		found, err := b.Glob(dir + "libstrongswan-" + name + ".so")
		return err == nil && len(found) > 0
	})
}

// checkSettings looks for what keeps charon from being as it shall be.
func (c *checker) checkSettings() {
	for _, name := range slices.Sorted(maps.Keys(c.w.settings.Plugins)) {
		if c.w.settings.Plugins[name] && !slices.Contains(c.h.plugins, name) && !c.hasPlugin(name) {
			c.refuse(daemonObject, "apt install "+map[string]string{pluginResolve: basePlugins, pluginLibipsec: "libcharon-extra-plugins"}[name],
				"charon has no plugin %s%s", name, map[string]string{
					pluginResolve: ", which use_dns needs", pluginLibipsec: ", and this host's kernel has no ESP",
				}[name])
		}
	}
	switch {
	case c.userspace(c.w.IPsec):
		c.checkUserspace()
	case !c.w.empty() && slices.Contains(c.h.plugins, pluginLibipsec):
		c.refuse(daemonObject, "set load = no in /etc/strongswan.d/charon/kernel-libipsec.conf and restart charon",
			"charon has loaded kernel-libipsec on a host whose kernel has ESP itself")
	}
	if !c.h.running || len(c.w.settings.wrong(c.h.plugins)) == 0 {
		return
	}
	d := &differ{in: c.in, w: c.w, h: c.h}
	for _, name := range d.foreignConns() {
		if !c.h.state.Systemd || !c.filed[name] {
			c.refuse("ipsec/"+name, "unload it, or restart charon with "+settingsFile+" in place",
				"charon has to be restarted for its plugins, and would lose that connection, which is not vpnctl's")
		}
	}
}

// checkUserspace refuses what charon cannot do without the kernel.
func (c *checker) checkUserspace() {
	const why = "this host's kernel has no ESP, and charon's own (kernel-libipsec) "
	if !c.Kernel.Tun() {
		c.refuse(daemonObject, "give the container /dev/net/tun", why+"needs /dev/net/tun")
	}
	for i := range c.w.Connections {
		conn := &c.w.Connections[i]
		if conn.IfID != 0 {
			c.refuse(conn.Origin, "leave `interface` out, or use a kernel with ESP", why+"has no XFRM interfaces")
		}
		for _, child := range conn.Children {
			object := conn.Origin + "/child/" + child.Name
			if child.Protocol != "esp" {
				c.refuse(object, "use protocol: esp, or a kernel with AH", why+"has no AH")
			}
			if child.Mode != "tunnel" {
				c.refuse(object, "use mode: tunnel, or a kernel with ESP", why+"does tunnel mode only")
			}
		}
	}
}

// waken lets children that wait for traffic be initiated: charon's own ESP tells nobody
// that there is some. Packets are dropped meanwhile, as with a trap.
func (b *Backend) waken(i *desired.IPsec) *desired.IPsec {
	if !b.userspace(i) {
		return i
	}
	out := *i
	out.Connections = slices.Clone(i.Connections)
	for n := range out.Connections {
		c := &out.Connections[n]
		c.Children = slices.Clone(c.Children)
		for k := range c.Children {
			if ch := &c.Children[k]; ch.Hold == "trap" && ch.Initiate == desired.InitiateNever {
				ch.Initiate = desired.InitiateSecond
			}
		}
	}
	return &out
}
