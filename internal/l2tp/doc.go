// Package l2tp is the backend for xl2tpd, which carries L2TP's control connections: one
// section of /etc/xl2tpd/xl2tpd.conf for the server (LNS) and one for each link that this
// node dials (LAC). What is inside a session is pppd's, and package ppp's; what is around
// it is IPsec's.
//
// # What a change costs
//
// xl2tpd reads its file once, when it starts, and has no reload: SIGHUP does nothing. But
// sections can be added and removed through its control pipe (measured with 1.3.18):
//
//   - The server's section, so its pools, its local address and max_sessions: costs
//     nothing. A new section is added ahead of the old one, which keeps those who are on it.
//     Every content has a name of its own, that of the topology and a digest: the names
//     that a running xl2tpd lists so tell what it has loaded. A client that keeps its
//     tunnel begins its next session in the old section; so that one is told to hand out
//     the new addresses, too (adding to a name appends to its ranges, and can deny those
//     before).
//   - The server taken away while links stay: its own sessions. They are ended through
//     their pppds first; with a tunnel on it, removing a section would leave xl2tpd
//     pointing to freed memory.
//   - A link added: nothing. A link removed, or dialling elsewhere: that link alone.
//   - Options of pppd, users, passwords: nothing; each new pppd reads them. Those files are
//     not written here.
//   - An xl2tpd that runs with somebody else's file, as one does that has just been
//     installed, or is adopted: a restart, which ends all sessions.
//   - [global] is always the same. So nothing else needs a restart, and a running xl2tpd is
//     restarted for nothing else.
//
// A restart ends every session; clients that redial are back after a few seconds.
//
// # How a link is dialled again
//
// An xl2tpd that gets no answer asks again after one second, and after twice as long each
// time; it gives up after five, and begins anew after a fixed time, which cannot be changed
// for a section that it has loaded. So a server that refuses a user is asked every few
// seconds. PPTP's links are dialled by vpnctl, and back off.
package l2tp
