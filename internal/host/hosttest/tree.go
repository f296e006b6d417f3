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

var _ host.Tree = (*Files)(nil)

// PutType places something there that is no plain file: a link (fs.ModeSymlink), a folder.
func (f *Files) PutType(name string, typ fs.FileMode) {
	if f.types == nil {
		f.types = map[string]fs.FileMode{}
	}
	delete(f.files, name)
	f.types[name] = typ
	f.makeFolders(name)
}

// makeFolders makes what is missing above a path. Those at the root are always there.
func (f *Files) makeFolders(name string) {
	if f.folders == nil {
		f.folders = map[string]bool{}
	}
	for dir := path.Dir(name); path.Dir(dir) != "/" && dir != "." && dir != "/"; dir = path.Dir(dir) {
		f.folders[dir] = true
	}
}

// Type implements host.Tree.
func (f *Files) Type(name string) (fs.FileMode, error) {
	if _, ok := f.files[name]; ok {
		return 0, nil
	}
	if typ, ok := f.types[name]; ok {
		return typ, nil
	}
	if f.folders[name] || path.Dir(name) == "/" {
		return fs.ModeDir, nil
	}
	return 0, &fs.PathError{Op: "lstat", Path: name, Err: fs.ErrNotExist}
}

// RemoveFolder implements host.Tree.
func (f *Files) RemoveFolder(name string) error {
	if err := fault(f.Fault, "rmdir "+name); err != nil {
		return err
	}
	if f.empty(name) {
		delete(f.folders, name)
	}
	return nil
}

// empty reports whether nothing is below a folder.
func (f *Files) empty(name string) bool {
	below := func(other string) bool { return strings.HasPrefix(other, name+"/") }
	for _, names := range [][]string{
		f.Paths(), slices.Collect(maps.Keys(f.types)), slices.Collect(maps.Keys(f.folders)),
	} {
		if slices.ContainsFunc(names, below) {
			return false
		}
	}
	return true
}

// writeTree prints what String tells beside files.
func (f *Files) writeTree(b *strings.Builder) {
	for _, name := range slices.Sorted(maps.Keys(f.types)) {
		fmt.Fprintf(b, "%s %s\n", f.types[name], name)
	}
	for _, name := range slices.Sorted(maps.Keys(f.folders)) {
		if f.empty(name) {
			fmt.Fprintf(b, "%s %s\n", fs.ModeDir|0o755, name)
		}
	}
}
