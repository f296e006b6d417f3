package hosttest

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/vpnctl/vpnctl/internal/host"
)

// Files is a host.Files in memory. The zero value is an empty disk.
type Files struct {
	// Fault is asked before each write ("replace /etc/x", "remove /etc/x"); the write
	// does not happen where it returns an error.
	Fault func(write string) error

	files   map[string]host.File
	folders map[string]bool        // those that a write has made
	types   map[string]fs.FileMode // what is no plain file
}

var _ host.Files = (*Files)(nil)

// Put places a root-owned file there as somebody else would: past Fault.
func (f *Files) Put(name, data string, mode fs.FileMode) {
	f.put(name, host.File{Data: []byte(data), Mode: mode})
}

func (f *Files) put(path string, file host.File) {
	if f.files == nil {
		f.files = map[string]host.File{}
	}
	// Neither side may change what the other holds.
	file.Data = slices.Clone(file.Data)
	f.files[path] = file
	delete(f.types, path)
	f.makeFolders(path)
}

// Read implements host.Files.
func (f *Files) Read(path string) (host.File, error) {
	file, ok := f.files[path]
	if !ok {
		return host.File{}, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	file.Data = slices.Clone(file.Data)
	return file, nil
}

// Replace implements host.Files. A process that ends in the middle of it, by a panic of
// Fault, leaves its temporary file behind.
func (f *Files) Replace(path string, file host.File) error {
	over := false
	defer func() {
		if !over {
			f.put(temporary(path), file)
		}
	}()
	err := fault(f.Fault, "replace "+path)
	over = true
	if err != nil {
		return err
	}
	f.put(path, file)
	return nil
}

// Sweep implements host.Files.
func (f *Files) Sweep(path string) error {
	delete(f.files, temporary(path))
	return nil
}

// temporary is the name of a file before it replaces another.
func temporary(name string) string {
	return path.Join(path.Dir(name), "."+path.Base(name)+"1234567890123456789")
}

// Remove implements host.Files.
func (f *Files) Remove(path string) error {
	if err := fault(f.Fault, "remove "+path); err != nil {
		return err
	}
	delete(f.files, path)
	return nil
}

// Paths are the files that there are, sorted.
func (f *Files) Paths() []string { return slices.Sorted(maps.Keys(f.files)) }

// String is every file with its mode, owner, path and content, and what else there is: of
// folders only the empty ones, for the others show in the paths of their files.
func (f *Files) String() string {
	var b strings.Builder
	for _, path := range f.Paths() {
		file := f.files[path]
		fmt.Fprintf(&b, "%s %d:%d %s\n", file.Mode, file.UID, file.GID, path)
		for line := range strings.Lines(string(file.Data)) {
			fmt.Fprintf(&b, "\t%s\n", strings.TrimSuffix(line, "\n"))
		}
	}
	f.writeTree(&b)
	return b.String()
}

// fault asks a hook that may be nil.
func fault(hook func(string) error, write string) error {
	if hook == nil {
		return nil
	}
	return hook(write)
}
