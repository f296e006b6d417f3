package l2tp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/file"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/l2tp"
	"github.com/vpnctl/vpnctl/internal/lab"
	"github.com/vpnctl/vpnctl/internal/plan"
)

// These tests drive the real xl2tpd in a host of the lab. They need root and xl2tpd, and no
// kernel that has L2TP: nobody logs in.

// jobEnv turns the test binary into a process of such a host, which does what it reads.
const jobEnv = "L2TP_TEST_JOB"

// holdEnv turns it into one that has L2TP's port.
const holdEnv = "L2TP_TEST_HOLD"

func TestMain(m *testing.M) {
	if os.Getenv(holdEnv) != "" {
		hold()
	}
	if os.Getenv(jobEnv) == "" {
		os.Exit(m.Run())
	}
	var j job
	if err := json.NewDecoder(os.Stdin).Decode(&j); err != nil {
		panic(err)
	}
	if err := j.run(context.Background()); err != nil {
		j.Err = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(j); err != nil {
		panic(err)
	}
}

// hold takes the port until it is ended.
func hold() {
	if _, err := net.ListenPacket("udp", ":1701"); err != nil {
		panic(err)
	}
	fmt.Println("bound")
	select {}
}

// job is one apply, or one look.
type job struct {
	Want   desired.PPP
	Memory backend.Memory
	Check  bool // no apply, only the check
	Watch  bool // no apply, but watch until something was done

	Plan string
	Err  string
	Pids []int // of xl2tpd
}

func (j *job) run(ctx context.Context) error {
	b := l2tp.New(l2tp.Config{Look: 50 * time.Millisecond})
	in := backend.Input{Want: &desired.State{Site: "hq", PPP: j.Want}, Memory: j.Memory}
	defer func() { j.Pids = host.Processes("xl2tpd") }()
	switch {
	case j.Check:
		return b.Check(ctx, in)
	case j.Watch:
		return j.watch(ctx, b, in)
	}
	steps, err := b.Plan(ctx, in)
	if err != nil {
		return err
	}
	p := plan.New("hq", "gw", steps)
	j.Plan = p.Text(plan.Palette{})
	handlers := b.Handlers()
	handlers[file.Op] = file.Handler(host.Disk{})
	handlers[backend.MemoryOp] = backend.Handle(func(_ context.Context, from, to *backend.MemoryEntry) error {
		if to == nil {
			delete(j.Memory, from.Key)
			return nil
		}
		j.Memory[to.Key] = to.Value
		return nil
	})
	for _, s := range p.Steps {
		if err := handlers[s.Op.Kind].Apply(ctx, s.Op.From, s.Op.To); err != nil {
			return fmt.Errorf("%s: %w", s.Op.Kind, err)
		}
	}
	rest, err := b.Plan(ctx, in)
	if err == nil && len(rest) > 0 {
		err = errors.New("there is still to do:\n" + plan.New("hq", "gw", rest).Text(plan.Palette{}))
	}
	return err
}

func (j *job) watch(ctx context.Context, b *l2tp.Backend, in backend.Input) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return b.Watch(ctx, &backend.Shift{
		Input: in, Say: func(format string, args ...any) { j.Plan = fmt.Sprintf(format, args...); cancel() },
		Change: func(_ context.Context, fn func() error) error { return fn() },
	})
}

// realHost is a host with the real xl2tpd.
type realHost struct {
	t      *testing.T
	host   *lab.Host
	memory backend.Memory
}

func newReal(t *testing.T) *realHost {
	l := lab.Start(t, lab.Alone("gw"))
	return &realHost{t: t, host: l.Host("gw"), memory: backend.Memory{}}
}

// do does a job on the host, and returns what has become of it.
func (r *realHost) do(j job) job {
	r.t.Helper()
	j.Memory = r.memory
	in, err := json.Marshal(j)
	if err != nil {
		r.t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		r.t.Fatal(err)
	}
	cmd := r.host.Cmd(r.t.Context(), exe)
	cmd.Env = append(os.Environ(), jobEnv+"=1")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		r.t.Fatal(err)
	}
	var done job
	if err := json.Unmarshal(out, &done); err != nil {
		r.t.Fatal(err)
	}
	if r.memory = done.Memory; r.memory == nil {
		r.memory = backend.Memory{}
	}
	return done
}

// apply converges the host and returns the number of its xl2tpd, 0 for none.
func (r *realHost) apply(want desired.PPP) int {
	r.t.Helper()
	j := r.do(job{Want: want})
	if j.Err != "" {
		r.t.Fatalf("%s\nafter\n%s", j.Err, j.Plan)
	}
	if len(j.Pids) > 1 {
		r.t.Fatalf("xl2tpd runs as %v", j.Pids)
	}
	return append(j.Pids, 0)[0]
}

// status is what xl2tpd's own tool lists.
func (r *realHost) status() string {
	r.t.Helper()
	return r.host.Run("sh", "-c", "xl2tpd-control -d available 2>&1")
}

