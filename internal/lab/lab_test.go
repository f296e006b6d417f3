package lab_test

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpnctl/vpnctl/internal/lab"
)

// endEnv makes the test binary a program that starts a lab and ends badly.
const endEnv = "LAB_TEST_END"

func TestMain(m *testing.M) {
	if how := os.Getenv(endEnv); how != "" {
		endBadly(how)
	}
	os.Exit(m.Run())
}

func TestWire(t *testing.T) {
	l := lab.Start(t, lab.Wire("left:eth0 10.1.0.1/24 fd01::1/64", "right:wan0 10.1.0.2/24 fd01::2/64"))
	left, right := l.Host("left"), l.Host("right")
	left.Ping("10.1.0.2")
	left.Ping("fd01::2")
	right.Ping("10.1.0.1")
	left.Unreachable("10.1.0.3")
	left.Unreachable("10.99.0.1")

	if got := left.Run("hostname"); got != "left\n" {
		t.Errorf("host name is %q", got)
	}
	if got := right.Run("ls", "/sys/class/net"); got != "lo\nwan0\n" {
		t.Errorf("interfaces of right are %q", got)
	}
	if got := right.ReadFile("/proc/sys/net/ipv4/ip_forward"); got != "0\n" {
		t.Errorf("ip_forward of right is %q", got)
	}
}

func TestLAN(t *testing.T) {
	l := lab.Start(t,
		lab.LAN("office", "pc1:eth0 10.2.0.1/24 via 10.2.0.254", "pc2:eth0 10.2.0.2/24", "gw:lan0 10.2.0.254/24"),
		lab.Wire("gw:wan0 192.0.2.1/24", "far:eth0 192.0.2.2/24 via 192.0.2.1"),
	)
	pc1, office := l.Host("pc1"), l.Host("office")
	seen := office.Capture("pc2", "icmp")
	pc1.Ping("10.2.0.2")
	seen.Await("10.2.0.1 > 10.2.0.2: ICMP echo request")
	if out := seen.Stop(); strings.Contains(out, "listening on") {
		t.Errorf("capture holds messages of tcpdump:\n%s", out)
	}

	pc1.Unreachable("192.0.2.2")
	l.Host("gw").WriteFile("/proc/sys/net/ipv4/ip_forward", "1", 0o644)
	pc1.Ping("192.0.2.2")

	office.Run("ip", "link", "set", "pc2", "down")
	pc1.Unreachable("10.2.0.2")
}

func TestPrivateFiles(t *testing.T) {
	shared := filepath.Join(t.TempDir(), "shared")
	if err := os.WriteFile(shared, []byte("machine"), 0o644); err != nil {
		t.Fatal(err)
	}
	l := lab.Start(t, lab.Alone("a", "b"))
	a, b := l.Host("a"), l.Host("b")
	if got := b.ReadFile(shared); got != "machine" {
		t.Errorf("host reads %q from the machine's file", got)
	}
	for _, name := range []string{"/etc/lab/private", "/run/lab/private", "/var/lib/lab/private", "/var/log/lab-private", "/tmp/lab-private", shared} {
		a.WriteFile(name, "of a", 0o600)
		if got := a.Run("cat", name); got != "of a" {
			t.Errorf("host reads %q from its own %s", got, name)
		}
		if got := a.Run("stat", "-c%a", name); got != "600\n" {
			t.Errorf("mode of %s is %s", name, got)
		}
		if got, _ := b.Try("cat", name); got == "of a" {
			t.Errorf("%s of one host shows in the other", name)
		}
		if got, err := os.ReadFile(name); err == nil && string(got) == "of a" {
			t.Errorf("%s of a host shows on the machine", name)
		}
	}
	if got := a.Run("ls", "/run"); got != "lab\nlock\n" {
		t.Errorf("/run of a holds %q", got)
	}
	if got := a.Run("stat", "-c%a", "/tmp", "/etc", "/run/lock"); got != "1777\n755\n1777\n" {
		t.Errorf("modes of /tmp, /etc, /run/lock are %q", got)
	}
}

func TestCommands(t *testing.T) {
	h := lab.Start(t, lab.Alone("host")).Host("host")
	if got := h.Input("fed", "cat"); got != "fed" {
		t.Errorf("cat returned %q", got)
	}
	_, err := h.Try("sh", "-c", "echo reason >&2; exit 3")
	if err == nil || !strings.Contains(err.Error(), "reason") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error of a failing command is %v", err)
	}
	if _, err := h.Try("no-such-program"); err == nil {
		t.Error("unknown program ran")
	}
	out, err := h.Cmd(t.Context(), "/proc/self/exe", "-test.list", "^TestCommands$").Output()
	if err != nil || !strings.Contains(string(out), "TestCommands") {
		t.Errorf("running the test binary itself: %v, %s", err, out)
	}
}

