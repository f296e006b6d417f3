// Package e2e holds the end-to-end tests: vpnctl's own binary on the hosts of a
// lab, judged by what the kernel, wg(8), iptables-save(8) and the packets on
// the wire say.
//
// The same tests run on the machine's namespaces, where the kernel may have no
// WireGuard and vpnctl carries it in userspace, and on Debian's kernel:
//
//	go test -v ./internal/e2e -run Relay
//	go run ./internal/lab/vm/cmd/vmrun -install ./cmd/vpnctl ./internal/e2e -- -test.v -test.run Relay
//
// What other protocols' tests need as well is here: a node runs vpnctl
// (node.go), a snapshot is the state of a host as text (snapshot.go), a
// topology is written with names in place of keys (topology.go).
package e2e
