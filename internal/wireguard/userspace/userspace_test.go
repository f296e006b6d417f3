package userspace_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/lab"
)

// self is the test binary, which plays the vpnctl binary.
const self = "/proc/self/exe"

func alone(t *testing.T) *lab.Host {
	t.Helper()
	return lab.Start(t, lab.Alone("gw")).Host("gw")
}

// start starts an interface, as an apply that ends afterwards.
func start(h *lab.Host, name string) { h.Run(self, "start", name) }

func socket(name string) string { return "/var/run/wireguard/" + name + ".sock" }

func exists(h *lab.Host, path string) bool {
	return h.Do(func() error {
		_, err := os.Lstat(path)
		return err
	}) == nil
}

// pid is the process of an interface.
func pid(h *lab.Host, name string) string {
	return strings.TrimSpace(h.ReadFile("/run/vpnctl/wireguard-" + name + ".pid"))
}

// awaitGone waits until nothing of an interface is left.
func awaitGone(h *lab.Host, name, pid string) {
	h.Eventually(10*time.Second, func() error {
		for _, path := range []string{
			socket(name), "/run/vpnctl/wireguard-" + name + ".pid", "/proc/" + pid, "/sys/class/net/" + name,
		} {
			if exists(h, path) {
				return fmt.Errorf("%s is still there", path)
			}
		}
		return nil
	})
}

func wantRunning(t *testing.T, h *lab.Host, name string, want bool) {
	t.Helper()
	if got := h.Run(self, "running", name); got != fmt.Sprintln(want) {
		t.Errorf("running of %s is %s", name, got)
	}
}

// tunnel configures an interface of two hosts by the real wg, one to the other.
func tunnel(name string, port, subnet int, hosts ...*lab.Host) {
	public := make([]string, len(hosts))
	for i, h := range hosts {
		key := h.Run("wg", "genkey")
		h.WriteFile("/etc/wireguard/"+name, key, 0o600)
		public[i] = strings.TrimSpace(h.Input(key, "wg", "pubkey"))
	}
	for i, h := range hosts {
		far := 1 - i
		h.Run("wg", "set", name, "private-key", "/etc/wireguard/"+name, "listen-port", fmt.Sprint(port),
			"peer", public[far], "allowed-ips", fmt.Sprintf("10.%d.0.%d/32", subnet, far+1),
			"endpoint", fmt.Sprintf("10.1.0.%d:%d", far+1, port))
	}
}

// up gives an interface its address; before puts words in front of ip(8).
func up(h *lab.Host, name, address string, before ...string) {
	h.Run(append(before, "ip", "addr", "add", address, "dev", name)...)
	h.Run(append(before, "ip", "link", "set", name, "up")...)
}

func TestTunnels(t *testing.T) {
	l := lab.Start(t, lab.Wire("a:eth0 10.1.0.1/24", "b:eth0 10.1.0.2/24"))
	a, b := l.Host("a"), l.Host("b")
	// Two at once; the second has a name that is legal and odd.
	names := []string{"wg0", `w-g.1\$x@é`}
	for i, name := range names {
		start(a, name)
		start(b, name)
		tunnel(name, 51820+i, 50+i, a, b)
		up(a, name, fmt.Sprintf("10.%d.0.1/24", 50+i))
		up(b, name, fmt.Sprintf("10.%d.0.2/24", 50+i))
	}
	wire := b.Capture("eth0", "icmp")
	a.Ping("10.50.0.2")
	b.Ping("10.51.0.1", "-s", "1300", "-M", "do")
	a.Ping("10.1.0.2")
	wire.Await("10.1.0.1 > 10.1.0.2: ICMP echo request")
	if out := wire.Stop(); strings.Contains(out, "10.50.") || strings.Contains(out, "10.51.") {
		t.Errorf("the tunnels' packets are in clear on the wire:\n%s", out)
	}
	for _, name := range names {
		if out := b.Run("wg", "show", name, "latest-handshakes"); strings.HasSuffix(out, "\t0\n") || out == "" {
			t.Errorf("handshakes of %s: %q", name, out)
		}
	}

	gone := pid(a, "wg0")
	wantRunning(t, a, "wg0", true)
	a.Run("ip", "link", "del", "wg0")
	awaitGone(a, "wg0", gone)
	wantRunning(t, a, "wg0", false)
	a.Ping("10.51.0.2") // the other one stays
}

