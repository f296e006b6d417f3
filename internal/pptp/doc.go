// Package pptp reconciles pptpd, the server of PPTP, and the links by which this node dials
// one. What pppd reads, and the sessions, are package ppp's.
//
// What a change of a server costs: nothing that is live. Users, passwords and all of pppd's
// options (auth, MPPE, MTU, DNS, limits) count at the next login. local_ip, pools and
// max_sessions are pptpd's own, which reads them once: its parent process ends at SIGHUP
// and has no reload. But each session has a process of its own, so that the parent is
// started anew beside them. Two things make that safe. Under systemd the parent alone must
// be stopped (KillMode=process, in a drop-in that systemd has read before). And the new
// parent does not know which addresses the old sessions hold: whoever starts it (systemd at
// any time, apply, watch) starts `vpnctl pptp-server`, which leaves those out of the pool
// and becomes pptpd. /etc/pptpd.conf always has the whole pool, the parent reads LoadedPath.
// Where nothing is left of its pool while the old sessions have made room, watch starts it
// once more. What does cost sessions is the end of the server: all of its own are ended.
//
// A link is one process, `vpnctl pptp-link NAME`, by a unit of its own where systemd runs.
// It runs one pppd after the other, so that each reads the options of now, waits longer and
// longer between two that fail, and keeps why they did. Routes change under a session; any
// other option of a link makes it dial anew, which the plan says.
package pptp
