package ppp

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/l2tp/tunnel"
	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// live are the sessions of the real host.
type live struct{}

// Live are the sessions of this host.
func Live() Sessions { return live{} }

// program is pppd's, also as the kernel has it.
const program = "pppd"

// List implements Sessions. A session that is not up yet has no interface and is none.
func (live) List(context.Context) ([]Session, error) {
	pids := host.Processes(program)
	if len(pids) == 0 {
		return nil, nil
	}
	links, remembered := interfaces(), memories()
	c, err := rtnl.Open("")
	if err != nil {
		return nil, fmt.Errorf("listing sessions: %w", err)
	}
	defer func() { _ = c.Close() }()
	var out []Session
	for _, pid := range pids {
		s := fromProcess(pid)
		link, ok := links[pid]
		if !ok {
			continue
		}
		s.Interface, s.Since = link.name, link.since
		// The newest that pppd said is its hook's; its own memory is there without one.
		if r, ok := remembered[pid]; ok {
			r.describe(&s)
		}
		if r, ok := readRecord(link.name); ok && r.pid == pid {
			r.describe(&s)
		}
		ok, err := measure(c, &s)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, s)
		}
	}
	tunnels, err := tunnel.List()
	if err != nil {
		return nil, err
	}
	carry(out, tunnels)
	slices.SortFunc(out, func(a, b Session) int {
		return cmp.Or(cmp.Compare(len(a.Interface), len(b.Interface)), cmp.Compare(a.Interface, b.Interface))
	})
	return out, nil
}

// fromProcess is what a pppd's command line tells.
func fromProcess(pid int) Session {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		return Session{PID: pid}
	}
	var argv []string
	for w := range bytes.SplitSeq(bytes.TrimSuffix(raw, []byte{0}), []byte{0}) {
		argv = append(argv, string(w))
	}
	s := parseArgv(argv)
	s.PID = pid
	return s
}

// interfaceOf is the interface of a pppd, and since when it has it.
type interfaceOf struct {
	name  string
	since time.Time
}

// interfaces reads the files by which pppd itself tells who has which interface. One that
// was killed leaves its file behind.
func interfaces() map[int]interfaceOf {
	out := map[int]interfaceOf{}
	paths, err := filepath.Glob("/run/*.pid")
	if err != nil {
		return out
	}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
		name := strings.TrimSuffix(filepath.Base(path), ".pid")
		if info, statErr := os.Stat(path); err == nil && statErr == nil && strings.HasPrefix(name, "ppp") {
			out[pid] = interfaceOf{name, info.ModTime()}
		}
	}
	return out
}

// measure asks the kernel for addresses, counters and idleness. It reports false for a
// session without addresses, which is not up.
func measure(c *rtnl.Conn, s *Session) (bool, error) {
	l, err := c.Link(s.Interface)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	addrs, err := c.Addrs(l.Index)
	if err != nil {
		return false, err
	}
	for _, a := range addrs {
		// With IPv6 there are link-local ones beside those that were handed out.
		if a.Peer.Is4() {
			s.Local, s.Remote = a.Prefix.Addr(), a.Peer
		}
	}
	if !s.Remote.IsValid() {
		return false, nil
	}
	s.RxBytes, s.TxBytes, err = c.Counters(s.Interface)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	s.Idle = idle(s.Interface)
	return true, err
}

// endPatience is how long a pppd may take to say good-bye: it waits for the far end, and
// for its hooks.
const endPatience = 15 * time.Second

// End implements Sessions. A pppd that does not hear is killed; its carrier then ends the
// rest.
func (live) End(ctx context.Context, s Session) error {
	p, err := os.FindProcess(s.PID)
	if err != nil {
		return fmt.Errorf("ending session: %w", err)
	}
	defer func() { _ = p.Release() }()
	// Looked at after its number is held: the number may be somebody else's by now.
	if !slices.Contains(host.Processes(program), s.PID) {
		return nil
	}
	for _, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := p.Signal(signal); err != nil {
			if errors.Is(err, os.ErrProcessDone) {
				return nil
			}
			return fmt.Errorf("ending session of process %d: %w", s.PID, err)
		}
		if done, err := awaitEnd(ctx, s.PID, endPatience); done || err != nil {
			return err
		}
	}
	return fmt.Errorf("ending session: process %d does not end", s.PID)
}

// awaitEnd waits until a pppd is gone.
func awaitEnd(ctx context.Context, pid int, patience time.Duration) (bool, error) {
	deadline, ticker := time.After(patience), time.NewTicker(20*time.Millisecond)
	defer ticker.Stop()
	for {
		if !slices.Contains(host.Processes(program), pid) {
			return true, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-deadline:
			return false, nil
		case <-ticker.C:
		}
	}
}
