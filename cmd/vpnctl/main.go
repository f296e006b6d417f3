// Command vpnctl reconciles a VPN gateway with a topology file.
package main

import (
	"os"

	"github.com/vpnctl/vpnctl/internal/cli"
)

func main() { os.Exit(cli.Main()) }
