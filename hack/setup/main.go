// Command setup installs what make test needs on a Debian machine: packages,
// and the kernel of the virtual machine in a cache folder.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"

	"github.com/vpnctl/vpnctl/internal/lab/debian"
	"github.com/vpnctl/vpnctl/internal/lab/vm"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := debian.Install(ctx, os.Stderr, slices.Concat(debian.Compiler, debian.IPsec, debian.PPP)...)
	if err == nil {
		_, err = vm.Prepare(ctx, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "setup:", err)
		os.Exit(1)
	}
}
