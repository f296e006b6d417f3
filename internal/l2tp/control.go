package l2tp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Control is what xl2tpd takes through its control pipe.
type Control interface {
	// List lists the sections that it has loaded; ErrNotRunning where none listens.
	List(ctx context.Context) (Loaded, error)
	// Add adds a section, ahead of the others of its kind; to a server's that is there
	// already it adds options.
	Add(ctx context.Context, s Section) error
	// Remove ends the tunnels of a section and removes it; one that is not there is success.
	Remove(ctx context.Context, kind, name string) error
	// Tunnels is how many tunnels a server's section has.
	Tunnels(ctx context.Context, name string) (int, error)
}

// Loaded are the names of the sections of a running xl2tpd, in the order in which it looks
// for one. Some may be of nobody's any more, and have sessions.
type Loaded struct {
	LNS, LAC []string
}

// ErrNotRunning says that no xl2tpd listens on its control pipe.
var ErrNotRunning = errors.New("xl2tpd is not running")

// controlPath is where the pipe is; folder is where xl2tpd keeps it.
const (
	runFolder   = "/run/xl2tpd"
	controlPath = runFolder + "/l2tp-control"
)

// The commands of the pipe; see xl2tpd's l2tp.h.
const (
	cmdList          = "x"
	cmdAddLNS        = "z"
	cmdRemoveLNS     = "w"
	cmdStatusLNS     = "y"
	cmdAddLAC        = "a"
	cmdRemoveLAC     = "r"
	cmdDisconnectLAC = "d"
)

// maxCommand is the longest command that xl2tpd reads at once.
const maxCommand = 1000

// pipe is the Control of the real host.
type pipe struct{}

// List implements Control.
func (p pipe) List(ctx context.Context) (Loaded, error) {
	answer, err := p.ask(ctx, cmdList)
	if err != nil {
		return Loaded{}, err
	}
	return parseList(answer), nil
}

// parseList reads lines such as "00 AVAILABLE lns.0.name=office".
func parseList(answer string) Loaded {
	var l Loaded
	for line := range strings.Lines(answer) {
		key, name, _ := strings.Cut(strings.TrimSpace(line), "=")
		key, ok := strings.CutSuffix(key, ".name")
		// The last LAC is the default's, which has no name.
		if !ok || name == "" {
			continue
		}
		switch {
		case strings.HasPrefix(key, "00 AVAILABLE lns."):
			l.LNS = append(l.LNS, name)
		case strings.HasPrefix(key, "00 AVAILABLE lac."):
			l.LAC = append(l.LAC, name)
		}
	}
	return l
}

// Add implements Control.
func (p pipe) Add(ctx context.Context, s Section) error {
	command := cmdAddLNS
	if s.Kind == kindLAC {
		command = cmdAddLAC
	}
	for _, line := range split(command+" "+s.Name+" ", s.Options) {
		if err := p.do(ctx, line); err != nil {
			return fmt.Errorf("adding %s %s to xl2tpd: %w", s.Kind, s.Name, err)
		}
	}
	return nil
}

// split puts options into as many commands as it takes. Only a server has that many: what
// is said of a name that is there is added to it.
func split(head string, options []string) []string {
	lines := []string{head}
	for _, o := range options {
		last := &lines[len(lines)-1]
		if len(*last)+len(o)+1 > maxCommand {
			lines = append(lines, head)
			last = &lines[len(lines)-1]
		}
		*last += o + ";"
	}
	return lines
}

// Remove implements Control.
func (p pipe) Remove(ctx context.Context, kind, name string) error {
	command, prepare := cmdRemoveLNS, p.vacate
	if kind == kindLAC {
		command, prepare = cmdRemoveLAC, p.quiet
	}
	if err := prepare(ctx, name); err != nil {
		return err
	}
	answer, err := p.ask(ctx, command+" "+name)
	if err == nil && !strings.Contains(answer, "No such tunnel") {
		err = refused(answer)
	}
	if err != nil {
		return fmt.Errorf("removing %s %s from xl2tpd: %w", kind, name, err)
	}
	return nil
}

// closing is how long a tunnel may take to end: xl2tpd waits for the far end, five times
// and twice as long each time.
const closing = 60 * time.Second

