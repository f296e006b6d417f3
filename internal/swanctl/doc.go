// Package swanctl knows the two languages in which strongSwan is told what to do: the
// settings of swanctl.conf(5) and the messages of vici, its socket.
//
// Both are made of the same Section, so that file and socket cannot differ: Settings turns
// the wanted state into one, Format writes it as text, Parse reads it back, and the LoadX
// functions make of its parts the messages that swanctl(8) itself would send. What either
// language cannot carry is refused, naming the place, and never cut or bent.
//
// The rules are those of strongSwan 5.9: its lexer, its parser, and swanctl's own loading
// of connections, pools and credentials.
package swanctl
