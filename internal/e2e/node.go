package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpnctl/vpnctl/internal/lab"
)

// siteFile is where a node has its topology.
const siteFile = "/etc/vpnctl/site.yaml"

// patience bounds one run of vpnctl.
const patience = 3 * time.Minute

// node is a host on which vpnctl runs.
type node struct {
	*lab.Host
	t       testing.TB
	lab     *lab.Lab
	program string
}

// result is what one run of vpnctl gave.
type result struct {
	code           int
	stdout, stderr string
}

// String is the result for a message.
func (r result) String() string {
	return fmt.Sprintf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
}

// nodes returns hosts of a lab, in the order of their names.
func nodes(t testing.TB, l *lab.Lab, program string, names ...string) []*node {
	var all []*node
	for _, name := range names {
		all = append(all, &node{Host: l.With(t).Host(name), t: t, lab: l, program: program})
	}
	return all
}

// in is the same node in a subtest.
func (n *node) in(t testing.TB) *node {
	return nodes(t, n.lab, n.program, n.Name())[0]
}

// has writes the node's topology. It holds keys, so only root may read it.
func (n *node) has(topology string) {
	n.t.Helper()
	n.WriteFile(siteFile, topology, 0o600)
}

// vpnctl runs vpnctl, whatever comes of it.
func (n *node) vpnctl(args ...string) result {
	n.t.Helper()
	return n.exec(append([]string{n.program}, args...)...)
}

// exec runs a command that may fail.
func (n *node) exec(argv ...string) result {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := n.Cmd(ctx, argv...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		n.t.Fatalf("running %q on %s: %v\n%s%s", strings.Join(argv, " "), n.Name(), err, stdout.String(), stderr.String())
	}
	return result{code: cmd.ProcessState.ExitCode(), stdout: stdout.String(), stderr: stderr.String()}
}

// exits runs vpnctl, which must exit with code, and returns its standard output
// and error.
func (n *node) exits(code int, args ...string) result {
	n.t.Helper()
	r := n.vpnctl(args...)
	if r.code != code {
		n.t.Fatalf("vpnctl %s on %s: want exit %d, got %s", strings.Join(args, " "), n.Name(), code, r)
	}
	return r
}

// refuses runs vpnctl, which must exit with 3, change nothing, and say all of
// words.
func (n *node) refuses(args []string, words ...string) {
	n.t.Helper()
	before := snapshot(n)
	r := n.exits(3, args...)
	for _, w := range words {
		if !strings.Contains(r.stderr, w) {
			n.t.Errorf("refusal on %s lacks %q:\n%s", n.Name(), w, r.stderr)
		}
	}
	before.same(n, "a refused apply")
}

// apply converges the node with its topology and returns what vpnctl printed.
func (n *node) apply(flags ...string) string {
	n.t.Helper()
	return n.exits(0, slices.Concat([]string{"apply"}, flags, []string{siteFile})...).stdout
}

// converged fails the test unless there is nothing left to do.
func (n *node) converged() {
	n.t.Helper()
	if r := n.exits(0, "diff"); r.stdout != "no changes\n" {
		n.t.Errorf("diff on %s: %s", n.Name(), r)
	}
}

// destroy removes everything of vpnctl's.
func (n *node) destroy() {
	n.t.Helper()
	n.exits(0, "destroy", "--yes")
}

// status is what the tests read of `vpnctl status -o json`.
type status struct {
	Site, Node string
	Healthy    bool
	Tunnels    []tunnel
}

// tunnel is one of a status.
type tunnel struct {
	Protocol, Name, Child, Peer, User, State, Reason string
	Backend, Interface, Local, Remote, Endpoint      string
	Addresses                                        []string
	LastHandshake                                    time.Time `json:"last_handshake"`
	RxBytes                                          uint64    `json:"rx_bytes"`
	TxBytes                                          uint64    `json:"tx_bytes"`
}

// status returns what vpnctl says of its tunnels.
func (n *node) status() status {
	n.t.Helper()
	var s status
	if err := json.Unmarshal([]byte(n.exits(0, "status", "-o", "json").stdout), &s); err != nil {
		n.t.Fatalf("reading status on %s: %v", n.Name(), err)
	}
	return s
}

// peer returns the status of one tunnel by its peer.
func (n *node) peer(name string) tunnel {
	n.t.Helper()
	s := n.status()
	for _, tn := range s.Tunnels {
		if tn.Peer == name {
			return tn
		}
	}
	n.t.Fatalf("status on %s has no peer %s: %+v", n.Name(), name, s)
	return tunnel{}
}

// await waits until cond holds, for what the kernel does in its own time.
func (n *node) await(what string, cond func() bool) {
	n.t.Helper()
	n.Eventually(20*time.Second, func() error {
		if !cond() {
			return fmt.Errorf("not yet: %s", what)
		}
		return nil
	})
}
