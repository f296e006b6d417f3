package ipsec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/file"
	"github.com/vpnctl/vpnctl/internal/swanctl"
)

// packages are what a host needs, in Debian's names.
const packages = "apt install strongswan-swanctl charon-systemd libstrongswan-standard-plugins " +
	"libstrongswan-extra-plugins libcharon-extauth-plugins libcharon-extra-plugins"

// checker collects what stands in the way of the wanted state.
type checker struct {
	*Backend
	in   backend.Input
	h    *snapshot
	w    *wanted
	errs []error
	// filed are the connections of swanctl's other files: a unit loads them anew.
	filed map[string]bool
}

// Check implements backend.Backend.
func (b *Backend) Check(ctx context.Context, in backend.Input) error {
	if b.idle(in) {
		return nil
	}
	state, err := b.Daemon.State(ctx)
	if err != nil {
		return err
	}
	c := &checker{Backend: b, in: in, filed: map[string]bool{}}
	if !in.Want.IPsec.IsZero() {
		c.checkDaemon(state)
	}
	if len(c.errs) > 0 {
		return errors.Join(c.errs...) // the rest needs a charon
	}
	if c.h, err = b.observe(ctx, in); err != nil {
		return err
	}
	if c.w, err = b.settle(ctx, in, c.h); err != nil {
		return err
	}
	c.errs = append(c.errs, b.certFiles().Check(in, c.w.certs), b.secretFiles(in.Secrets).Check(in, c.w.secret))
	c.checkLinks()
	c.checkLoaded()
	c.checkOtherFiles()
	c.checkSettings()
	if err := c.checkAlgorithms(ctx); err != nil {
		return err
	}
	return errors.Join(c.errs...)
}

func (c *checker) refuse(object, cure, format string, args ...any) {
	c.errs = append(c.errs, backend.Refuse(object, cure, format, args...))
}

// checkDaemon looks for a charon that can be had, and driven.
func (c *checker) checkDaemon(s DaemonState) {
	switch {
	case s.Starter != "":
		c.refuse(daemonObject, "systemctl disable --now strongswan-starter; "+packages,
			"the old starter (ipsec.conf) runs charon on this host")
	case s.Elsewhere != "":
		c.refuse(daemonObject, "give that namespace a /run of its own",
			"the charon that answers on this host's socket is not this host's (%s)", s.Elsewhere)
	case !s.Installed && !s.Running:
		c.refuse(daemonObject, packages, "strongSwan's %s is missing", program)
	case s.Mute:
		c.refuse(daemonObject, "apt install strongswan-swanctl, see that the plugin vici is loaded, and restart charon",
			"charon runs and does not listen for vici on %s", sockets[0])
	}
}

func (c *checker) checkLinks() {
	if len(c.w.Links) > 0 && !c.Kernel.Links() {
		c.refuse("link/"+c.w.Links[0].Name, "leave `interface` out, or use a kernel with CONFIG_XFRM_INTERFACE (modprobe xfrm_interface)",
			"this host's kernel has no XFRM interfaces")
	}
	d := &differ{in: c.in, w: c.w, h: c.h}
	for _, l := range c.w.Links {
		for _, have := range c.h.links {
			if have.Name == l.Name && d.ownLink(have) == nil {
				c.refuse("link/"+l.Name, "choose another interface in the topology, or remove it",
					"an interface of that name exists and is not vpnctl's")
			}
		}
	}
}

// checkLoaded looks for names that somebody else has given to charon.
func (c *checker) checkLoaded() {
	if !c.h.running {
		return
	}
	d := &differ{in: c.in, w: c.w, h: c.h}
	for _, key := range sortedKeys(c.w.objects) {
		o := c.w.objects[key]
		if o.Kind == kindCert || o.Kind == kindKey || !c.h.visible(key) || d.loaded(key) || remembersOther(c.in, key) {
			continue
		}
		switch o.Kind {
		case kindConn:
			c.refuse("ipsec/"+o.Name, "rename it in the topology, or unload the other",
				"a connection of that name is loaded and is not vpnctl's")
		case kindPool:
			c.refuse("ipsec/"+d.connOfPool(o.Name)+"/pool/"+o.Name, "rename the connection, or unload the other",
				"a pool of that name is loaded and is not vpnctl's")
		case kindShared:
			c.refuse(d.sharedObject(o), "rename it in the topology, or unload the other",
				"a secret with the id %s is loaded and is not vpnctl's", o.Name)
		}
	}
}

// checkOtherFiles looks for the same names in swanctl's other files: an owner's
// `swanctl --load-all` would load whichever comes last.
func (c *checker) checkOtherFiles() {
	paths, err := c.Glob(swanctlDir + "conf.d/*.conf")
	if err != nil {
		c.errs = append(c.errs, err)
		return
	}
	for _, path := range append([]string{swanctlDir + "swanctl.conf"}, paths...) {
		f, err := c.Files.Read(path)
		if path == confFile || err != nil || bytes.HasPrefix(f.Data, []byte(file.Header)) {
			continue
		}
		root, err := swanctl.Parse(f.Data)
		if err != nil {
			continue // charon's to complain about
		}
		c.checkOther(path, root)
	}
}

func (c *checker) checkOther(path string, root *swanctl.Section) {
	for _, name := range root.Sub("connections").Names() {
		c.filed[name] = true
	}
	for part, k := range map[string]kind{"connections": kindConn, "pools": kindPool, "secrets": kindShared} {
		for _, name := range root.Sub(part).Names() {
			if o := c.w.objects.find(k, name); o != nil {
				c.refuse("ipsec/"+name, "rename one of them", "%s has %s.%s, too", path, part, name)
			}
		}
	}
}

// checkAlgorithms asks a running charon whether it can do what is proposed.
func (c *checker) checkAlgorithms(ctx context.Context) error {
	if !c.h.running {
		return nil
	}
	s, err := c.open(ctx)
	if errors.Is(err, ErrNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	have, err := s.algorithms(ctx)
	if err != nil {
		return err
	}
	for _, o := range c.w.objects.of(kindConn) {
		c.checkProposals("ipsec/"+o.Name, "proposals", o.Section.Items("proposals"), have)
		for _, name := range o.children().Names() {
			child := o.children().Sub(name)
			for _, key := range []string{"esp_proposals", "ah_proposals"} {
				c.checkProposals("ipsec/"+o.Name+"/child/"+name, key, child.Items(key), have)
			}
		}
	}
	return nil
}

func (c *checker) checkProposals(object, key string, proposals []string, have map[string]bool) {
	var told []string
	for _, p := range proposals {
		for word := range strings.SplitSeq(p, "-") {
			name, plugin := algorithm(word)
			if name == "" || have[name] || slices.Contains(told, word) {
				continue
			}
			told = append(told, word)
			c.refuse(object, "apt install "+plugin+", or propose another",
				"%s: the running charon has no plugin for %s (%s)", key, word, name)
		}
	}
}

// algorithms lists what charon's plugins can do, whatever for.
func (c *client) algorithms(ctx context.Context) (map[string]bool, error) {
	m, err := c.Call(ctx, "get-algorithms", nil)
	if err != nil {
		return nil, fmt.Errorf("listing algorithms: %w", err)
	}
	have := map[string]bool{}
	for _, typ := range m.Keys() {
		for _, name := range keysOf(m.Get(typ)) {
			have[name] = true
		}
	}
	return have, nil
}
