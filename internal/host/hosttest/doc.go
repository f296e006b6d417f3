// Package hosttest is a host in memory: files, kernel settings and programs with state.
// Each fake prints its whole state as a text, and lets a test fail any write.
package hosttest
