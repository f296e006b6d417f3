package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// holderEnv marks the re-executed program that holds a host; its value is the
// host's name.
const holderEnv = "VPNCTL_LAB_HOLDER"

// namespaces are what a host has of its own.
const namespaces = unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWPID

// init turns the re-executed program into the holder of a host. An init
// function needs no word in the caller's main or TestMain.
func init() {
	name, ok := os.LookupEnv(holderEnv)
	if !ok {
		return
	}
	os.Exit(hold(name, os.NewFile(3, "ready")))
}

// holder is the process 1 of a host, seen from outside.
type holder struct {
	name  string
	pid   int
	pidfd int
	cmd   *exec.Cmd
	// life ends the holder when it is closed, by stop or by the end of
	// this process. PDEATHSIG would not do: it fires when the *thread*
	// that forked ends, and Go ends threads at will.
	life io.WriteCloser
	done chan struct{}
}

// startHost starts the holder of a host and waits until the host is set up.
func startHost(name string) (*holder, error) {
	ready, report, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer ready.Close()
	h := &holder{name: name, done: make(chan struct{})}
	// The link in /proc leads to the running program even after go test
	// has removed its file.
	h.cmd = exec.Command("/proc/self/exe")
	h.cmd.Args[0] = "vpnctl-lab:" + name
	h.cmd.Env = append(os.Environ(), holderEnv+"="+name)
	h.cmd.ExtraFiles = []*os.File{report}
	h.cmd.Stderr = os.Stderr
	// Setsid keeps a terminal's Ctrl-C away: whoever built the lab decides
	// when it ends.
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces, Setsid: true, PidFD: &h.pidfd}
	if h.life, err = h.cmd.StdinPipe(); err != nil {
		report.Close()
		return nil, err
	}
	err = h.cmd.Start()
	report.Close()
	if err != nil {
		return nil, startError(err)
	}
	h.pid = h.cmd.Process.Pid
	go h.reap()
	msg, err := io.ReadAll(ready)
	if err == nil && string(msg) != "ready" {
		err = fmt.Errorf("holding namespaces: %s", msg)
	}
	if err != nil {
		return nil, errors.Join(err, h.stop())
	}
	return h, nil
}

// startError says what a refused clone means.
func startError(err error) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("making namespaces needs root with CAP_SYS_ADMIN: %w", err)
	}
	return fmt.Errorf("making namespaces: %w", err)
}

// reap notes the end of the holder.
func (h *holder) reap() {
	_ = h.cmd.Wait()
	close(h.done)
}

// stop ends the holder and with it every process of the host; the kernel then
// removes the namespaces.
func (h *holder) stop() error {
	h.life.Close()
	select {
	case <-h.done:
	case <-time.After(scaled(20 * time.Second)):
		// Process 1 ends only after every process of its namespace was
		// reaped, those that we started ourselves by us.
		return errors.New("ending process 1: a command in the host was never waited for")
	}
	if h.pidfd > 0 {
		unix.Close(h.pidfd)
		h.pidfd = -1
	}
	return nil
}

// hold is the holder's main function: it sets the host up, reports on ready,
// and stays as its process 1 until standard input ends.
func hold(name string, ready *os.File) int {
	_ = os.Unsetenv(holderEnv)
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	if err := setUp(name); err != nil {
		fmt.Fprint(ready, err)
		return 1
	}
	fmt.Fprint(ready, "ready")
	ready.Close()
	go reapOrphans(children)
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// reapOrphans does the duty of a process 1: daemons fork away from their
// parents, and an unreaped one keeps whoever waits for it waiting.
func reapOrphans(children <-chan os.Signal) {
	for range children {
		for {
			pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
			if pid <= 0 && !errors.Is(err, unix.EINTR) {
				break
			}
		}
	}
}

// setUp makes the new namespaces into a host.
func setUp(name string) error {
	if err := unix.Sethostname([]byte(name)); err != nil {
		return fmt.Errorf("setting host name: %w", err)
	}
	if err := mountAll(); err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("finding loopback: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("setting loopback up: %w", err)
	}
	return setDefaults()
}

// setDefaults writes settings for which a new namespace's are not right.
func setDefaults() error {
	for file, value := range map[string]string{
		// The kernel's default, where a forwarding machine's setting would
		// be inherited.
		"/proc/sys/net/ipv4/ip_forward": "0",
		// Duplicate detection keeps new addresses unusable for a second or
		// two, on wires where there can be no duplicate.
		"/proc/sys/net/ipv6/conf/default/accept_dad": "0",
	} {
		b, err := os.ReadFile(file)
		if err == nil && string(b) != value+"\n" {
			// Writing has side effects even where the value stays.
			err = os.WriteFile(file, []byte(value), 0)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
