// Package lockout tells, before anything is written, whether a plan would cut off the
// operator who runs it.
//
// It thinks in packets: those that this host sends to where the operator is. Which way
// they go now follows from what the kernel holds; which way they would go then, from what
// is foreign there and stays, and what the wanted state puts beside it. A way is a list of
// legs: the host's own address, a policy of IPsec, a route, a peer of WireGuard, and the
// way of what that wraps up. Where the two ways differ, the first leg that does names the
// object. What merely interrupts a session that carries the packets counts as well: the
// plan names those.
//
// Only the way out is followed. What comes in takes the same way, or a filter drops it:
// see guards and spoofs.
package lockout
