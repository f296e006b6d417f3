// Package ppp is the backend for everything of pppd, which carries the sessions of L2TP and
// of PPTP: its option files, the secrets of its users, its hooks and modules, and its
// sessions. The daemons that call pppd are packages l2tp and pptp.
//
// # What a change costs
//
// Each pppd reads its option file and its secrets when a session begins, and never again.
// So every option of a server (auth, mppe, mtu, dns, idle, session_limit, multiple_logins,
// proxy_arp, radius) counts at the next login and costs nothing, and a password likewise.
// A user who is removed, or gets another address, or loses his own, loses his session, and
// nobody else does. A link that shall log in as another user dials anew; its routes are
// made and removed beside its session.
//
// Where vpnctl is not at work, hooks in ip-up.d and ip-down.d are: they keep a record of
// each session in RecordFolder, make the routes of links, and end an older session of the
// same address, or of the same user where multiple_logins is false. Records whose pppd is
// gone count for nothing. Of sessions without one, those from before vpnctl, pppd's own
// database tells, its pid files and its command line; addresses are the kernel's to tell.
//
// Of IPv6 pppd hands out link-local addresses only. What is routed into a session, of either
// family, is a link's routes and, on a server, the networks behind a node that dials in; where
// none of these is IPv6, sessions carry none. A link dials anew when that changes; a server's
// sessions have it from their next login on. pppd cannot limit a user's rate, and hands out two DNS servers at most.
// Its PAP carries ASCII alone.
package ppp
