package pptp

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/ppp"
)

// observed is what there is of PPTP on the host.
type observed struct {
	booted bool   // systemd runs
	unit   string // the state of pptpd's unit file, "" where there is none
	active bool   // systemd runs pptpd
	// parents are the processes of pptpd that take logins, or are about to.
	parents []Process
	// conf is the file that is there, loaded what the last parent of ours was given.
	conf, loaded []byte
	processes    []Process
	sessions     []ppp.Session
	listener     int
	taken        string // who else has the port, "" for nobody
}

func (b *Backend) observe(ctx context.Context) (*observed, error) {
	h := &observed{booted: b.Booted()}
	var err error
	if h.booted {
		err = b.withUnits(ctx, func(m Units) (err error) {
			if h.unit, err = m.FileState(ctx, service); err == nil {
				h.active, err = m.Active(ctx, service)
			}
			return err
		})
	}
	if err != nil {
		return nil, err
	}
	if h.processes, err = b.Processes.List(); err != nil {
		return nil, err
	}
	h.parents = parents(h.processes)
	for path, data := range map[string]*[]byte{ConfPath: &h.conf, LoadedPath: &h.loaded} {
		// What cannot be read is not what ours would be.
		f, _ := b.Files.Read(path)
		*data = f.Data
	}
	if h.sessions, err = b.Sessions.List(ctx); err != nil {
		return nil, err
	}
	h.listener, h.taken, err = b.Processes.Listener()
	if slices.ContainsFunc(h.parents, func(p Process) bool { return p.PID == h.listener }) {
		h.taken = ""
	}
	return h, err
}

func (b *Backend) withUnits(ctx context.Context, fn func(m Units) error) error {
	m, err := b.Units(ctx)
	if err != nil {
		return err
	}
	defer m.Close()
	return fn(m)
}

func parents(all []Process) []Process {
	var out []Process
	for _, p := range all {
		if p.Name == pptpd || p.runs(ServerCommand) {
			out = append(out, p)
		}
	}
	return out
}

// given is the digest of what the one parent that listens was given, "" where it is not
// one of ours.
func (h *observed) given() string {
	for _, p := range h.parents {
		if p.PID == h.listener && slices.Contains(p.Args, LoadedPath) {
			return source(h.loaded)
		}
	}
	return ""
}

// free is how many sessions a parent that is started now could serve.
func (h *observed) free(conf []byte) int {
	_, n, err := Load(conf, held(h.processes, h.sessions))
	if err != nil {
		return 0
	}
	return n
}

// held are the addresses that pppds have given away: the kernel's word for those that are
// up, and for the others what they were started with.
func held(all []Process, sessions []ppp.Session) []netip.Addr {
	var out []netip.Addr
	up := map[int]bool{}
	for i := range sessions {
		if s := &sessions[i]; s.Remote.IsValid() {
			up[s.PID] = true
			out = append(out, s.Remote)
		}
	}
	for _, p := range all {
		if p.Name == pppd && !up[p.PID] {
			out = append(out, offered(p.Args)...)
		}
	}
	return out
}

// offered is the address that a daemon has told its pppd to give: "LOCAL:REMOTE".
func offered(args []string) []netip.Addr {
	for _, word := range args {
		local, remote, ok := strings.Cut(word, ":")
		if _, err := netip.ParseAddr(local); !ok || err != nil {
			continue
		}
		if a, err := netip.ParseAddr(remote); err == nil {
			return []netip.Addr{a}
		}
	}
	return nil
}

// servers are those of vpnctl's that have begun sessions which are there still, by name.
func (h *observed) servers() []string {
	var out []string
	for i := range h.processes {
		if name := h.processes[i].serves(); name != "" {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// linkState is what there is of a link.
type linkState struct {
	enabled bool
	running bool
	pppd    int    // 0 for none
	options string // the digest of what pppd has read
}

func (b *Backend) observeLink(ctx context.Context, h *observed, name string) (linkState, error) {
	var s linkState
	for _, p := range h.processes {
		if p.runs(LinkCommand, name) {
			s.running = true
		}
		if p.dials(peerOf(name)) {
			s.pppd, s.options = p.PID, optionsOf(p.Args)
		}
	}
	if !h.booted {
		return s, nil
	}
	err := b.withUnits(ctx, func(m Units) error {
		state, err := m.FileState(ctx, linkUnit(name))
		if err != nil {
			return err
		}
		s.enabled = state == "enabled"
		s.running, err = m.Active(ctx, linkUnit(name))
		return err
	})
	if err != nil {
		return s, fmt.Errorf("looking at %s: %w", linkUnit(name), err)
	}
	return s, nil
}
