package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vpnctl/vpnctl/internal/lab"
)

// crowd is how many apply at once. A process takes ten times as long in the machine, and
// they wait for each other.
func crowd() int {
	if lab.InVM() {
		return 10
	}
	return 50
}

// TestCrowd lets many applies of four topologies run at once: each says what became of it,
// and the host is in the end as one of them wants it.
func TestCrowd(t *testing.T) {
	_, linux1, _ := startNATExample(t)
	text := example(t, "wireguard-nat.yaml")
	addresses := []string{"10.0.0.1/24", "10.0.0.3/24", "10.0.0.4/24", "10.0.0.5/24"}
	for i, a := range addresses {
		linux1.WriteFile(fmt.Sprintf("/etc/vpnctl/%d.yaml", i), strings.ReplaceAll(text, "10.0.0.1/24", a), 0o600)
	}
	var wait sync.WaitGroup
	results := make([]result, crowd())
	for i := range results {
		// Every other one has no patience.
		timeout := []string{"3m", "10ms"}[i%2]
		wait.Go(func() {
			results[i] = linux1.vpnctl("apply", "--lock-timeout", timeout, fmt.Sprintf("/etc/vpnctl/%d.yaml", i%len(addresses)))
		})
	}
	wait.Wait()
	codes := map[int]int{}
	for i, r := range results {
		codes[r.code]++
		switch {
		case r.code == 0 && (strings.Contains(r.stdout, "\napplied: ") || r.stdout == "no changes\n"):
		case r.code == 6 && i%2 == 1 && strings.Contains(r.stderr, "another vpnctl holds the lock: process "):
		default:
			t.Errorf("apply %d: %s", i, r)
		}
	}
	t.Logf("exit codes: %v", codes)
	linux1.converged()
	have := linux1.Run("ip", "-o", "-4", "address", "show", "dev", "wg0")
	if n := strings.Count(have, "inet "); n != 1 {
		t.Errorf("wg0 has %d addresses:\n%s", n, have)
	}
	applied := 0
	for i, a := range addresses {
		r := linux1.vpnctl("diff", fmt.Sprintf("/etc/vpnctl/%d.yaml", i))
		if r.code == 0 {
			applied++
			if !strings.Contains(have, a) {
				t.Errorf("%s is applied, and wg0 has:\n%s", a, have)
			}
		}
	}
	if applied != 1 {
		t.Errorf("the host is as %d of the topologies want it", applied)
	}
}

// TestLookWhileApplying holds an apply up in the middle: who only looks does not wait for it,
// and who would change something says who is at it.
func TestLookWhileApplying(t *testing.T) {
	_, linux1, _ := startNATExample(t)
	linux1.apply()
	linux1.Run("ip", "link", "set", "wg0", "down")
	linux1.Run("mkfifo", "/tmp/go-on")
	linux1.has(withHook(t, `"touch /tmp/hook-runs; read line </tmp/go-on"`))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	held := linux1.Cmd(ctx, linux1.program, "apply", siteFile)
	if err := held.Start(); err != nil {
		t.Fatal(err)
	}
	linux1.await("the hook", func() bool {
		_, err := linux1.Try("test", "-e", "/tmp/hook-runs")
		return err == nil
	})
	began := time.Now()
	if r := linux1.exits(0, "status"); !strings.Contains(r.stdout, "wg0") {
		t.Errorf("status while an apply runs: %s", r)
	}
	if r := linux1.vpnctl("diff", siteFile); r.code > 1 {
		t.Errorf("diff while an apply runs: %s", r)
	}
	for _, args := range [][]string{{"apply", siteFile}, {"destroy", "--yes"}} {
		r := linux1.exits(6, append([]string{"--lock-timeout", "10ms"}, args...)...)
		if !strings.Contains(r.stderr, "another vpnctl holds the lock: process ") {
			t.Errorf("%v says: %s", args, r.stderr)
		}
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("looking took %v", took)
	}
	linux1.Run("sh", "-c", "echo >/tmp/go-on")
	if err := held.Wait(); err != nil {
		t.Errorf("the apply that was held up: %v", err)
	}
	linux1.converged()
}
