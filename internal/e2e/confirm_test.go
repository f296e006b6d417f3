package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestConfirm changes the tunnel by which an operator might be here.
func TestConfirm(t *testing.T) {
	_, linux1, linux2 := startNATExample(t)
	good := example(t, "wireguard-nat.yaml")
	// Another network than linux2 knows: nothing passes any more.
	cutOff := strings.ReplaceAll(good, "10.0.0.", "10.5.0.")
	for _, n := range []*node{linux1, linux2} {
		n.apply()
	}
	linux1.Ping("10.13.0.202")
	before := snapshot(linux1)
	t.Run("goes back", func(t *testing.T) {
		linux1 := linux1.in(t)
		linux1.has(cutOff)
		out := linux1.apply("--confirm", "4s")
		if !strings.Contains(out, "armed: goes back at ") {
			t.Errorf("apply does not say that it goes back:\n%s", out)
		}
		linux1.Unreachable("10.13.0.202")
		linux1.wentBack("2", "it was not confirmed in time")
		linux1.Ping("10.13.0.202")
		before.same(linux1, "going back")
	})
	t.Run("killed", func(t *testing.T) {
		linux1 := linux1.in(t)
		linux1.Run("ip", "link", "set", "wg0", "down")
		linux1.has(strings.ReplaceAll(withHook(t, `"touch /tmp/hook-runs; exec sleep 1000"`), "10.0.0.", "10.5.0."))
		cmd := linux1.Cmd(context.Background(), linux1.program, "apply", "--confirm", "4s", siteFile)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		linux1.await("the hook", func() bool {
			_, err := linux1.Try("test", "-e", "/tmp/hook-runs")
			return err == nil
		})
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed
		linux1.Run("pkill", "-x", "sleep")
		linux1.Eventually(20*time.Second, func() error {
			if r := linux1.vpnctl("diff"); r.code != 1 || !strings.Contains(r.stdout, "up: false -> true") {
				return fmt.Errorf("not back yet: %s", r)
			}
			return nil
		})
		linux1.has(good)
		linux1.apply()
		linux1.Ping("10.13.0.202")
	})
	t.Run("confirmed", func(t *testing.T) {
		linux1, linux2 := linux1.in(t), linux2.in(t)
		changed := strings.ReplaceAll(good, "listen_port: 51820", "listen_port: 51900")
		linux2.has(changed)
		linux2.apply()
		linux1.has(changed)
		linux1.apply("--confirm", "60s", "--probe", "ping:10.13.0.202", "--probe", "handshake:linux2")
		linux1.exits(3, "confirm")
		linux1.converged()
		linux1.Ping("10.13.0.202")
	})
	t.Run("probe", func(t *testing.T) {
		linux1 := linux1.in(t)
		linux1.has(cutOff)
		r := linux1.exits(4, "apply", "--confirm", "4s", "--probe", "ping:10.13.0.202", siteFile)
		if !strings.Contains(r.stderr, "ping:10.13.0.202: no answer within 2s; everything that was done has been undone") {
			t.Errorf("apply says: %s", r)
		}
		linux1.Ping("10.13.0.202")
		if r := linux1.vpnctl("status", "-o", "json"); !strings.Contains(r.stdout, `"armed": null`) {
			t.Errorf("something is armed: %s", r)
		}
	})
}

// wentBack waits until history tells why an apply went back.
func (n *node) wentBack(number, why string) {
	n.t.Helper()
	n.Eventually(20*time.Second, func() error {
		if r := n.vpnctl("history", "show", number); !strings.Contains(r.stdout, why) {
			return fmt.Errorf("history does not say %q: %s", why, r)
		}
		return nil
	})
}
