// Package vm boots Debian's stock kernel in QEMU and runs programs there, for
// tests of what the kernel of a container or a CI machine lacks. No KVM is
// used, since CI has none.
//
// The guest sees the files of the machine around it, read-only over 9p with a
// layer for changes on top, so it needs no image of its own and whatever is
// installed outside can be tested inside.
package vm
