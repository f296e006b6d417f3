//go:build vm

package ipsec_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/secret"
	"github.com/vpnctl/vpnctl/internal/unit"
)

// TestServiceOnMachine drives the package's own unit, where systemd is the machine's init
// (vmrun -systemd).
func TestServiceOnMachine(t *testing.T) {
	if !unit.Booted() {
		t.Fatal("systemd does not run here")
	}
	r := newRig(t)
	m := &machine{t: t, secrets: r.secrets, memory: backend.Memory{}}
	want := state(net(r, "a", initiate(desired.InitiateNever)))
	before := m.unit()
	text := m.apply(want)
	if !strings.Contains(text, "started_by: strongswan.service") && !strings.Contains(text, "at_boot: no -> yes") {
		t.Errorf("plan is\n%s", text)
	}
	if got := m.unit(); got != "active enabled" {
		t.Errorf("the unit is %s", got)
	}
	if out := m.run("swanctl", "--list-conns"); !strings.Contains(out, "a: IKEv2") {
		t.Errorf("charon holds\n%s", out)
	}
	for _, verb := range []string{"reload", "restart"} {
		m.run("systemctl", verb, "strongswan.service")
		if text := m.apply(want); text != "no changes\n" {
			t.Errorf("after %s there is to do:\n%s", verb, text)
		}
	}
	m.apply(state())
	if got := m.unit(); got != before {
		t.Errorf("in the end the unit is %s, was %s", got, before)
	}
	if len(m.memory) > 0 {
		t.Errorf("this is remembered: %v", m.memory)
	}
}

// machine is the machine itself, as a host on which the backend works.
type machine struct {
	t       *testing.T
	secrets vault
	memory  backend.Memory
	applied *desired.State
}

func (m *machine) run(argv ...string) string {
	m.t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("%q: %v\n%s", argv, err, out)
	}
	return string(out)
}

// unit is whether it runs now, and at boot.
func (m *machine) unit() string {
	var words []string
	for _, verb := range []string{"is-active", "is-enabled"} {
		// They exit with a status for what they say.
		out, _ := exec.Command("systemctl", verb, "strongswan.service").Output()
		words = append(words, strings.TrimSpace(string(out)))
	}
	return strings.Join(words, " ")
}

func (m *machine) apply(want *desired.State) string {
	m.t.Helper()
	j := job{Want: want, Applied: m.applied, Memory: m.memory, Secrets: map[secret.ID]string{}}
	for id, v := range m.secrets {
		j.Secrets[id] = string(v.Reveal())
	}
	if err := j.run(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
	m.applied = want
	return j.Plan
}
