// Package nat keeps NAT, forwarding, MSS clamping and the rules of full tunnels in
// iptables: in chains of its own, VPNCTL-*, to which jumps with the comment "vpnctl"
// lead from the builtin chains. Everybody else's rules, before and after the jumps, stay
// as they are, byte for byte and in their order.
//
// The rules are read with one iptables-save a family and written with one iptables-restore
// a table, without flushing: a fork costs more than a thousand rules do, and the kernel
// takes a table as a whole. What is read is compared as parsed rules, for legacy and
// nft print the same rule in different words. Each rule has as its comment the path of the
// object that it belongs to, so that the plan tells of objects, whatever is found.
//
// Where a host has both kinds of iptables, the rules go where the host's own rules are.
// Memory keeps which kinds hold some, so that a topology without rules needs no iptables.
//
// A connection that is translated stays so until it ends, whatever the rules say. Where
// a translation goes, those are ended too, at the very end.
package nat
