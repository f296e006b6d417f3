package guest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// searchPath is root's.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// hostName is the name of the virtual machine.
const hostName = "vpnctl-vm"

// Agent runs the programs of a job.
type Agent struct {
	job   Job
	send  *Sender
	boot  int
	alone bool // no systemd: the agent is process 1
}

// Serve runs all programs of the job, one after the other.
func (a *Agent) Serve() {
	if a.alone {
		if err := a.prepare(); err != nil {
			a.send.Event(Event{Kind: Failed, Text: err.Error()})
			return
		}
	}
	a.send.Event(Event{Kind: Booted, Boot: a.boot, Seconds: uptime().Seconds()})
	for i := range a.job.Runs {
		a.serve(i)
	}
	a.send.Event(Event{Kind: Done})
}

// serve runs one program and reports on it, and returns its exit code.
func (a *Agent) serve(i int) int {
	a.send.Event(Event{Kind: Started, Boot: a.boot, Run: i})
	start := time.Now()
	code, err := a.run(a.job.Runs[i])
	kind := Exited
	if code == Reboot && a.job.Systemd {
		kind = Rebooting
	}
	e := Event{Kind: kind, Boot: a.boot, Run: i, Code: code, Seconds: time.Since(start).Seconds()}
	if err != nil {
		e.Text = err.Error()
	}
	a.send.Event(e)
	return code
}

// prepare does for the bare machine what systemd would do.
func (a *Agent) prepare() error {
	if err := unix.Sethostname([]byte(hostName)); err != nil {
		return fmt.Errorf("setting host name: %w", err)
	}
	if err := setLoopbackUp(); err != nil {
		return fmt.Errorf("setting loopback up: %w", err)
	}
	a.loadModules()
	return nil
}

// loadModules loads what tests may need, once for all hosts: namespaces share
// the kernel's modules, and a program in one of them cannot load any. What the
// kernel does not have shows where it is used.
func (a *Agent) loadModules() {
	argv := append([]string{"modprobe", "-q", "-a"}, a.job.Load...)
	a.run(Run{Argv: argv, Dir: "/", Timeout: 2 * time.Minute})
}

// setLoopbackUp sets the loopback interface up.
func setLoopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

// run runs a program until it ends or its time is over. The error says why
// there is no exit code of its own.
func (a *Agent) run(r Run) (int, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 127, err
	}
	defer null.Close()
	out, in, err := os.Pipe()
	if err != nil {
		return 127, err
	}
	p, err := os.StartProcess(lookPath(r.Argv[0]), r.Argv, &os.ProcAttr{
		Dir:   r.Dir,
		Env:   a.environ(r.Dir),
		Files: []*os.File{null, in, in},
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
	in.Close()
	if err != nil {
		return 127, errors.Join(fmt.Errorf("starting %s: %w", r.Argv[0], err), out.Close())
	}
	copied := make(chan struct{})
	go func() {
		io.Copy(a.send, out)
		close(copied)
	}()
	code, err := a.wait(p.Pid, r.Timeout)
	a.drain(out, copied)
	return code, err
}

// wait reaps every process that comes its way until the program's own end.
func (a *Agent) wait(pid int, timeout time.Duration) (int, error) {
	kill := time.AfterFunc(timeout, func() { unix.Kill(-pid, unix.SIGKILL) })
	for {
		var ws unix.WaitStatus
		got, err := unix.Wait4(-1, &ws, 0, nil)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return 127, fmt.Errorf("waiting for process %d: %w", pid, err)
		}
		if got != pid {
			continue
		}
		if !kill.Stop() {
			return 128 + int(unix.SIGKILL), fmt.Errorf("killed after %s", timeout)
		}
		if ws.Signaled() {
			return 128 + int(ws.Signal()), fmt.Errorf("ended by signal: %s", ws.Signal())
		}
		return ws.ExitStatus(), nil
	}
}

// drain waits for the last output. Whatever the program left running goes: it
// would hold the pipe open, and disturb the next program.
func (a *Agent) drain(out *os.File, copied <-chan struct{}) {
	if a.alone {
		unix.Kill(-1, unix.SIGKILL)
	}
	select {
	case <-copied:
	case <-time.After(5 * time.Second):
	}
	out.Close()
}

// environ is the environment of programs.
func (a *Agent) environ(dir string) []string {
	env := []string{
		"PATH=" + searchPath, "HOME=/root", "USER=root", "LC_ALL=C", "PWD=" + dir,
		"VPNCTL_LAB=vm", fmt.Sprintf("VPNCTL_BOOT=%d", a.boot),
	}
	return append(env, a.job.Env...)
}

// lookPath finds a program of the job or of the system.
func lookPath(name string) string {
	if strings.Contains(name, "/") {
		return name
	}
	for _, dir := range append([]string{StateDir + ProgramDir}, filepath.SplitList(searchPath)...) {
		path := filepath.Join(dir, name)
		if fi, err := os.Stat(path); err == nil && fi.Mode()&0o111 != 0 {
			return path
		}
	}
	return name
}
