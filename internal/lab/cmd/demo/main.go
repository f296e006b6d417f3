// Command demo shows vpnctl at work: it builds three machines out of
// namespaces, and sets up, changes and removes examples/wireguard-nat.yaml
// there. It is run from the root of the source tree, as root.
//
// The last line is the verdict, and the exit code says the same.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/vpnctl/vpnctl/internal/lab"
	"github.com/vpnctl/vpnctl/internal/lab/debian"
)

// topology is the example that is shown.
const topology = "examples/wireguard-nat.yaml"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	verdict, err := run(ctx, os.Stdout)
	if err != nil {
		fmt.Printf("\nDEMO FAILED: %v\n", err)
		os.Exit(1)
	}
	fmt.Printf("\n%s\n", verdict)
}

// run prepares the machine, builds vpnctl and shows it.
func run(ctx context.Context, out io.Writer) (verdict string, err error) {
	if err := debian.Install(ctx, os.Stderr, debian.Tools...); err != nil {
		return "", err
	}
	text, err := os.ReadFile(topology)
	if err != nil {
		return "", err
	}
	// The hosts see the folder for temporary files as it is when they start.
	dir, err := os.MkdirTemp("", "vpnctl-demo-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "vpnctl")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/vpnctl")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if msg, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building vpnctl: %w\n%s", err, msg)
	}
	l, err := lab.New(
		lab.Wire("linux1:ens192 10.12.0.201/16", "linux2:ens192 10.12.0.202/16"),
		lab.Wire("linux2:ens224 10.13.0.201/16", "linux3:ens160 10.13.0.202/16"),
	)
	if err != nil {
		return "", err
	}
	defer func() {
		// The lab fails a test by a panic where there is no test.
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
		if cerr := l.Close(); err == nil {
			err = cerr
		}
	}()
	s := &stage{ctx: ctx, out: out, lab: l, program: program}
	return play(s, string(text))
}
