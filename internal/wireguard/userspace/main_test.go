package userspace_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/vpnctl/vpnctl/internal/wireguard"
	"github.com/vpnctl/vpnctl/internal/wireguard/userspace"
)

var _ wireguard.Userspace = userspace.Launcher{}

// TestMain makes the test binary the vpnctl binary, for children by their arguments
// alone: they have no environment.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 {
		switch name := os.Args[2]; os.Args[1] {
		case userspace.Command:
			exit(userspace.Main(context.Background(), name))
		case "start":
			exit(userspace.Launcher{}.Start(context.Background(), name))
		case "start-and-stay":
			err := userspace.Launcher{}.Start(context.Background(), name)
			fmt.Println("started:", err)
			select {}
		case "running":
			fmt.Println(userspace.Launcher{}.Running(name))
			exit(nil)
		}
	}
	// The race detector would have each of the programs stay for a second at its end.
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
	os.Exit(m.Run())
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
