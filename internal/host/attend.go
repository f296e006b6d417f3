package host

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"
)

// attendGrace is how long an attended program may take to end when it is asked to.
const attendGrace = 15 * time.Second

// Attend runs a program for as long as it likes, hands on each line that it says, and
// returns its exit status, -1 for one that a signal ended. When ctx ends it is asked to end
// (SIGTERM), and made to after a while; that is no error.
func Attend(ctx context.Context, argv []string, line func(text string)) (status int, err error) {
	path, err := LookPath(argv[0])
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, path, argv[1:]...)
	cmd.Dir, cmd.Env = "/", environment()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = attendGrace
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("starting %s: %w", argv[0], err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			line(lines.Text())
		}
		// One that does not fit is dropped, with the rest: the program must not wait.
		_, _ = io.Copy(io.Discard, r)
	}()
	err = cmd.Wait()
	_ = w.Close()
	<-read
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil, err == nil, errors.As(err, &exit), errors.Is(err, exec.ErrWaitDelay):
		return cmd.ProcessState.ExitCode(), nil
	}
	return 0, fmt.Errorf("running %s: %w", argv[0], err)
}