// TestDetached looks at what the process has of its starter: nothing.
func TestDetached(t *testing.T) {
	h := alone(t)
	pipe, other, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pipe.Close() }()
	cmd := h.Cmd(t.Context(), self, "start", "wg0")
	cmd.Env = append(cmd.Env, "SECRET=hunter2")
	cmd.ExtraFiles = []*os.File{other}
	cmd.Dir = "/etc"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_ = other.Close()
	// The pipe ends although the process lives: it does not hold the other end.
	if err := pipe.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := pipe.Read(make([]byte, 1)); n != 0 || err == nil || os.IsTimeout(err) {
		t.Errorf("reading the starter's pipe: %d, %v", n, err)
	}

	id := pid(h, "wg0")
	proc := "/proc/" + id
	if got := h.ReadFile(proc + "/environ"); got != "PATH="+host.Path+"\x00LC_ALL=C\x00" {
		t.Errorf("environment is %q", got)
	}
	for _, fd := range []string{"0", "1", "2"} {
		if got := h.Run("readlink", proc+"/fd/"+fd); got != "/dev/null\n" {
			t.Errorf("fd %s is %s", fd, got)
		}
	}
	if got := h.Run("readlink", proc+"/cwd"); got != "/\n" {
		t.Errorf("working directory is %s", got)
	}
	if got := strings.Fields(h.Run("ps", "-o", "sid=,tty=", "-p", id)); !cmp.Equal(got, []string{id, "?"}) {
		t.Errorf("session and terminal of process %s are %q", id, got)
	}
	if got := h.Run("stat", "-c%a", "/run/vpnctl", "/run/vpnctl/wireguard-wg0.pid", socket("wg0")); got != "700\n600\n700\n" {
		t.Errorf("modes are %q", got)
	}
}

func TestStarterKilled(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGHUP, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			h := alone(t)
			starter := h.Start(self, "start-and-stay", "wg0")
			starter.Await("started: <nil>")
			starter.Signal(sig)
			h.Eventually(10*time.Second, func() error {
				if !starter.Ended() {
					return fmt.Errorf("starter has not ended")
				}
				return nil
			})
			wantRunning(t, h, "wg0", true)
			if out := h.Run("wg", "show", "wg0", "fwmark"); out != "off\n" {
				t.Errorf("fwmark is %q", out)
			}
		})
	}
}

func TestStartTwice(t *testing.T) {
	h := alone(t)
	start(h, "wg0")
	before := pid(h, "wg0")
	start(h, "wg0")
	if after := pid(h, "wg0"); after != before {
		t.Errorf("process %s was replaced by %s", before, after)
	}
}

// TestDeleteAndStart has each process end while its successor starts.
func TestDeleteAndStart(t *testing.T) {
	h := alone(t)
	before := ""
	for range 5 {
		start(h, "wg0")
		after := pid(h, "wg0")
		if after == before {
			t.Fatalf("process %s is still there", before)
		}
		before = after
		h.Run("wg", "set", "wg0", "fwmark", "0x"+after)
		h.Run("ip", "link", "del", "wg0")
	}
	awaitGone(h, "wg0", before)
}

func TestDeadSocket(t *testing.T) {
	h := alone(t)
	start(h, "wg0")
	id := pid(h, "wg0")
	h.Run("kill", "-KILL", id)
	h.Eventually(10*time.Second, func() error {
		if exists(h, "/proc/"+id) {
			return fmt.Errorf("process %s is still there", id)
		}
		return nil
	})
	if !exists(h, socket("wg0")) || !exists(h, "/run/vpnctl/wireguard-wg0.pid") {
		t.Fatal("a killed process left neither socket nor pid file: nothing to test")
	}
	wantRunning(t, h, "wg0", false)
	start(h, "wg0")
	h.Run("wg", "set", "wg0", "listen-port", "51820")
	wantRunning(t, h, "wg0", true)

	// The pid of another program is no process of ours.
	h.WriteFile("/run/vpnctl/wireguard-wg1.pid", pid(h, "wg0")+"\n", 0o600)
	wantRunning(t, h, "wg1", false)
}

