// Package lab builds small networks out of namespaces on one kernel, for
// end-to-end tests and for the demonstration.
//
// A host is a set of namespaces (net, mount, uts, ipc, pid) with an /etc, /var
// and /tmp of its own, laid over the machine's, and an empty /run. A test
// says how the hosts are wired:
//
//	l := lab.Start(t,
//		lab.Wire("linux1:ens192 10.12.0.201/16", "linux2:ens192 10.12.0.202/16"),
//		lab.LAN("office", "linux2:ens224 10.13.0.201/24", "linux3:ens160 10.13.0.202/24 via 10.13.0.201"),
//	)
//	linux1, office := l.Host("linux1"), l.Host("office")
//	linux1.WriteFile("/etc/vpnctl/key", key, 0o600)
//	linux1.Run("ip", "route", "add", "10.13.0.0/24", "via", "10.12.0.202")
//	seen := office.Capture("linux3", "icmp")
//	linux1.Ping("10.12.0.202")
//	seen.Await("echo request")
//
// Without a test, New returns the error and Close removes everything. A lab
// dies with its process, however that ends.
//
// The machine's own kernel may lack WireGuard or PPP. The same compiled test
// runs on Debian's kernel in a virtual machine:
//
//	go run ./internal/lab/vm/cmd/vmrun ./internal/e2e -- -test.v -test.run WireGuard
//	go run ./internal/lab/vm/cmd/vmrun -command -- wg --version
package lab
