// Package backend is the contract between the engine and the protocols: what a
// backend promises, and the vocabulary in which a change of the host is told. It
// knows no kernel and no daemon.
package backend
