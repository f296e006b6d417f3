package pptp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/ppp"
)

// The hidden subcommands by which a process of vpnctl becomes pptpd, and dials a link.
const (
	ServerCommand = "pptp-server"
	LinkCommand   = "pptp-link"
)

// The programs, as the kernel names their processes.
const (
	pptpd = "pptpd"
	pppd  = "pppd"
)

// Process is one of this host that has to do with PPTP.
type Process struct {
	PID  int
	Name string // the kernel's
	Args []string
}

// Processes are those of a host.
type Processes interface {
	// List lists pptpd's parents, vpnctl's own of ServerCommand and LinkCommand, and
	// pppds, by number.
	List() ([]Process, error)
	// Start starts a program that outlives the caller.
	Start(argv []string) error
	// StartSelf starts vpnctl so.
	StartSelf(args ...string) error
	// End ends one, and returns when it is gone; one that is gone is success.
	End(ctx context.Context, pid int) error
	// Listener is who has PPTP's port: a number and a name, none for nobody.
	Listener() (pid int, name string, err error)
}

// runs reports whether a process is vpnctl's of a subcommand.
func (p *Process) runs(command string, args ...string) bool {
	return len(p.Args) > 1+len(args) && p.Args[1] == command && slices.Equal(p.Args[2:2+len(args)], args)
}

// dials reports whether a process is the pppd of a link.
func (p *Process) dials(peer string) bool {
	i := slices.Index(p.Args, "call")
	return p.Name == pppd && i >= 0 && i+1 < len(p.Args) && p.Args[i+1] == peer
}

// serves is the server of vpnctl's whose client a pppd serves, "" for none.
func (p *Process) serves() string {
	i := slices.Index(p.Args, "file")
	if p.Name != pppd || i < 0 || i+1 >= len(p.Args) {
		return ""
	}
	name, ok := strings.CutPrefix(p.Args[i+1], ppp.OptionsPath(tunnel("")))
	if !ok {
		return ""
	}
	return name
}

// processes are those of the real host.
type processes struct{}

func (processes) List() ([]Process, error) {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var out []Process
	for _, path := range files {
		p := read(path)
		if (p.Name == pptpd || p.Name == pppd || p.runs(ServerCommand) || p.runs(LinkCommand)) && host.OwnNamespace(p.PID) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b Process) int { return a.PID - b.PID })
	// A child of pptpd's is pptpd until it becomes pptpctrl.
	parents := out
	return slices.DeleteFunc(slices.Clone(out), func(p Process) bool {
		parent := parentOf(p.PID)
		return p.Name == pptpd && slices.ContainsFunc(parents, func(o Process) bool { return o.PID == parent && o.Name == pptpd })
	}), nil
}

// read reads a process; one that has just ended has no words.
func read(cmdline string) Process {
	dir := filepath.Dir(cmdline)
	var p Process
	p.PID, _ = strconv.Atoi(filepath.Base(dir))
	words, err := os.ReadFile(cmdline)
	if err != nil || len(words) == 0 {
		return p
	}
	p.Args = strings.Split(strings.TrimSuffix(string(words), "\x00"), "\x00")
	comm, _ := os.ReadFile(filepath.Join(dir, "comm"))
	p.Name = strings.TrimSpace(string(comm))
	return p
}

func parentOf(pid int) int {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(status), "\nPPid:\t")
	line, _, _ := strings.Cut(rest, "\n")
	parent, _ := strconv.Atoi(line)
	return parent
}

func (processes) Start(argv []string) error {
	path, err := host.LookPath(filepath.Base(argv[0]))
	if err != nil {
		return err
	}
	_, err = host.Detach(path, argv...)
	return err
}

func (processes) StartSelf(args ...string) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding vpnctl: %w", err)
	}
	// The running binary, also where an upgrade has put another in its place.
	_, err = host.Detach("/proc/self/exe", append([]string{exe}, args...)...)
	return err
}

// endPatience is how long a process may take to say good-bye to the far end.
const endPatience = 20 * time.Second

func (processes) End(ctx context.Context, pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return fmt.Errorf("ending process %d: %w", pid, err)
	}
	defer func() { _ = p.Release() }()
	was := read(fmt.Sprintf("/proc/%d/cmdline", pid))
	for _, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := p.Signal(signal); err != nil {
			if errors.Is(err, os.ErrProcessDone) {
				return nil
			}
			return fmt.Errorf("ending process %d: %w", pid, err)
		}
		bound, cancel := context.WithTimeout(ctx, endPatience)
		err := await(bound, func() (bool, error) {
			// Of one that has ended and waits for its parent to hear of it no words are left.
			now := read(fmt.Sprintf("/proc/%d/cmdline", pid))
			return !slices.Equal(now.Args, was.Args), nil
		})
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
	return fmt.Errorf("ending process %d: it does not", pid)
}

// port is PPTP's, of TCP.
const port = 1723

func (processes) Listener() (int, string, error) {
	pids, taken, err := host.Listeners("tcp", port)
	if err != nil || !taken {
		return 0, "", err
	}
	if len(pids) == 0 {
		return 0, "a process that cannot be seen from here", nil
	}
	return pids[0], read(fmt.Sprintf("/proc/%d/cmdline", pids[0])).Name, nil
}

// pause is the time between two looks at what takes some milliseconds.
const pause = 20 * time.Millisecond

// await asks until it is done.
func await(ctx context.Context, done func() (bool, error)) error {
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}