// TestRealSections changes servers and links of a running xl2tpd; its own tool then lists
// what is wanted, and it is the same process all the time.
func TestRealSections(t *testing.T) {
	t.Parallel()
	r := newReal(t)
	many := server("office", pools())
	for i := range 60 {
		third := strconv.Itoa(i)
		many.Pools = append(many.Pools, addrs("192.168."+third+".100", "192.168."+third+".200"))
	}
	first := r.apply(ppp(server("office")))
	if first == 0 {
		t.Fatal("no xl2tpd runs")
	}
	for _, want := range []desired.PPP{
		ppp(many),
		ppp(many, link("far", "192.0.2.1")),
		ppp(server("office"), link("far", "192.0.2.2"), link("near", "192.0.2.3")),
		ppp(link("near", "192.0.2.3")),
		ppp(server("lab", pools()), link("near", "192.0.2.3")),
		ppp(server("lab")),
	} {
		if pid := r.apply(want); pid != first {
			t.Errorf("xl2tpd is process %d, was %d", pid, first)
		}
		status := r.status()
		for i := range want.Servers {
			if !strings.Contains(status, "lns.0.name=vpnctl-"+want.Servers[i].Name+"-") {
				t.Errorf("%s is not served first:\n%s", want.Servers[i].Name, status)
			}
		}
		if got := strings.Count(status, ".name=vpnctl-") - len(want.Servers); got != len(want.Links) {
			t.Errorf("%d links, want %d:\n%s", got, len(want.Links), status)
		}
	}
	r.apply(desired.PPP{})
	if out := r.host.Run("ls", "/run"); strings.Contains(out, "xl2tpd") || len(r.memory) > 0 {
		t.Errorf("left in /run: %s\nand in memory: %s", out, r.memory)
	}
}

// TestRealDeath kills the xl2tpd that vpnctl started: whoever watches starts it again.
func TestRealDeath(t *testing.T) {
	t.Parallel()
	r := newReal(t)
	want := ppp(server("office"))
	first := r.apply(want)
	kill := func() {
		t.Helper()
		r.host.Run("kill", "-9", strconv.Itoa(first))
	}
	kill()
	j := r.do(job{Want: want, Watch: true})
	if j.Err != "" || j.Plan != "daemon/xl2tpd: started again" || len(j.Pids) != 1 || j.Pids[0] == first {
		t.Errorf("watching, it was %+v", j)
	}
	first = j.Pids[0]
	if pid := r.apply(want); pid != first {
		t.Errorf("an apply started another: %d, was %d", pid, first)
	}
	kill()
	if pid := r.apply(want); pid == first || pid == 0 {
		t.Errorf("xl2tpd is process %d, was %d", pid, first)
	}
}

// TestRealForeign takes an xl2tpd over that runs with its package's file, and gives it back.
func TestRealForeign(t *testing.T) {
	t.Parallel()
	r := newReal(t)
	before := r.host.ReadFile(l2tp.ConfPath)
	r.host.Run("sh", "-ec", "mkdir /run/xl2tpd; xl2tpd")
	r.host.Eventually(10*time.Second, func() error {
		_, err := r.host.Try("test", "-p", "/run/xl2tpd/l2tp-control")
		return err
	})
	theirs := r.do(job{Check: true}).Pids
	j := r.do(job{Want: ppp(server("office"))})
	if j.Err != "" || !strings.Contains(j.Plan, "    restarts xl2tpd\n") || strings.Contains(j.Plan, "not vpnctl's") {
		t.Errorf("taking over: %s\n%s", j.Err, j.Plan)
	}
	if len(theirs) != 1 || len(j.Pids) != 1 || theirs[0] == j.Pids[0] {
		t.Errorf("xl2tpd is process %v, was %v", j.Pids, theirs)
	}
	if pid := r.apply(desired.PPP{}); pid == 0 || r.host.ReadFile(l2tp.ConfPath) != before {
		t.Errorf("given back, xl2tpd is process %d, and its file\n%s", pid, r.host.ReadFile(l2tp.ConfPath))
	}
}

// TestRealCheck finds what stands in the way.
func TestRealCheck(t *testing.T) {
	t.Parallel()
	r := newReal(t)
	want := ppp(server("office"))
	says := func(words ...string) {
		t.Helper()
		got := r.do(job{Want: want, Check: true}).Err
		for _, w := range words {
			if !strings.Contains(got, w) {
				t.Errorf("refusal %q lacks %q", got, w)
			}
		}
	}
	if got := r.do(job{Want: want, Check: true}).Err; strings.Contains(got, "UDP") || strings.Contains(got, "runs") {
		t.Errorf("refusal %q of a host with nothing", got)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := r.host.Start("env", holdEnv+"=1", exe)
	p.Await("bound")
	says("UDP port 1701 is taken by l2tp.test (process ")
	p.Stop()
	r.host.WriteFile("/etc/other.conf", "[global]\nport = 1701\n", 0o644)
	r.host.Run("sh", "-ec", "mkdir /run/xl2tpd; xl2tpd -c /etc/other.conf")
	r.host.Eventually(10*time.Second, func() error {
		_, err := r.host.Try("test", "-p", "/run/xl2tpd/l2tp-control")
		return err
	})
	says("an xl2tpd that reads /etc/other.conf runs on this host")
}
