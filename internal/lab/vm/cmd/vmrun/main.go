// Command vmrun runs Go tests, or any command, on Debian's kernel in a virtual
// machine.
//
//	vmrun [flags] PACKAGE... [-- TEST FLAGS]
//	vmrun [flags] -- COMMAND [ARGS]
//
// All packages run in one boot, each in its own folder, with the build tag
// "vm" and with VPNCTL_LAB=vm in the environment. The exit code is the
// command's, or 1 where a test failed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/vpnctl/vpnctl/internal/lab/vm"
	"github.com/vpnctl/vpnctl/internal/lab/vm/guest"
)

// options are what the command line says.
type options struct {
	memory   int
	timeout  time.Duration
	systemd  bool
	prepare  bool
	env      list
	install  list
	patterns []string // packages to test
	rest     []string // after "--"
}

// list is a flag that may be repeated.
type list []string

// String formats the values.
func (l *list) String() string { return strings.Join(*l, " ") }

// Set adds a value.
func (l *list) Set(s string) error {
	*l = append(*l, s)
	return nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code, err := run(ctx, parse(os.Args[1:]))
	if err != nil {
		fmt.Fprintln(os.Stderr, "vmrun:", err)
		code = max(code, 1)
	}
	stop()
	os.Exit(code)
}

// parse reads the command line, and ends the program where it is wrong.
func parse(args []string) options {
	var o options
	fs := flag.NewFlagSet("vmrun", flag.ExitOnError)
	fs.IntVar(&o.memory, "mem", 4096, "memory of the machine in `MiB`")
	fs.DurationVar(&o.timeout, "timeout", 20*time.Minute, "limit for each package or command")
	fs.BoolVar(&o.systemd, "systemd", false, "boot systemd; exit code 99 reboots and runs again with VPNCTL_BOOT=2, 3, ...")
	fs.BoolVar(&o.prepare, "prepare", false, "only install packages and fetch the kernel")
	fs.Var(&o.env, "env", "`NAME=VALUE` for the environment inside (repeatable)")
	fs.Var(&o.install, "install", "`PACKAGE` of a command to put into /usr/local/sbin inside (repeatable)")
	fs.Usage = func() {
		fmt.Fprintln(fs.Output(), "usage: vmrun [flags] PACKAGE... [-- TEST FLAGS]\n       vmrun [flags] -- COMMAND [ARGS]")
		fs.PrintDefaults()
	}
	for i, a := range args {
		if a == "--" {
			args, o.rest = args[:i], args[i+1:]
			break
		}
	}
	_ = fs.Parse(args) // it exits
	o.patterns = fs.Args()
	if len(o.patterns)+len(o.rest) == 0 && !o.prepare {
		fs.Usage()
		os.Exit(2)
	}
	return o
}

// run builds, boots and reports.
func run(ctx context.Context, o options) (int, error) {
	kernel, err := vm.Prepare(ctx, os.Stderr)
	if err != nil || o.prepare {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "vmrun-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	b, err := build(ctx, dir, o)
	if err != nil {
		return 0, err
	}
	r := &reporter{names: b.names}
	for _, job := range b.jobs(o) {
		m := vm.Machine{
			Kernel:   kernel,
			Memory:   o.memory,
			Init:     b.init,
			Programs: b.programs,
			Job:      job,
			Output:   os.Stdout,
			Event:    r.event,
		}
		r.start = time.Now()
		if err := m.Run(ctx); err != nil {
			return r.code, err
		}
		r.skip += len(job.Runs)
	}
	return r.code, nil
}

// reporter prints what happens in the machine, in the words of go test.
type reporter struct {
	names []string  // of packages; none for a command
	skip  int       // runs in earlier machines
	start time.Time // of the boot
	code  int
}

// event reports one event.
func (r *reporter) event(e guest.Event) {
	switch e.Kind {
	case guest.Booted:
		fmt.Fprintf(os.Stderr, "vmrun: boot %d took %.1f s, %.1f s of it the kernel and what it started\n", e.Boot, time.Since(r.start).Seconds(), e.Seconds)
	case guest.Rebooting:
		r.start = time.Now()
	case guest.Exited:
		r.exited(e)
	}
}

// exited reports the end of one run.
func (r *reporter) exited(e guest.Event) {
	if e.Text != "" {
		fmt.Fprintln(os.Stderr, "vmrun:", e.Text)
	}
	if len(r.names) == 0 {
		r.code = e.Code
		return
	}
	verdict := "ok  "
	if e.Code != 0 {
		verdict, r.code = "FAIL", 1
	}
	fmt.Printf("%s\t%s\t%.3fs\n", verdict, r.names[r.skip+e.Run], e.Seconds)
}
