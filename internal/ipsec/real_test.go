package ipsec_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/ipsec"
	"github.com/vpnctl/vpnctl/internal/ipsec/charontest"
	"github.com/vpnctl/vpnctl/internal/lab"
	"github.com/vpnctl/vpnctl/internal/plan"
	"github.com/vpnctl/vpnctl/internal/secret"
)

// These tests drive the real charon in a host of the lab. They need root and strongSwan.

// jobEnv turns the test binary into a process of such a host, which does what it reads: a
// thread in another namespace would not do, for the backend has goroutines.
const jobEnv = "IPSEC_TEST_JOB"

func TestMain(m *testing.M) {
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

// job is one apply, or one look, before and after.
type job struct {
	Want, Applied *desired.State
	Memory        backend.Memory
	Secrets       map[secret.ID]string
	Look          bool // no apply, only the status
	Undo          bool // apply, and undo it
	Dry           bool // only plan
	Watch         bool // no apply, but watch until there is a reason
	Libipsec      bool // as on a kernel without ESP

	Plan string
	Rows []backend.Tunnel
	Err  string
}

func (j *job) run(ctx context.Context) error {
	v := vault{}
	for _, text := range j.Secrets {
		v.put(text)
	}
	c := ipsec.Config{Secrets: v, Kernel: &charontest.Kernel{NoESP: j.Libipsec}} // whatever this one has
	b := ipsec.New(c)
	in := backend.Input{Want: j.Want, Applied: j.Applied, Memory: j.Memory, Secrets: v}
	var err error
	if j.Watch {
		if err := j.watch(ctx, b, in); err != nil {
			return err
		}
	}
	if j.Look {
		j.Rows, err = b.Status(ctx, in)
		return err
	}
	if err := b.Check(ctx, in); err != nil {
		return err
	}
	steps, err := b.Plan(ctx, in)
	if err != nil {
		return err
	}
	p := plan.New(j.Want.Site, "gw-a", steps)
	j.Plan = p.Text(plan.Palette{})
	if j.Dry {
		return nil
	}
	handlers := b.Handlers()
	handlers["file"] = fileHandler(host.Disk{})
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
	if j.Undo {
		for _, s := range slices.Backward(p.Steps) {
			if err := handlers[s.Op.Kind].Apply(ctx, s.Op.To, s.Op.From); err != nil {
				return fmt.Errorf("undoing %s: %w", s.Op.Kind, err)
			}
		}
		return nil
	}
	in.Applied = j.Want
	rest, err := b.Plan(ctx, in)
	if err == nil && len(rest) > 0 {
		err = errors.New("there is still to do:\n" + plan.New(j.Want.Site, "gw-a", rest).Text(plan.Palette{}))
	}
	return err
}

// watch watches until it has heard why something is down.
func (j *job) watch(ctx context.Context, b *ipsec.Backend, in backend.Input) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	watched := make(chan error, 1)
	go func() {
		watched <- b.Watch(ctx, &backend.Shift{
			Input: in, Say: func(string, ...any) {}, Change: func(_ context.Context, fn func() error) error { return fn() },
		})
	}()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		all, err := b.Reasons.All()
		if err != nil || len(all) > 0 {
			cancel()
			return errors.Join(err, <-watched)
		}
		select {
		case err := <-watched:
			return errors.Join(errors.New("it ended without a reason"), err)
		case <-tick.C:
		}
	}
}

// gateway is a host of the lab on which the backend works.
type gateway struct {
	*lab.Host
	t       *testing.T
	secrets vault
	memory  backend.Memory
	applied *desired.State
	// libipsec says that its kernel has no ESP.
	libipsec bool
}

// slim leaves out what no test here needs: charon starts in a third of the time.
const slim = `for p in tpm pkcs11 test-vectors ldap gcrypt agent pgp dnskey rc2 sshkey curl led connmark forecast farp ` +
	`eap-tnc eap-aka eap-gtc eap-ttls eap-tls eap-radius xauth-pam xauth-eap dhcp lookip certexpire error-notify addrblock ha stroke bypass-lan; do ` +
	`f=/etc/strongswan.d/charon/$p.conf; [ -e $f ] && sed -i 's/^\( *load = \).*/\1no/' $f; done; ` +
	`printf 'charon-systemd {\n filelog {\n lab {\n path = /var/log/charon.log\n default = 1\n ike_name = yes\n flush_line = yes\n } } }\n' > /etc/strongswan.d/zz-lab.conf`

func newGateway(t *testing.T, h *lab.Host, secrets vault) *gateway {
	h.Run("sh", "-c", slim)
	g := &gateway{Host: h, t: t, secrets: secrets, memory: backend.Memory{}}
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := h.Try("tail", "-n", "80", "/var/log/charon.log")
			t.Logf("charon on %s:\n%s", h.Name(), log)
		}
	})
	return g
}

// do does a job in a process of the host.
func (g *gateway) do(j job) job {
	g.t.Helper()
	j.Libipsec = g.libipsec
	j.Applied, j.Memory, j.Secrets = g.applied, g.memory, map[secret.ID]string{}
	for id, v := range g.secrets {
		j.Secrets[id] = string(v.Reveal())
	}
	in, err := json.Marshal(j)
	if err != nil {
		g.t.Fatal(err)
	}
	cmd := g.Cmd(context.Background(), "/proc/self/exe")
	cmd.Env = append(cmd.Env, jobEnv+"=1")
	var out, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &stderr
	if err := cmd.Run(); err != nil {
		g.t.Fatalf("%v: %s", err, stderr.String())
	}
	j = job{}
	if err := json.NewDecoder(&out).Decode(&j); err != nil {
		g.t.Fatal(err)
	}
	return j
}

