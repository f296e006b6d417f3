// Package charontest is a charon in memory: what the real one was seen to do with
// connections, secrets, pools and SAs, told in swanctl's words.
package charontest
