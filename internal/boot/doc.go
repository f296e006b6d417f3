// Package boot sees to it that a host comes up with what was applied last, where systemd
// runs: one unit sets what guards against clear text before there is a network, another
// brings up the rest before the daemons read their files.
package boot
