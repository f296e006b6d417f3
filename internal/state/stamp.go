package state

import (
	"os"
	"syscall"
	"time"
)

// Stamp tells one apply from the next without reading what it left. The zero Stamp is
// that of a folder without any.
type Stamp struct {
	inode uint64
	at    time.Time
}

// Stamp returns that of the last apply. Every apply that changes something, or undoes
// what it changed, writes a new file.
func (d *Dir) Stamp() Stamp {
	info, err := os.Stat(d.file(appliedFile))
	if err != nil {
		return Stamp{}
	}
	s := Stamp{at: info.ModTime()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode = st.Ino
	}
	return s
}
