package pptp

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/vpnctl/vpnctl/internal/ppp"
	"github.com/vpnctl/vpnctl/internal/reason"
)

// server is a pptpd as an operation leads to it.
type server struct {
	Ours    bool `json:"ours,omitempty"` // it gets its pool by ServerCommand
	Running bool `json:"running,omitempty"`
	Unit    bool `json:"unit,omitempty"`    // systemd has a unit for it
	Enabled bool `json:"enabled,omitempty"` // and starts it at boot
	// Args are the words of a process that somebody else has started himself.
	Args []string `json:"args,omitempty"`
}

// enabled is systemd's word for a unit that starts at boot, disabled that for another one
// that could.
const (
	enabled  = "enabled"
	disabled = "disabled"
)

// applyServer brings pptpd into a state, under the files that there are now.
func (b *Backend) applyServer(ctx context.Context, _, to *server) error {
	if to == nil {
		return nil
	}
	unit := to.Unit && b.Booted()
	if unit {
		if err := b.withUnits(ctx, func(m Units) error {
			if err := m.Reload(ctx); err != nil {
				return err
			}
			return enable(ctx, m, service, to.Enabled)
		}); err != nil {
			return err
		}
	}
	if to.Ours && to.Running {
		return b.serve(ctx, unit)
	}
	return b.leave(ctx, unit, to)
}

// enable makes a unit start at boot or not; one without a file does not anyway.
func enable(ctx context.Context, m Units, name string, want bool) error {
	state, err := m.FileState(ctx, name)
	switch {
	case err != nil:
		return err
	case want && state == disabled:
		return m.Enable(ctx, name)
	case !want && state == enabled:
		return m.Disable(ctx, name)
	}
	return nil
}

// serve starts a parent with the pool of now, where none has it.
func (b *Backend) serve(ctx context.Context, unit bool) error {
	h, err := b.observe(ctx)
	if err != nil {
		return err
	}
	if h.given() == digest(h.conf) && (!unit || h.active) {
		return nil
	}
	return b.restart(ctx, unit)
}

// restart starts a parent in place of the one that runs. The sessions live on.
func (b *Backend) restart(ctx context.Context, unit bool) error {
	if err := b.stop(ctx, unit); err != nil {
		return err
	}
	h, err := b.observe(ctx)
	if err != nil {
		return err
	}
	free := h.free(h.conf)
	switch {
	case unit:
		// Also where nobody could log in: systemd tries until somebody can.
		err = b.withUnits(ctx, func(m Units) error { return m.Start(ctx, service) })
	case free > 0:
		err = b.Processes.StartSelf(ServerCommand)
	}
	if err != nil || free == 0 {
		return err
	}
	return b.listens(ctx, func(h *observed) bool { return h.given() == digest(h.conf) })
}

// startPatience is how long pptpd may take to listen. It waits for nobody, but the machine
// may be slow.
const startPatience = 30 * time.Second

