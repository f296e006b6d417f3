// Package cli is vpnctl's command line: one file a verb, and one place that turns errors
// into exit codes. Standard output carries what was asked for, standard error everything
// else.
package cli
