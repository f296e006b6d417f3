package hosttest

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"github.com/vpnctl/vpnctl/internal/host"
)

// Program stands for one program: it gets the command and returns its output. It keeps
// its state itself.
type Program func(c host.Cmd) ([]byte, error)

// Runner is a host.Runner whose programs are functions. The zero value has none.
type Runner struct {
	// Programs are the installed ones, by name; any other is fs.ErrNotExist.
	Programs map[string]Program
	// Fault is asked before each run, with the command line.
	Fault func(command string) error

	ran []string
}

var _ host.Runner = (*Runner)(nil)

// Run implements host.Runner.
func (r *Runner) Run(ctx context.Context, c host.Cmd) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	program, ok := r.Programs[c.Args[0]]
	if !ok {
		return nil, fmt.Errorf("program %s: %w", c.Args[0], fs.ErrNotExist)
	}
	line := strings.Join(c.Args, " ")
	r.ran = append(r.ran, line)
	if err := fault(r.Fault, line); err != nil {
		return nil, err
	}
	return program(c)
}

// Exit is the error of a program that ends with a status other than zero.
func Exit(c host.Cmd, code int, stderr string) error {
	return &host.ExitError{Program: c.Args[0], Code: code, Stderr: stderr}
}

// String is what was run, one command line each, failed ones included.
func (r *Runner) String() string {
	var b strings.Builder
	for _, line := range r.ran {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// Forget empties what String tells.
func (r *Runner) Forget() { r.ran = nil }
