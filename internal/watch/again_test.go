package watch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/engine"
	"github.com/vpnctl/vpnctl/internal/eventlog"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/state"
	"github.com/vpnctl/vpnctl/internal/vault"
	"github.com/vpnctl/vpnctl/internal/watch"
)

// TestAgain tries until nothing is left out, more and more patiently, and says what is new.
func TestAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := engine.LeftOut{Kind: "wireguard", Object: "wireguard/wg0", Reason: "no key"}
		two := engine.LeftOut{Kind: "nat", Object: "nat/gw/rule", Reason: "no route"}
		other := engine.LeftOut{Kind: "nat", Object: "nat/gw/rule", Reason: "no iptables"}
		answers := []struct {
			before, left []engine.LeftOut
			err          error
		}{
			{[]engine.LeftOut{one, two}, []engine.LeftOut{one, two}, nil},
			{[]engine.LeftOut{one, two}, []engine.LeftOut{one, other}, nil},
			{[]engine.LeftOut{one, other}, nil, &engine.LockedError{}},
			{[]engine.LeftOut{one, other}, []engine.LeftOut{one, other}, errors.New("no state folder")},
			{[]engine.LeftOut{one, other}, []engine.LeftOut{other}, nil},
			{[]engine.LeftOut{other}, nil, nil},
		}
		var log bytes.Buffer
		begin := time.Now()
		watch.Again(t.Context(), watch.Pace{Most: 30 * time.Second}, func(context.Context) (before, left []engine.LeftOut, err error) {
			a := answers[0]
			answers = answers[1:]
			fmt.Fprintf(&log, "%s\n", time.Since(begin))
			return a.before, a.left, a.err
		}, eventlog.New(&log))
		want := `5s
15s
nat/gw/rule: left out: no iptables
35s
55s
boot: trying again: no state folder
1m25s
wireguard/wg0: brought up
1m55s
nat/gw/rule: brought up
`
		if diff := cmp.Diff(want, log.String()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestLoopTriesAgain also what a boot leaves out that ends after the loop has begun.
func TestLoopTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		dir := &state.Dir{Path: filepath.Join(t.TempDir(), "state"), Files: host.Disk{}}
		e := &engine.Engine{State: dir, Vault: vault.Ephemeral(), RunDir: t.TempDir()}
		var log bytes.Buffer
		calls := 0
		l := watch.Loop{
			State: dir, Log: eventlog.New(&log), Open: func() (*engine.Engine, error) { return e, nil },
			Again: func(context.Context) (before, left []engine.LeftOut, err error) {
				if calls++; calls != 3 {
					return nil, nil, nil
				}
				return []engine.LeftOut{{Object: "wireguard/wg0"}}, nil, nil
			},
		}
		done := make(chan struct{})
		go func() { l.Run(ctx); close(done) }()
		time.Sleep(22 * time.Second)
		cancel()
		<-done
		if log.String() != "wireguard/wg0: brought up\n" || calls != 4 {
			t.Errorf("%d calls, log %q", calls, log.String())
		}
	})
}
