package host_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/host"
)

func TestAttend(t *testing.T) {
	t.Setenv("TOKEN", "hunter2")
	var lines []string
	status, err := host.Attend(t.Context(), []string{"sh", "-c", `echo one; echo two >&2; env; pwd; exit 19`},
		func(text string) { lines = append(lines, text) })
	if status != 19 || err != nil {
		t.Errorf("status is %d, %v", status, err)
	}
	text := strings.Join(lines, "\n")
	if diff := cmp.Diff([]string{"one", "two"}, lines[:min(2, len(lines))]); diff != "" || strings.Contains(text, "hunter2") || lines[len(lines)-1] != "/" {
		t.Errorf("it says\n%s", text)
	}
}

// TestAttendEnd: the program may do what it has to do when it is asked to end.
func TestAttendEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var lines []string
	status, err := host.Attend(ctx, []string{"sh", "-c", `trap 'echo bye; exit 5' TERM; echo here; while :; do sleep 0.01; done`}, func(text string) {
		lines = append(lines, text)
		cancel()
	})
	if status != 5 || err != nil {
		t.Errorf("status is %d, %v", status, err)
	}
	if diff := cmp.Diff([]string{"here", "bye"}, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestAttendMissing(t *testing.T) {
	if _, err := host.Attend(t.Context(), []string{"no-such-program"}, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
}
