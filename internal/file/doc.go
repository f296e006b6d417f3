// Package file owns whole files on the host: those that no protocol's daemon reads, and
// for the other backends the rules by which a file is ours, comes and goes.
//
// A file of ours begins with Header or stands in the memory. One that somebody else wrote
// is taken over only where the operator says so, and comes back when ours goes.
package file
