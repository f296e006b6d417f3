// Package wireguard reconciles WireGuard interfaces with the kernel: the link, its
// addresses, peers, routes and policy rules. A link belongs to vpnctl where its alias
// says so, and then everything on it does.
//
// Reading, deciding and doing are apart. Observe reads the host; settle replaces what is
// symbolic in the topology (a DNS name, an MTU of "auto") by what holds here and now, so
// that diff, which is pure, compares two values of one type; the handlers bring one
// object from any state to another.
package wireguard
