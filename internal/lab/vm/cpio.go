package vm

import (
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

// cpio writes an archive in the format that the kernel unpacks as its initial
// file system ("newc"). Errors show in Close.
type cpio struct {
	w    io.Writer
	n    int64 // bytes written
	ino  int
	dirs map[string]bool
	err  error
}

// File types in the mode of an entry.
const (
	cpioDir    = 0o040000
	cpioFile   = 0o100000
	cpioDevice = 0o020000
)

// newCpio returns an empty archive.
func newCpio(w io.Writer) *cpio {
	return &cpio{w: w, dirs: map[string]bool{".": true, "/": true}}
}

// Close ends the archive.
func (c *cpio) Close() error {
	c.header("TRAILER!!!", 0, 0, [2]int{})
	return c.err
}

// Dir adds a folder and those above it.
func (c *cpio) Dir(name string) {
	if c.dirs[name] {
		return
	}
	c.dirs[name] = true
	c.Dir(path.Dir(name))
	c.header(name, cpioDir|0o755, 0, [2]int{})
}

// Device adds a character device.
func (c *cpio) Device(name string, major, minor int) {
	c.Dir(path.Dir(name))
	c.header(name, cpioDevice|0o600, 0, [2]int{major, minor})
}

// Bytes adds a file.
func (c *cpio) Bytes(name string, content []byte) {
	c.reader(name, int64(len(content)), strings.NewReader(string(content)))
}

// File adds a copy of a file.
func (c *cpio) File(name, from string) {
	f, err := os.Open(from)
	if err != nil {
		c.fail(err)
		return
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		c.fail(err)
		return
	}
	c.reader(name, fi.Size(), f)
}

// reader adds a file; all are executable.
func (c *cpio) reader(name string, size int64, r io.Reader) {
	c.Dir(path.Dir(name))
	c.header(name, cpioFile|0o755, size, [2]int{})
	if c.err != nil {
		return
	}
	n, err := io.CopyN(c.w, r, size)
	c.n += n
	c.fail(err)
	c.pad()
}

// header starts an entry.
func (c *cpio) header(name string, mode int, size int64, device [2]int) {
	name = strings.TrimPrefix(name, "/")
	c.ino++
	c.printf("070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		c.ino, mode, 0, 0, 1, 0, size, 0, 0, device[0], device[1], len(name)+1, 0, name)
	c.pad()
}

// pad fills up to a multiple of four bytes.
func (c *cpio) pad() {
	c.printf("%s", "\x00\x00\x00"[:(4-c.n%4)%4])
}

// printf writes unless something went wrong before.
func (c *cpio) printf(format string, args ...any) {
	if c.err != nil {
		return
	}
	n, err := fmt.Fprintf(c.w, format, args...)
	c.n += int64(n)
	c.fail(err)
}

// fail keeps the first error.
func (c *cpio) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}
