package host

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Detached is a program that goes on when this process ends.
type Detached struct {
	PID   int
	cmd   *exec.Cmd
	ended chan error
}

// Detach starts the program at path with the arguments argv, its own name first. It has
// nothing of this process: a session of its own without a terminal, the clean
// environment, no open file but /dev/null, and / as its folder.
func Detach(path string, argv ...string) (*Detached, error) {
	cmd := exec.Command(path)
	cmd.Args = argv
	cmd.Dir = "/"
	cmd.Env = environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := closeOnExec(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", path, err)
	}
	d := &Detached{PID: cmd.Process.Pid, cmd: cmd, ended: make(chan error, 1)}
	// Reaped here, or else by init.
	go func() { d.ended <- d.wait() }()
	return d, nil
}

// Ended tells once how the program ended, if it does so before this process.
func (d *Detached) Ended() <-chan error { return d.ended }

// Kill ends the program at once; one that has ended is success.
func (d *Detached) Kill() error {
	if err := d.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("ending process %d: %w", d.PID, err)
	}
	return nil
}

func (d *Detached) wait() error {
	if err := d.cmd.Wait(); err != nil {
		return err
	}
	return errors.New("exit status 0") // no success of what is there to stay
}

// closeOnExec keeps the files that this process was started with from its children: a
// lock, or the end of a pipe, that the caller's shell had open would be held for as long
// as the child lives. Go marks the files that it opens itself.
func closeOnExec() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("listing open files: %w", err)
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}
