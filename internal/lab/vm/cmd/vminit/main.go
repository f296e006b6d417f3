// Command vminit is the first process of the virtual machine. Command vmrun
// builds it; it is of no use elsewhere.
package main

import "github.com/vpnctl/vpnctl/internal/lab/vm/guest"

func main() { guest.Main() }
