package e2e

import (
	"bytes"
	"context"
	"strings"
	"syscall"
	"testing"
)

// withHook is the example with a hook on linux1.
func withHook(t *testing.T, line string) string {
	t.Helper()
	return strings.Replace(example(t, "wireguard-nat.yaml"), "      linux1:\n", "      linux1:\n        hooks: {post_up: ["+line+"]}\n", 1)
}

// TestFailingHook fails late, when everything else is done.
func TestFailingHook(t *testing.T) {
	_, linux1, _ := startNATExample(t)
	before := snapshot(linux1)
	linux1.has(withHook(t, `"true", "echo no %i >&2; exit 7"`))
	r := linux1.exits(4, "apply", siteFile)
	if !strings.Contains(r.stderr, "exit 7") && !strings.Contains(r.stderr, "exit status 7") {
		t.Errorf("apply does not say why it failed:\n%s", r.stderr)
	}
	before.same(linux1, "a failed apply")

	// The same over an applied topology, which stays. Hooks run where the
	// interface comes up.
	linux1.has(example(t, "wireguard-nat.yaml"))
	linux1.apply()
	linux1.Run("ip", "link", "set", "wg0", "down")
	before = snapshot(linux1)
	linux1.has(strings.Replace(withHook(t, `"exit 7"`), "10.0.0.1/24", "10.0.0.3/24", 1))
	linux1.exits(4, "apply", siteFile)
	before.same(linux1, "a failed change")
	linux1.exits(0, "apply")
	linux1.converged()
}

// TestSignalUndoes interrupts an apply in the middle.
func TestSignalUndoes(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			_, linux1, _ := startNATExample(t)
			before := snapshot(linux1)
			linux1.has(withHook(t, `"touch /tmp/hook-runs; exec sleep 1000"`))
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			var out bytes.Buffer
			cmd := linux1.Cmd(ctx, linux1.program, "apply", siteFile)
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			linux1.await("the hook", func() bool {
				_, err := linux1.Try("test", "-e", "/tmp/hook-runs")
				return err == nil
			})
			if links := linux1.Run("ip", "-o", "link"); !strings.Contains(links, "wg0") {
				t.Errorf("nothing was done before the hook:\n%s", links)
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // its exit code is looked at below
			if code := cmd.ProcessState.ExitCode(); code != 4 {
				t.Errorf("exit %d:\n%s", code, out.String())
			}
			before.same(linux1, "an interrupted apply")
		})
	}
}

// TestKilled leaves a journal behind. The next run says so and converges.
func TestKilled(t *testing.T) {
	_, linux1, linux2 := startNATExample(t)
	before := snapshot(linux1)
	linux2.apply()
	linux1.has(withHook(t, `"touch /tmp/hook-runs; exec sleep 1000"`))
	cmd := linux1.Cmd(context.Background(), linux1.program, "apply", siteFile)
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
	r := linux1.vpnctl("status", "-o", "json")
	if !strings.Contains(r.stdout, `"interrupted": true`) {
		t.Errorf("status after a killed apply: %s", r)
	}
	linux1.has(example(t, "wireguard-nat.yaml"))
	linux1.apply()
	linux1.converged()
	linux1.Ping("10.13.0.202")
	if r := linux1.vpnctl("status", "-o", "json"); !strings.Contains(r.stdout, `"interrupted": false`) {
		t.Errorf("status after the next apply: %s", r)
	}
	linux1.destroy()
	before.same(linux1, "destroy")
}
