package vm

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCpio(t *testing.T) {
	from := filepath.Join(t.TempDir(), "from")
	if err := os.WriteFile(from, []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	c := newCpio(&b)
	c.Device("/dev/console", 5, 1)
	c.Dir("/a/b")
	c.File("/a/b/c", from)
	c.Bytes("/a/d", []byte("x"))
	c.Bytes("/a/empty", nil)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"dev 40755 ", "dev/console 20600 ", "a 40755 ", "a/b 40755 ",
		"a/b/c 100755 content", "a/d 100755 x", "a/empty 100755 ", "TRAILER!!! 0 ",
	}
	if diff := cmp.Diff(want, readCpio(t, b.Bytes())); diff != "" {
		t.Errorf("archive (-want +got):\n%s", diff)
	}
}

func TestCpioError(t *testing.T) {
	c := newCpio(new(bytes.Buffer))
	c.File("/a", "/no/such/file")
	c.Bytes("/b", []byte("x"))
	if err := c.Close(); !os.IsNotExist(err) {
		t.Errorf("error is %v", err)
	}
}

// readCpio returns name, octal mode and content of every entry, by the
// kernel's description of the format (initramfs-buffer-format).
func readCpio(t *testing.T, b []byte) []string {
	t.Helper()
	var entries []string
	padded := func(n int) int { return (n + 3) / 4 * 4 }
	for len(b) > 0 {
		field := func(i int) int {
			n, err := strconv.ParseInt(string(b[6+8*i:14+8*i]), 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			return int(n)
		}
		if magic := string(b[:6]); magic != "070701" {
			t.Fatalf("magic is %q after %q", magic, entries)
		}
		mode, size, nameSize := field(1), field(6), field(11)
		start := padded(110 + nameSize)
		entries = append(entries, string(b[110:110+nameSize-1])+" "+strconv.FormatInt(int64(mode), 8)+" "+string(b[start:start+size]))
		b = b[start+padded(size):]
	}
	return entries
}
