package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"strings"
)

// Cmd is one program run: argv without a shell, and its standard input. Secrets go
// through Stdin, never through Args, which every user of the host can read.
type Cmd struct {
	Args  []string
	Stdin []byte
	Env   []string // beside the clean environment; "KEY=value"
}

// Runner runs programs.
type Runner interface {
	// Run returns standard output. A program that is missing is fs.ErrNotExist; one
	// that exits non-zero is an *ExitError.
	Run(ctx context.Context, c Cmd) ([]byte, error)
}

// ExitError is a program that ended with a status other than zero.
type ExitError struct {
	Program string
	Code    int
	Stderr  string // its first line
}

func (e *ExitError) Error() string {
	return fmt.Sprintf("%s: exit status %d: %s", e.Program, e.Code, e.Stderr)
}

// Path is where programs are looked for: sbin directories are missing from the PATH of
// many users and units.
const Path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment is what every child gets.
func environment() []string { return []string{"PATH=" + Path, "LC_ALL=C"} }

// System is the Runner of the real host.
type System struct{}

// Run implements Runner. Children get a clean environment in the C locale: their
// output is parsed, and the caller's environment may hold secrets.
func (System) Run(ctx context.Context, c Cmd) ([]byte, error) {
	path, err := LookPath(c.Args[0])
	if err != nil {
		return nil, err
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, path, c.Args[1:]...)
	cmd.Env = append(environment(), c.Env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(c.Stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			line, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n")
			return stdout.Bytes(), &ExitError{Program: c.Args[0], Code: exit.ExitCode(), Stderr: line}
		}
		return nil, fmt.Errorf("running %s: %w", c.Args[0], err)
	}
	return stdout.Bytes(), nil
}

// LookPath finds a program on Path, whatever the caller's PATH is; a missing one is
// fs.ErrNotExist.
func LookPath(name string) (string, error) {
	for _, dir := range strings.Split(Path, ":") {
		if p, err := exec.LookPath(dir + "/" + name); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("program %s: %w", name, fs.ErrNotExist)
}