// listens waits until a parent does, and is the right one.
func (b *Backend) listens(ctx context.Context, right func(*observed) bool) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	missing := 0
	err := await(ctx, func() (bool, error) {
		h, err := b.observe(ctx)
		if err != nil || h.listener != 0 && right(h) {
			return true, err
		}
		if len(h.parents) > 0 {
			missing = 0
		} else if missing++; missing == 100 {
			return false, fmt.Errorf("it has ended; the system's log says why")
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("starting pptpd: %w", err)
	}
	return nil
}

// stop stops the parent, whoever started it.
func (b *Backend) stop(ctx context.Context, unit bool) error {
	if unit {
		if err := b.withUnits(ctx, func(m Units) error { return m.StopAndWait(ctx, service) }); err != nil {
			return err
		}
	}
	all, err := b.Processes.List()
	if err != nil {
		return err
	}
	for _, p := range parents(all) {
		if err := b.Processes.End(ctx, p.PID); err != nil {
			return err
		}
	}
	return nil
}

// leave stops what is ours, and starts what was there before.
func (b *Backend) leave(ctx context.Context, unit bool, to *server) error {
	h, err := b.observe(ctx)
	if err != nil {
		return err
	}
	if have := h.have(); to.Running && have.Running && !have.Ours {
		return nil
	}
	if err := b.stop(ctx, unit); err != nil {
		return err
	}
	for _, path := range []string{LoadedPath, pidPath} {
		if err := b.Files.Remove(path); err != nil {
			return err
		}
	}
	switch {
	case !to.Running:
		return nil
	case len(to.Args) > 0:
		err = b.Processes.Start(to.Args)
	case unit:
		err = b.withUnits(ctx, func(m Units) error { return m.Start(ctx, service) })
	}
	if err != nil {
		return err
	}
	return b.listens(ctx, func(*observed) bool { return true })
}

// link is a link's process as an operation leads from or to it.
type link struct {
	Name    string `json:"name"`
	Unit    bool   `json:"unit,omitempty"`
	Enabled bool   `json:"enabled,omitempty"`
	Running bool   `json:"running,omitempty"`
}

// applyLink starts and ends the process that dials a link.
func (b *Backend) applyLink(ctx context.Context, from, to *link) error {
	if to == nil {
		to = &link{Name: from.Name, Unit: from.Unit}
	}
	if !to.Running {
		return b.hangUp(ctx, to)
	}
	// Why an earlier one was down says nothing of this one.
	if err := b.Reasons.Clear(reasonKey(to.Name)); err != nil {
		return err
	}
	if !to.Unit || !b.Booted() {
		return b.dial(to.Name)
	}
	return b.withUnits(ctx, func(m Units) error {
		if err := m.Reload(ctx); err != nil {
			return err
		}
		if err := enable(ctx, m, linkUnit(to.Name), to.Enabled); err != nil {
			return err
		}
		return m.Start(ctx, linkUnit(to.Name))
	})
}

// dial starts a process for a link that has none.
func (b *Backend) dial(name string) error {
	all, err := b.Processes.List()
	if err != nil || slices.ContainsFunc(all, func(p Process) bool { return p.runs(LinkCommand, name) }) {
		return err
	}
	return b.Processes.StartSelf(LinkCommand, name)
}

// hangUp ends the process of a link, and a pppd that it may have left behind.
func (b *Backend) hangUp(ctx context.Context, l *link) error {
	if l.Unit && b.Booted() {
		if err := b.withUnits(ctx, func(m Units) error {
			if err := m.StopAndWait(ctx, linkUnit(l.Name)); err != nil {
				return err
			}
			return enable(ctx, m, linkUnit(l.Name), l.Enabled)
		}); err != nil {
			return err
		}
	}
	for _, match := range []func(p *Process) bool{
		func(p *Process) bool { return p.runs(LinkCommand, l.Name) },
		func(p *Process) bool { return p.dials(peerOf(l.Name)) },
	} {
		all, err := b.Processes.List()
		if err != nil {
			return err
		}
		for i := range all {
			if !match(&all[i]) {
				continue
			}
			if err := b.Processes.End(ctx, all[i].PID); err != nil {
				return err
			}
		}
	}
	return b.Reasons.Clear(reasonKey(l.Name))
}

// applyRedial ends a pppd of a link that has read other options than stand there now.
func (b *Backend) applyRedial(ctx context.Context, _, to *link) error {
	if to == nil {
		return nil
	}
	// Without its file nothing could be dialled anew.
	f, err := b.Files.Read(peerPath(to.Name))
	if err != nil {
		return nil
	}
	all, err := b.Processes.List()
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.dials(peerOf(to.Name)) && optionsOf(p.Args) != optionsDigest(f.Data) {
			if err := b.Sessions.End(ctx, ppp.Session{PID: p.PID}); err != nil {
				return err
			}
		}
	}
	return nil
}

// ended is the end of all sessions of a server.
type ended struct {
	Server string `json:"server"`
}

// applyEnd ends sessions, also those that are not up yet. It has no inverse: who was logged
// in has to dial again.
func (b *Backend) applyEnd(ctx context.Context, from, to *ended) error {
	if from == nil || to != nil {
		return nil
	}
	all, err := b.Processes.List()
	if err != nil {
		return err
	}
	for i := range all {
		if all[i].serves() != from.Server {
			continue
		}
		if err := b.Sessions.End(ctx, ppp.Session{PID: all[i].PID}); err != nil {
			return err
		}
	}
	return nil
}

// reloading lets systemd read its files; there is nothing to it.
type reloading struct{}

func (b *Backend) applyReload(ctx context.Context, _, _ *reloading) error {
	if !b.Booted() {
		return nil
	}
	return b.withUnits(ctx, func(m Units) error { return m.Reload(ctx) })
}

// reasonKey is where it stands why a link is down. No connection of charon has that name.
func reasonKey(name string) reason.Key { return reason.Key{Connection: "pptp:" + name, Child: "link"} }

// Reason is why a link is down, "" where nobody knows. The object is the link's.
func (b *Backend) Reason(name string) string {
	all, err := b.Reasons.All()
	if err != nil {
		return ""
	}
	return all[reasonKey(name)].Text
}
