package host

import (
	"errors"
	"io/fs"
	"os"
	"testing"
)

func TestBootID(t *testing.T) {
	const stat = "1 (init) x) S 0 1 1 0 -1 4194560 12 0 0 0 1 2 3 4 20 0 1 0 4711 1 2"
	for _, tt := range []struct{ init, want string }{
		{stat, "uuid/4711"},
		{"1 (init) S 0", "uuid"},
		{"", "uuid"},
	} {
		if got := bootID("uuid\n", tt.init); got != tt.want {
			t.Errorf("%q gives %q, want %q", tt.init, got, tt.want)
		}
	}
	first, err := BootID()
	if again, _ := BootID(); err != nil || first != again || len(first) < 36 {
		t.Errorf("this host's is %q, then %q, %v", first, again, err)
	}
}

func TestRunID(t *testing.T) {
	own, err := RunID(os.Getpid())
	if again, _ := RunID(os.Getpid()); err != nil || own != again {
		t.Errorf("this process is %q, then %q, %v", own, again, err)
	}
	parent, err := RunID(os.Getppid())
	if err != nil || parent == own {
		t.Errorf("the parent is %q, this process %q, %v", parent, own, err)
	}
	if id, err := RunID(1 << 30); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no process is %q, %v", id, err)
	}
}
