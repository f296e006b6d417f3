package file

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/host"
)

// same reports whether both are absent, or the same file.
func same(a, b *State) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Content == b.Content && len(fields(&a.File, &b.File)) == 0
}

// fields compares two files; have is nil for one that is to be made. Content is told by
// its digest: it is long, and a plan is no place to read it.
func fields(have, want *host.File) []backend.Field {
	if have == nil {
		return []backend.Field{
			{Name: "content", Want: backend.Text(digest(want.Data))},
			{Name: "mode", Want: backend.Text(mode(want))},
		}
	}
	var out []backend.Field
	add := func(name, have, want string) {
		out = append(out, backend.Field{Name: name, Have: backend.Text(have), Want: backend.Text(want)})
	}
	if !bytes.Equal(have.Data, want.Data) {
		add("content", digest(have.Data), digest(want.Data))
	}
	if have.Mode != want.Mode {
		add("mode", mode(have), mode(want))
	}
	if have.UID != want.UID || have.GID != want.GID {
		add("owner", owner(have), owner(want))
	}
	return out
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return fmt.Sprintf("sha256 %x", sum[:6])
}

func mode(f *host.File) string  { return fmt.Sprintf("%04o", f.Mode.Perm()) }
func owner(f *host.File) string { return fmt.Sprintf("%d:%d", f.UID, f.GID) }

// typeName is what stands where a plain file shall be.
func typeName(typ fs.FileMode) string {
	switch {
	case typ&fs.ModeSymlink != 0:
		return "a symbolic link"
	case typ.IsDir():
		return "a folder"
	}
	return "something that is no plain file"
}