// vacate ends the tunnels of a server's section and waits until they are gone: they point
// to it, and to freed memory once it is removed.
func (p pipe) vacate(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, closing)
	defer cancel()
	asked := map[string]bool{}
	err := await(ctx, func() (bool, error) {
		status, err := p.ask(ctx, cmdStatusLNS+" "+name)
		if err != nil || !strings.Contains(status, "STATUS tunnels.0.id=") {
			return err == nil, err
		}
		all, err := p.ask(ctx, cmdList)
		if err != nil {
			return false, err
		}
		for _, id := range tunnelsOf(status, all) {
			if asked[id] {
				continue
			}
			asked[id] = true
			if _, err := p.ask(ctx, cmdDisconnectLAC+" "+id); err != nil {
				return false, err
			}
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the tunnels of %s to end: %w", name, err)
	}
	return nil
}

var (
	statusPattern = regexp.MustCompile(`STATUS tunnels\.\d+\.id=(\d+)`)
	tunnelPattern = regexp.MustCompile(`AVAILABLE tunnel \S+ id (\d+), ourtid (\d+) `)
)

// tunnelsOf are a section's tunnels by our number: its status has the far end's, and the
// list of all has both.
func tunnelsOf(status, all string) []string {
	var out []string
	for _, m := range statusPattern.FindAllStringSubmatch(status, -1) {
		for _, t := range tunnelPattern.FindAllStringSubmatch(all, -1) {
			if t[1] == m[1] {
				out = append(out, t[2])
			}
		}
	}
	return out
}

// quiet ends a link, and waits until no redial is planned any more: one that comes due
// when the link is removed looks into memory that has been freed.
func (p pipe) quiet(ctx context.Context, name string) error {
	answer, err := p.ask(ctx, cmdDisconnectLAC+" "+name)
	if err != nil {
		return fmt.Errorf("ending link %s: %w", name, err)
	}
	if strings.Contains(answer, "No such tunnel") {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After((redialTimeout + 1) * time.Second):
		return nil
	}
}

// Tunnels implements Control.
func (p pipe) Tunnels(ctx context.Context, name string) (int, error) {
	answer, err := p.ask(ctx, cmdStatusLNS+" "+name)
	if err != nil {
		return 0, err
	}
	_, count, ok := strings.Cut(answer, " STATUS tunnels.count=")
	if !ok {
		return 0, nil // no such section
	}
	return strconv.Atoi(strings.TrimSpace(count))
}

// do asks for something that xl2tpd says it has done.
func (p pipe) do(ctx context.Context, command string) error {
	answer, err := p.ask(ctx, command)
	if err != nil {
		return err
	}
	return refused(answer)
}

// refused is xl2tpd's no, nil for a yes.
func refused(answer string) error {
	line := strings.TrimSpace(answer)
	if strings.HasPrefix(line, "00 ") {
		return nil
	}
	if line == "" {
		line = "no answer" // it says nothing of a link that is there already
	}
	return fmt.Errorf("xl2tpd: %s", line)
}

// answerTime is how long xl2tpd may take: while it looks a name up it hears nobody.
const answerTime = 30 * time.Second

// ask writes one command to the pipe and returns the answer, which xl2tpd writes to a file
// and then unlinks. That file is a plain one: were it a pipe, as xl2tpd-control makes it,
// and its reader killed, then xl2tpd would wait for a reader for ever.
func (pipe) ask(ctx context.Context, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	// One at a time: xl2tpd takes what it reads at once for one command.
	unlock, err := lockFolder(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	f, err := os.CreateTemp(runFolder, "vpnctl-")
	if err != nil {
		return "", fmt.Errorf("making file for answer: %w", err)
	}
	defer func() { _ = f.Close(); _ = os.Remove(f.Name()) }()
	if err := send(ctx, "@"+f.Name()+" "+command+"\n"); err != nil {
		return "", err
	}
	err = await(ctx, func() (bool, error) { return unlinked(f) })
	if err != nil {
		return "", fmt.Errorf("waiting for xl2tpd's answer: %w", err)
	}
	answer, err := io.ReadAll(f)
	return string(answer), err
}

// unlinked reports whether the file has no name any more.
func unlinked(f *os.File) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return false, os.NewSyscallError("fstat", err)
	}
	return st.Nlink == 0, nil
}

// reopening is how long there may be no reader: xl2tpd closes the pipe after each command
// and opens it again.
const reopening = 500 * time.Millisecond

// send writes to the pipe and lets go of it at once: xl2tpd reads until its end.
func send(ctx context.Context, message string) error {
	deadline := time.Now().Add(reopening)
	var f *os.File
	err := await(ctx, func() (bool, error) {
		fd, err := unix.Open(controlPath, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENXIO) && time.Now().After(deadline) {
			return false, ErrNotRunning
		}
		if errors.Is(err, unix.ENXIO) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("opening %s: %w", controlPath, err)
		}
		f = os.NewFile(uintptr(fd), controlPath)
		return true, nil
	})
	if err != nil {
		return err
	}
	_, err = f.WriteString(message)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing to xl2tpd: %w", err)
	}
	return nil
}

// lockFolder keeps others of vpnctl away from the pipe. The lock is the folder's: holding
// the pipe open would keep xl2tpd reading.
func lockFolder(ctx context.Context) (unlock func(), err error) {
	f, err := os.Open(filepath.Dir(controlPath))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, err
	}
	err = await(ctx, func() (bool, error) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", runFolder, err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}

// await asks again and again until it is done.
func await(ctx context.Context, done func() (bool, error)) error {
	pause := 5 * time.Millisecond
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
			pause = min(2*pause, 100*time.Millisecond)
		}
	}
}
