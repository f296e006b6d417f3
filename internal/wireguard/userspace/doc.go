// Package userspace carries a WireGuard interface where the kernel does not: one process
// of vpnctl's own binary per interface, which lives as long as its link. It is configured
// over the same socket as wireguard-go, so that wg(8) and wgctrl find it.
package userspace
