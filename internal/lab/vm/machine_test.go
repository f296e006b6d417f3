//go:build !vm

package vm_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/lab/vm"
	"github.com/vpnctl/vpnctl/internal/lab/vm/guest"
)

// result is what a machine sent back.
type result struct {
	out    []string // output of each run
	exits  []guest.Event
	events []guest.EventKind
}

// boot runs a job in a machine.
func boot(t *testing.T, job guest.Job) (result, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	var log bytes.Buffer
	kernel, err := vm.Prepare(ctx, &log)
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	program := filepath.Join(t.TempDir(), "init")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/vminit")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building init: %v\n%s", err, out)
	}
	var r result
	var out bytes.Buffer
	m := vm.Machine{Kernel: kernel, Memory: 2048, Init: program, Job: job, Output: &out}
	m.Event = func(e guest.Event) {
		r.events = append(r.events, e.Kind)
		if e.Kind == guest.Exited || e.Kind == guest.Rebooting {
			r.out = append(r.out, out.String())
			r.exits = append(r.exits, e)
			out.Reset()
		}
	}
	err = m.Run(ctx)
	return r, err
}

// shell is a run of a shell script.
func shell(script string) guest.Run {
	return guest.Run{Argv: []string{"sh", "-c", script}, Dir: "/usr", Timeout: time.Minute}
}

func TestMachine(t *testing.T) {
	junk := make([]byte, 3<<20)
	rand.NewChaCha8([32]byte{1}).Read(junk)
	file := filepath.Join(t.TempDir(), "junk")
	if err := os.WriteFile(file, junk, 0o644); err != nil {
		t.Fatal(err)
	}
	endless := shell("echo before; sleep 1000")
	endless.Timeout = time.Second
	tests := []struct {
		name string
		run  guest.Run
		code int
		text string // in the exit event
		out  string
	}{
		{name: "environment", run: shell("pwd; echo $HOME $VPNCTL_LAB $VPNCTL_BOOT $EXTRA; hostname; cat"), out: "/usr\n/root vm 1 a b\nvpnctl-vm\n"},
		{name: "exit code", run: shell("echo out; echo err >&2; exit 3"), code: 3, out: "out\nerr\n"},
		{name: "binary output", run: shell("cat " + file), out: string(junk)},
		{name: "console", run: shell("echo noise >/dev/ttyS0; echo panic >/dev/kmsg"), out: ""},
		{name: "signal", run: shell("kill -9 $$"), code: 137, text: "signal: killed"},
		{name: "timeout", run: endless, code: 137, text: "killed after 1s", out: "before\n"},
		{name: "unknown program", run: guest.Run{Argv: []string{"/no/such/program"}, Dir: "/", Timeout: time.Minute}, code: 127, text: "no such file"},
		{name: "changes stay inside", run: shell("echo changed >" + file + "; echo $?"), out: "0\n"},
		{name: "daemon", run: shell("setsid sleep 1001 & sleep 0; echo left"), out: "left\n"},
		{name: "daemon is gone", run: shell("ps -eo comm | grep -c '^sleep$'"), code: 1, out: "0\n"},
		{name: "loopback", run: shell("ping -c1 -W5 127.0.0.1 >/dev/null"), out: ""},
	}
	job := guest.Job{Env: []string{"EXTRA=a b"}}
	for _, tt := range tests {
		job.Runs = append(job.Runs, tt.run)
	}
	r, err := boot(t, job)
	if err != nil {
		t.Fatal(err)
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := r.exits[i]
			if e.Run != i || e.Code != tt.code || !strings.Contains(e.Text, tt.text) || (tt.text == "") != (e.Text == "") {
				t.Errorf("exit is %+v, want code %d and %q", e, tt.code, tt.text)
			}
			if r.out[i] != tt.out {
				t.Errorf("output of %d bytes is %.200q, want %d bytes, %.200q", len(r.out[i]), r.out[i], len(tt.out), tt.out)
			}
		})
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, junk) {
		t.Errorf("the guest changed a file of the machine around: %v", err)
	}
}

func TestMachinePanics(t *testing.T) {
	r, err := boot(t, guest.Job{Runs: []guest.Run{
		shell("echo alive"),
		shell("echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger"),
	}})
	if err == nil || !strings.Contains(err.Error(), `ended after "started"`) || !strings.Contains(err.Error(), "Kernel panic") {
		t.Errorf("error is %v, want the console's", err)
	}
	if len(r.out) != 1 || r.out[0] != "alive\n" {
		t.Errorf("output is %q", r.out)
	}
}

// rebooting is a program of which each boot sees what the one before has left.
const rebooting = `
echo boot $VPNCTL_BOOT: $(systemctl is-system-running), virtual: $(systemd-detect-virt -c)
cat /etc/kept /run/lost 2>/dev/null
systemctl is-active lab-test.service
case $VPNCTL_BOOT in
2) echo b >/proc/sysrq-trigger; sleep 1000 ;;
3) exit 4 ;;
esac
echo kept since 1 >/etc/kept
echo lost >/run/lost
mkdir -p /etc/systemd/system
printf '[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=true\n[Install]\nWantedBy=multi-user.target\n' >/etc/systemd/system/lab-test.service
systemctl -q enable lab-test.service
exit 99
`

// TestMachineReboots asks for a reboot on the first boot, and pulls the plug on
// the second.
func TestMachineReboots(t *testing.T) {
	run := shell(rebooting)
	run.Timeout = 3 * time.Minute
	r, err := boot(t, guest.Job{Runs: []guest.Run{run}, Systemd: true})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"boot 1: running, virtual: none\ninactive\n",
		"boot 2: running, virtual: none\nkept since 1\nactive\n" +
			"boot 3: running, virtual: none\nkept since 1\nactive\n",
	}
	if diff := cmp.Diff(want, r.out); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	events := []guest.EventKind{
		guest.Booted, guest.Started, guest.Rebooting,
		guest.Booted, guest.Started,
		guest.Booted, guest.Started, guest.Exited, guest.Done,
	}
	if diff := cmp.Diff(events, r.events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if code := r.exits[len(r.exits)-1].Code; code != 4 {
		t.Errorf("exit code is %d", code)
	}
}
