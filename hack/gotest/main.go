// Command gotest runs a command that prints what go test -v prints, shows of
// it what matters, and fails where a test was skipped: a test that does not
// run proves nothing.
//
//	gotest [-times] COMMAND [ARGS]
//
// It prints the closing line of each package, all output of a package that
// failed, and every skipped test. With -times it also prints each test as it
// ends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	times := flag.Bool("times", false, "print each test as it ends")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, flag.Args(), &filter{out: os.Stdout, times: *times})
	stop()
	os.Exit(code)
}

// run runs the command through the filter and returns the exit code.
func run(ctx context.Context, argv []string, f *filter) int {
	if len(argv) == 0 {
		fmt.Fprintln(os.Stderr, "usage: gotest [-times] COMMAND [ARGS]")
		return 2
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	// To the whole group: go run passes no signal on to what it runs, which
	// has a machine of its own to end.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 30 * time.Second
	cmd.Stderr = os.Stderr
	r, w := io.Pipe()
	cmd.Stdout = w
	filtered := make(chan error, 1)
	go func() { filtered <- f.copy(r) }()
	err := cmd.Run()
	_ = w.Close()
	err = errors.Join(err, <-filtered)
	var exit *exec.ExitError
	switch {
	case err == nil && len(f.skipped) == 0:
		return 0
	case err == nil:
		fmt.Fprintf(os.Stderr, "gotest: %d tests were skipped\n", len(f.skipped))
		return 1
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		return exit.ExitCode()
	default:
		fmt.Fprintln(os.Stderr, "gotest:", err)
		return 1
	}
}
