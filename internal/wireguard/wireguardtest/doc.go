// Package wireguardtest is a host in memory: network namespaces with links, addresses,
// routes, rules and WireGuard devices that behave as Linux's do where that can hurt. It
// prints as ip(8) and wg(8) would print it, and lets a test fail any write.
package wireguardtest