func TestProcesses(t *testing.T) {
	h := lab.Start(t, lab.Alone("host")).Host("host")
	p := h.Start("sh", "-c", "trap 'echo bye; exit' TERM; echo hello; while :; do sleep 0.1; done")
	p.Await("hello")
	if p.Ended() {
		t.Error("process has ended by itself")
	}
	if got := p.Stop(); got != "hello\nbye\n" {
		t.Errorf("output is %q", got)
	}

	// A daemon's parent is gone: only process 1 of the host can reap it.
	h.Run("sh", "-c", "setsid sleep 0.05 >/dev/null 2>&1 &")
	h.Eventually(5*time.Second, func() error {
		if out := h.Run("ps", "-eo", "stat,comm"); strings.Contains(out, "sleep") {
			return fmt.Errorf("still there:\n%s", out)
		}
		return nil
	})
}

func TestPingLoop(t *testing.T) {
	l := lab.Start(t, lab.Wire("a:eth0 10.1.0.1/24", "b:eth0 10.1.0.2/24"))
	a, b := l.Host("a"), l.Host("b")
	p := a.PingLoop("10.1.0.2")
	p.Await(2)
	if loss := p.Stop(); loss.Lost != 0 || loss.Sent < 3 {
		t.Errorf("on a good wire %v", loss)
	}

	p = a.PingLoop("10.1.0.2")
	b.Run("ip", "addr", "del", "10.1.0.2/24", "dev", "eth0")
	a.Unreachable("10.1.0.2")
	b.Run("ip", "addr", "add", "10.1.0.2/24", "dev", "eth0")
	p.Await(1)
	if loss := p.Stop(); loss.Lost == 0 {
		t.Errorf("over an interruption %v", loss)
	}
}

// failing records what a lab says of a test.
type failing struct {
	*testing.T
	msg string
}

func (f *failing) Fatalf(format string, args ...any) {
	f.msg = fmt.Sprintf(format, args...)
	panic(f)
}

func TestFailuresNameTheHost(t *testing.T) {
	l := lab.Start(t, lab.Alone("host"))
	for name, do := range map[string]func(h *lab.Host){
		"run":   func(h *lab.Host) { h.Run("false") },
		"read":  func(h *lab.Host) { h.ReadFile("/no/such/file") },
		"write": func(h *lab.Host) { h.WriteFile("/proc/nothing/file", "", 0o600) },
		"await": func(h *lab.Host) { h.Start("true").Await("something") },
		"start": func(h *lab.Host) { h.Start("no-such-program") },
		"ping":  func(h *lab.Host) { h.PingLoop("192.0.2.1") },
	} {
		f := &failing{T: t}
		func() {
			defer func() { recover() }()
			do(l.With(f).Host("host"))
		}()
		if !strings.Contains(f.msg, "host") {
			t.Errorf("%s: message is %q", name, f.msg)
		}
	}
}

func TestNewErrors(t *testing.T) {
	for want, link := range map[string]lab.Link{
		"no hosts":             {},
		"no HOST:INTERFACE":    lab.Wire("a", "b:eth0"),
		"reading address":      lab.LAN("lan", "a:eth0 10.0.0.1"),
		"reading gateway":      lab.LAN("lan", "a:eth0 10.0.0.1/8 via gw"),
		"1 to 15 plain":        lab.Alone("a name that is too long"),
		"linking lan:a and a:": lab.LAN("lan", "a:a-name-of-16-chars"),
		"default route via":    lab.LAN("lan", "a:eth0 10.0.0.1/8 via 192.0.2.1"),
	} {
		l, err := lab.New(link)
		if err == nil {
			l.Close()
			t.Errorf("no error for %q", want)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("error is %q, want %q in it", err, want)
		}
	}
}

