package rtnl_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vpnctl/vpnctl/internal/rtnl"
)

// TestOnThread moves threads to other namespaces, time and again, so that some of them
// would be the first one: the process as others see it stays where it is.
func TestOnThread(t *testing.T) {
	const own = "/proc/self/ns/net"
	before, err := os.Readlink(own)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		err := rtnl.OnThread(func() error { return unix.Unshare(unix.CLONE_NEWNET) })
		if err != nil {
			t.Fatal(err)
		}
		if now, err := os.Readlink(own); err != nil || now != before {
			t.Fatalf("after %d threads the process is in %s, %v; it was in %s", i+1, now, err, before)
		}
	}
}
