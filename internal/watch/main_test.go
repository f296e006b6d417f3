package watch_test

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/vpnctl/vpnctl/internal/watch"
)

// TestMain makes the test binary the vpnctl binary, for children by their arguments
// alone: they have no environment.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		p := watch.New(watch.Config{StateDir: "/var/lib/vpnctl"}).Processes
		switch os.Args[1] {
		case watch.Command:
			exit(stay(len(os.Args) > 4))
		case "start":
			exit(p.Start(context.Background()))
		case "end":
			exit(p.End(context.Background()))
		case "running":
			fmt.Println(p.Running(), p.Litter())
			exit(nil)
		}
	}
	// The race detector would have each of the programs stay for a second at its end.
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
	os.Exit(m.Run())
}

// stay holds the claim until SIGTERM; one that is deaf, beyond it.
func stay(deaf bool) error {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	c, err := watch.Take(watch.RunDir)
	if err != nil {
		return err
	}
	defer c.Release()
	if _, err := daemon.SdNotify(true, daemon.SdNotifyReady); err != nil {
		return err
	}
	<-end
	if deaf {
		select {}
	}
	return nil
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
