// Package rtnl is a small typed layer over rtnetlink for those who reconcile a whole
// host: one dump instead of many lookups, filtered by the kernel, and changes packed
// into few system calls.
//
// It knows links, addresses, routes and rules as far as vpnctl sets them, and nothing
// of what they are for.
package rtnl