// TestMove moves the link away from its process, and back again by the end of both.
func TestMove(t *testing.T) {
	l := lab.Start(t, lab.Wire("a:eth0 10.1.0.1/24", "b:eth0 10.1.0.2/24"))
	a, b := l.Host("a"), l.Host("b")
	start(a, "wg0")
	start(b, "wg0")
	tunnel("wg0", 51820, 50, a, b)
	up(b, "wg0", "10.50.0.2/24")
	a.Run("ip", "netns", "add", "inner")
	a.Run("ip", "link", "set", "wg0", "netns", "inner")
	inside := []string{"ip", "netns", "exec", "inner"}
	a.Run(append(inside, "ip", "link", "set", "wg0", "mtu", "1300")...)
	b.Run("ip", "link", "set", "wg0", "mtu", "1300")
	up(a, "wg0", "10.50.0.1/24", inside...)

	// Its socket is in the namespace of birth; its packets are those of the new one.
	b.Ping("10.50.0.1", "-s", "1272", "-M", "do")
	a.Run(append(inside, "ping", "-c1", "-w10", "10.50.0.2")...)
	wantRunning(t, a, "wg0", true)
	if out := a.Run("wg", "show", "wg0", "latest-handshakes"); strings.HasSuffix(out, "\t0\n") || out == "" {
		t.Errorf("handshakes are %q", out)
	}
	// A packet of the MTU is not padded beyond it: 32 bytes around it, and not up to 44.
	wire := b.Capture("eth0", "src", "10.1.0.1", "and", "udp", "port", "51820")
	b.Eventually(10*time.Second, func() error {
		b.Ping("10.50.0.1", "-s", "1272", "-M", "do")
		if out := wire.Output(); !strings.Contains(out, "UDP, length 1332\n") {
			return fmt.Errorf("no packet of 1332 bytes:\n%s", out)
		}
		return nil
	})
	wire.Stop()

	// Down and up again is seen from afar, and so is the end.
	a.Run(append(inside, "ip", "link", "set", "wg0", "down")...)
	a.Run(append(inside, "ip", "link", "set", "wg0", "up")...)
	b.Ping("10.50.0.1")

	_, err := a.Try(self, "start", "wg0")
	wantError(t, err, "interface wg0: process "+pid(a, "wg0")+" carries it in another network namespace: file already exists")
	gone := pid(a, "wg0")
	a.Run("ip", "netns", "del", "inner")
	awaitGone(a, "wg0", gone)
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error is %v, want %s", err, want)
	}
}

func TestStartFails(t *testing.T) {
	h := lab.Start(t, lab.Wire("gw:eth0 10.1.0.1/24", "far:eth0 10.1.0.2/24")).Host("gw")
	tests := []struct{ name, want string }{
		{"eth0", "carrying interface eth0: creating link: file already exists"},
		{"lo", "carrying interface lo: creating link: file already exists"},
		{"", `interface name "": invalid argument`},
		{"..", `interface name "..": invalid argument`},
		{"a/b", `interface name "a/b": invalid argument`},
		{"wg%d", `interface name "wg%d": invalid argument`},
		{"w g", `interface name "w g": invalid argument`},
		{"sixteen-bytes-xx", `interface name "sixteen-bytes-xx": invalid argument`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := h.Try(self, "start", tt.name)
			wantError(t, err, tt.want)
			if exists(h, socket(tt.name)) {
				t.Error("there is a socket")
			}
		})
	}
	if got := h.Run("find", "/run/vpnctl", "-type", "f"); got != "" {
		t.Errorf("left behind: %s", got)
	}
}

// TestEnds shows what ends the process, beside its link.
func TestEnds(t *testing.T) {
	tests := []struct {
		name   string
		end    func(h *lab.Host, id string)
		reason string
	}{
		{"SIGTERM", func(h *lab.Host, id string) { h.Run("kill", "-TERM", id) }, ""},
		{"socket removed", func(h *lab.Host, _ string) { h.Run("rm", socket("wg0")) },
			"carrying interface wg0: serving socket: lstat /var/run/wireguard/wg0.sock: no such file or directory\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := alone(t)
			start(h, "wg0")
			id := pid(h, "wg0")
			tt.end(h, id)
			awaitGone(h, "wg0", id)
			got := ""
			if path := "/run/vpnctl/wireguard-wg0.reason"; exists(h, path) {
				got = h.ReadFile(path)
			}
			if diff := cmp.Diff(tt.reason, got); diff != "" {
				t.Errorf("reason (-want +got):\n%s", diff)
			}
			start(h, "wg0")
			if exists(h, "/run/vpnctl/wireguard-wg0.reason") {
				t.Error("the reason outlives a new start")
			}
		})
	}
}

// TestLog has the device complain, and reads that as a syslog daemon would.
func TestLog(t *testing.T) {
	h := alone(t)
	var log *net.UnixConn
	err := h.Do(func() (err error) {
		log, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: "/var/run/log", Net: "unixgram"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	start(h, "wg0")
	err = h.Do(func() error {
		c, err := net.Dial("unix", socket("wg0"))
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		_, err = io.WriteString(c, "set=1\nno_such_key=1\n\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1024)
	n, err := log.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	want := "vpnctl[" + pid(h, "wg0") + "]: wg0: "
	if line := string(buf[:n]); !strings.Contains(line, want) || !strings.Contains(line, "no_such_key") {
		t.Errorf("log is %q, want %q", line, want)
	}
}