func TestHasLinkType(t *testing.T) {
	if has, err := lab.HasLinkType("bridge"); !has || err != nil {
		t.Errorf("bridge: %v, %v", has, err)
	}
	if has, err := lab.HasLinkType("nosuchtype"); has || err != nil {
		t.Errorf("nosuchtype: %v, %v", has, err)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	mounts := read(t, "/proc/self/mountinfo")
	name := fmt.Sprintf("lb%d", os.Getpid())
	l, err := lab.New(
		lab.LAN(name, name+"a:eth0 10.1.0.1/24", name+"b:eth0 10.1.0.2/24"),
		lab.Wire(name+"a:"+name, name+"b:"+name))
	if err != nil {
		t.Fatal(err)
	}
	if links := read(t, "/proc/net/dev"); strings.Contains(links, name) || strings.Contains(links, "br0") {
		t.Errorf("links of the lab show on the machine:\n%s", links)
	}
	a := l.Host(name + "a")
	a.Start("sleep", "1000")
	a.Run("sh", "-c", "setsid sleep 1001 >/dev/null 2>&1 &")
	held := namespacesOf(t, a)
	if n := countHeld(t, held); n < 3 {
		t.Fatalf("found %d processes in the host, want holder and two sleeps", n)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	awaitGone(t, held)
	if now := read(t, "/proc/self/mountinfo"); now != mounts {
		t.Errorf("mounts before:\n%s\nafter:\n%s", mounts, now)
	}
	if err := l.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

func TestBadEndLeavesNothing(t *testing.T) {
	for _, how := range []string{"panic", "kill"} {
		t.Run(how, func(t *testing.T) {
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), endEnv+"="+how)
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(out).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			held := make(map[string]bool)
			for _, ns := range strings.Fields(line) {
				held[ns] = true
			}
			if n := countHeld(t, held); n < 2 {
				t.Fatalf("found %d processes in the host, want holder and sleep", n)
			}
			if how == "kill" {
				cmd.Process.Kill()
			}
			in.Close()
			cmd.Wait()
			awaitGone(t, held)
		})
	}
}

// endBadly starts a lab, prints the namespaces of a host, and panics when
// standard input ends.
func endBadly(how string) {
	l, err := lab.New(lab.Wire("a:eth0", "b:eth0"))
	if err != nil {
		panic(err)
	}
	a := l.Host("a")
	a.Start("sleep", "1000")
	for _, kind := range []string{"net", "mnt", "pid"} {
		fmt.Print(strings.TrimSpace(a.Run("readlink", "/proc/1/ns/"+kind)), " ")
	}
	fmt.Println()
	os.Stdin.Read(make([]byte, 1))
	panic(how)
}

// namespacesOf returns the names of a host's namespaces.
func namespacesOf(t *testing.T, h *lab.Host) map[string]bool {
	t.Helper()
	held := make(map[string]bool)
	for _, kind := range []string{"net", "mnt", "pid"} {
		held[strings.TrimSpace(h.Run("readlink", "/proc/1/ns/"+kind))] = true
	}
	return held
}

// countHeld counts the processes in any of the namespaces, threads of this one
// included.
func countHeld(t *testing.T, held map[string]bool) int {
	t.Helper()
	tasks, err := filepath.Glob("/proc/[0-9]*/task/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]bool)
	for _, task := range tasks {
		for _, kind := range []string{"net", "mnt", "pid", "pid_for_children"} {
			if ns, err := os.Readlink(task + "/ns/" + kind); err == nil && held[ns] {
				found[filepath.Dir(task)] = true
			}
		}
	}
	return len(found)
}

// awaitGone waits until no process is in any of the namespaces: the threads
// that entered them end a moment after their work.
func awaitGone(t *testing.T, held map[string]bool) {
	t.Helper()
	err := lab.Await(10*time.Second, func() error {
		if n := countHeld(t, held); n != 0 {
			return fmt.Errorf("%d processes", n)
		}
		return nil
	})
	if err != nil {
		t.Errorf("namespaces are still held: %v", err)
	}
}

// read returns a file of the machine.
func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWithoutPrivileges(t *testing.T) {
	// The holder's clone is refused by a thread without capabilities; the
	// error must say what is missing, since nothing is skipped.
	cmd := exec.Command("/proc/self/exe", "-test.run", "^TestWire$")
	if dir, err := os.Readlink("/proc/self/exe"); err == nil {
		// nobody may not look into go test's temporary folder.
		cmd.Path = copyFor(t, dir)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "needs root with CAP_SYS_ADMIN") {
		t.Errorf("without privileges: %v\n%s", err, out)
	}
	if strings.Contains(string(out), "SKIP") {
		t.Errorf("skipped without privileges:\n%s", out)
	}
}

// copyFor copies a program to where everybody can run it.
func copyFor(t *testing.T, program string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lab-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "test")
	b, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, fs.FileMode(0o755)); err != nil {
		t.Fatal(err)
	}
	return to
}
