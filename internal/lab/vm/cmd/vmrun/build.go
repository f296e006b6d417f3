package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/vpnctl/vpnctl/internal/lab/vm/guest"
)

// initPackage is the guest's program.
const initPackage = "github.com/vpnctl/vpnctl/internal/lab/vm/cmd/vminit"

// built is what goes into the machine.
type built struct {
	init     string
	programs map[string]string // file by name
	install  map[string]string // program's name by path in the machine
	names    []string          // of tested packages
	runs     []guest.Run
}

// build compiles everything that the options ask for.
func build(ctx context.Context, dir string, o options) (*built, error) {
	b := &built{
		init:     filepath.Join(dir, "init"),
		programs: make(map[string]string),
		install:  make(map[string]string),
	}
	if err := goTool(ctx, "build", "-o", b.init, initPackage); err != nil {
		return nil, err
	}
	for _, pkg := range o.install {
		if err := b.command(ctx, dir, pkg); err != nil {
			return nil, err
		}
	}
	if len(o.patterns) == 0 {
		wd, err := os.Getwd()
		b.runs = []guest.Run{{Argv: o.rest, Dir: wd, Timeout: o.timeout}}
		return b, err
	}
	pkgs, err := listTests(ctx, o.patterns)
	if err != nil {
		return nil, err
	}
	for _, p := range pkgs {
		if err := b.test(ctx, dir, p, o); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// goTool runs the go command on what runs in the machine: static, so that it
// does not depend on the libraries there, and small, since it is copied.
func goTool(ctx context.Context, args ...string) error {
	args = append([]string{args[0], "-tags=vm", "-ldflags=-s -w"}, args[1:]...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running go %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// command adds a command for /usr/local/sbin.
func (b *built) command(ctx context.Context, dir, pkg string) error {
	abs, err := filepath.Abs(pkg)
	if err != nil {
		return err
	}
	name := filepath.Base(abs)
	file := filepath.Join(dir, name)
	if err := goTool(ctx, "build", "-o", file, pkg); err != nil {
		return err
	}
	b.programs[name] = file
	b.install[path.Join("/usr/local/sbin", name)] = name
	return nil
}

// testPackage is a package with tests, as the go command lists it.
type testPackage struct {
	ImportPath                string
	Dir                       string
	TestGoFiles, XTestGoFiles []string
}

// listTests returns the packages that have tests.
func listTests(ctx context.Context, patterns []string) ([]testPackage, error) {
	args := append([]string{"list", "-tags=vm", "-json=ImportPath,Dir,TestGoFiles,XTestGoFiles"}, patterns...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("listing packages: %w", err)
	}
	var pkgs []testPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p testPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("listing packages: %w", err)
		}
		if len(p.TestGoFiles)+len(p.XTestGoFiles) > 0 {
			pkgs = append(pkgs, p)
		}
	}
	if len(pkgs) == 0 {
		return nil, fmt.Errorf("listing packages: no tests in %s", strings.Join(patterns, " "))
	}
	return pkgs, nil
}

// test adds the test of a package.
func (b *built) test(ctx context.Context, dir string, p testPackage, o options) error {
	name := strings.ReplaceAll(p.ImportPath, "/", "-") + ".test"
	file := filepath.Join(dir, name)
	if err := goTool(ctx, "test", "-c", "-o", file, p.ImportPath); err != nil {
		return err
	}
	b.programs[name] = file
	b.names = append(b.names, p.ImportPath)
	b.runs = append(b.runs, guest.Run{
		Argv: append([]string{
			path.Join(guest.StateDir, guest.ProgramDir, name),
			"-test.paniconexit0",
			"-test.timeout=" + o.timeout.String(),
		}, o.rest...),
		Dir: p.Dir,
		// The test's own limit comes first: it prints where it hung.
		Timeout: o.timeout + 30*time.Second,
	})
	return nil
}

// jobs returns what to do in how many machines: one, unless each program
// reboots as it likes.
func (b *built) jobs(o options) []guest.Job {
	job := guest.Job{Runs: b.runs, Env: o.env, Install: b.install, Systemd: o.systemd}
	if !o.systemd {
		return []guest.Job{job}
	}
	var jobs []guest.Job
	for _, r := range b.runs {
		job.Runs = []guest.Run{r}
		jobs = append(jobs, job)
	}
	return jobs
}
