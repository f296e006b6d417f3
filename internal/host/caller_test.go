package host

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestRunAsCaller(t *testing.T) {
	t.Setenv("VPNCTL_TEST_TOKEN", "from the caller")
	dir := t.TempDir()
	out, err := RunAsCaller(t.Context(), dir, []string{"sh", "-c", "echo $VPNCTL_TEST_TOKEN; pwd"}, 1000)
	if want := "from the caller\n" + dir + "\n"; err != nil || string(out) != want {
		t.Errorf("got %q, %v; want %q", out, err, want)
	}
}

func TestRunAsCallerBounds(t *testing.T) {
	if out, err := RunAsCaller(t.Context(), "", []string{"printf", "1234"}, 4); err != nil || string(out) != "1234" {
		t.Errorf("at the limit: got %q, %v", out, err)
	}
	if _, err := RunAsCaller(t.Context(), "", []string{"printf", "12345"}, 4); !errors.Is(err, ErrTooLong) {
		t.Errorf("above the limit: got %v, want ErrTooLong", err)
	}
}

// TestRunAsCallerLeavesNothingBehind: a grandchild that keeps the output open does not
// keep vpnctl.
func TestRunAsCallerLeavesNothingBehind(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err := RunAsCaller(ctx, "", []string{"sh", "-c", "sleep 20 & wait"}, 10)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want a deadline", err)
	}
	if took := time.Since(begin); took > 15*time.Second {
		t.Errorf("took %s: waited for the grandchild", took)
	}
}
