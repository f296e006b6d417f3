package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"time"
)

// grace is how long a killed program's own children may keep its output open.
const grace = 2 * time.Second

// ErrTooLong is the error of a program that prints more than it may.
var ErrTooLong = errors.New("too much output")

// RunAsCaller runs a program that the operator chose, in dir, as his shell would: with
// his environment and his PATH, which System.Run keeps away from everybody else. It
// returns at most limit bytes of standard output. What the program says on standard
// error is dropped: only the operator knows whether it tells a secret.
func RunAsCaller(ctx context.Context, dir string, argv []string, limit int) ([]byte, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.WaitDelay = dir, grace
	out := &bounded{left: limit}
	cmd.Stdout = out
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case out.full:
		return nil, ErrTooLong
	case errors.As(err, &exit):
		return nil, errors.New(exit.String()) // "exit status 1", "signal: killed"
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("no such program: %w", fs.ErrNotExist)
	case err != nil:
		return nil, err
	}
	return out.buffer.Bytes(), nil
}

// bounded is a buffer that refuses what is too long for it; the program then finds its
// output closed. The buffer is no embedded one, or io.Copy would find its ReadFrom, which
// knows no bound.
type bounded struct {
	buffer bytes.Buffer
	left   int
	full   bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if len(p) > b.left {
		b.full = true
		return 0, io.ErrShortWrite
	}
	b.left -= len(p)
	return b.buffer.Write(p)
}
