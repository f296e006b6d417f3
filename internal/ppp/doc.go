// Package ppp is the backend for everything of pppd, which carries the sessions of L2TP and
// of PPTP: its option files, the secrets of its users, its hooks, and its sessions.
package ppp