// apply applies, which leaves nothing to do, and returns the text of the plan.
func (g *gateway) apply(want *desired.State) string {
	g.t.Helper()
	j := g.do(job{Want: want})
	if j.Err != "" {
		g.t.Fatalf("%s\n%s", j.Err, j.Plan)
	}
	g.memory, g.applied = j.Memory, want
	return j.Plan
}

// undone applies and undoes, which leaves everything as it was.
func (g *gateway) undone(s named) {
	g.t.Helper()
	before := g.conns()
	if j := g.do(job{Want: s.State, Undo: true}); j.Err != "" {
		g.t.Fatalf("%s, undone: %s", s.name, j.Err)
	}
	if diff := cmp.Diff(before, g.conns()); diff != "" {
		g.t.Fatalf("%s, undone (-before +after):\n%s", s.name, diff)
	}
}

// conns is what charon and the file hold, without what differs from run to run.
func (g *gateway) conns() string {
	out, err := g.Try("swanctl", "--list-conns", "--raw")
	if err != nil {
		return "charon is not running\n"
	}
	lines := slices.Sorted(strings.Lines(out))
	out = strings.Join(lines, "")
	pools := g.Run("swanctl", "--list-pools")
	conf, _ := g.Try("cat", "/etc/swanctl/conf.d/vpnctl.conf")
	return out + pools + conf + g.Run("ls", "/etc/swanctl/private", "/etc/swanctl/x509")
}

// TestRealCharon takes the real charon through the states at random. The plans are those
// that the fake one leads to, nothing is left to do after any of them, and an undone one
// leaves everything as it was.
func TestRealCharon(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	r := newRig(t)
	r.charon.Kill()
	g := newGateway(t, lab.Start(t, lab.Wire("gw:eth0 192.168.10.10/16", "far:eth0 192.168.20.21/16")).Host("gw"), r.secrets)
	states := slices.DeleteFunc(r.states(), func(s named) bool {
		return len(s.IPsec.Links)+len(s.IPsec.Routes) > 0 // this kernel may have no xfrm links
	})
	for n := range states {
		for i := range states[n].IPsec.Connections {
			for k := range states[n].IPsec.Connections[i].Children {
				// Nobody answers there: do not wait for it.
				states[n].IPsec.Connections[i].Children[k].Initiate = desired.InitiateNever
			}
		}
		for i := range states[n].IPsec.Credentials {
			c := &states[n].IPsec.Credentials[i]
			if c.Secret == "" {
				c.Data = []byte(certificate)
			}
		}
	}
	bare := false // somebody has restarted charon without loading anything
	for range 12 {
		s := states[random.IntN(len(states))]
		t.Logf("to %q", s.name)
		want := r.text(s.State)
		// Where the apply restarts charon itself, that one has what the files say, and so it
		// has when all is undone, whether or not it had before.
		if !bare && !r.charon.Outdated() || !strings.Contains(want, "restarts charon") {
			g.undone(s)
		}
		r.apply(s.State)
		if diff := cmp.Diff(want, g.apply(s.State)); diff != "" {
			t.Fatalf("%s: plan (-fake +real):\n%s", s.name, diff)
		}
		bare = random.IntN(4) == 0 && !s.IPsec.IsZero()
		if bare {
			t.Log("restarted")
			g.restart()
			r.charon.Kill()
			r.charon.Start(context.Background(), ipsec.DaemonSetup{})
		}
	}
	g.apply(state())
	if len(g.memory) > 0 {
		t.Errorf("after removing everything this is remembered: %v", g.memory)
	}
}

// TestRealEvents hears a real charon out.
func TestRealEvents(t *testing.T) {
	r := newRig(t)
	g := newGateway(t, lab.Start(t, lab.Wire("gw:eth0 192.168.10.10/16", "far:eth0 192.168.20.20/16")).Host("gw"), r.secrets)
	g.apply(state(net(r, "a")))
	g.Run("rm", "-r", "/run/vpnctl/reasons") // what apply has heard itself
	j := g.do(job{Want: g.applied, Watch: true, Look: true})
	if j.Err != "" {
		t.Fatal(j.Err)
	}
	if len(j.Rows) != 1 || short(j.Rows[0]) != "a/a down: no answer from the peer" {
		t.Errorf("status is %+v", j.Rows)
	}
	g.apply(state())
}

// restart starts charon anew, with nothing loaded.
func (g *gateway) restart() {
	g.t.Helper()
	g.Run("sh", "-c", `kill $(pidof charon-systemd); while pidof charon-systemd >/dev/null; do sleep 0.05; done
		setsid charon-systemd </dev/null >/dev/null 2>&1 &`)
	g.Eventually(30*time.Second, func() error {
		_, err := g.Try("swanctl", "--stats")
		return err
	})
}

// certificate is one that charon takes, whatever for.
var certificate = strings.TrimSpace(newCertificate())
