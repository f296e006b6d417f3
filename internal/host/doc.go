// Package host is the only door to the machine's programs, files and kernel settings:
// what is run, what is written below /etc, what is set below /proc/sys. Kernel
// objects go through netlink instead, in the packages that own them.
package host
