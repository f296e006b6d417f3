package reason_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/reason"
)

var at = time.Date(2026, 11, 25, 4, 0, 0, 0, time.UTC)

func TestStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "vpnctl", "reasons")
	s := reason.Open(dir)
	if all, err := s.All(); len(all) > 0 || err != nil {
		t.Errorf("an empty store has %v, %v", all, err)
	}
	a, b := reason.Key{Connection: "hq-branch", Child: "net_a"}, reason.Key{Connection: "hq", Child: "hq"}
	if err := s.Clear(a); err != nil {
		t.Errorf("clearing what is not there: %v", err)
	}
	for _, k := range []reason.Key{a, b, a} {
		if err := s.Put(k, reason.Reason{Text: "no answer from the peer", Time: at}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Clear(b); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "x,y"), []byte("half a fi"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := reason.Open(dir).All()
	want := map[reason.Key]reason.Reason{a: {Text: "no answer from the peer", Time: at}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("reasons (-want +got): %v\n%s", err, diff)
	}
}

// Nobody else may read who talks to whom.
func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "reasons")
	k := reason.Key{Connection: "a", Child: "b"}
	if err := reason.Open(dir).Put(k, reason.Reason{}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "a,b"): 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	s := reason.Open(t.TempDir())
	for _, name := range []string{"", "..", "a/b", "a,b", ".x", "a\x00"} {
		for _, k := range []reason.Key{{Connection: name, Child: "a"}, {Connection: "a", Child: name}} {
			if s.Put(k, reason.Reason{}) == nil || s.Clear(k) == nil {
				t.Errorf("%q is taken for a name", k)
			}
		}
	}
}
