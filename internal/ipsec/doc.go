// Package ipsec reconciles strongSwan's charon with the connections, secrets, pools and
// credentials that a node shall hold: in /etc/swanctl/conf.d/vpnctl.conf, from which
// charon starts, and over vici, by which a running one changes one object at a time.
//
// The file is the observation: charon does not tell proposals, secrets and start actions.
// What charon has of the file is remembered by fingerprint for as long as that charon
// lives, and what it does tell (names, children, pools, ids of secrets) is compared as
// well. Loading an object again costs nothing, because children are held as traps and
// never started by charon itself; so whatever is in doubt is loaded. SAs are closed and
// initiated by steps of their own, of which the plan tells whom they cost.
package ipsec
