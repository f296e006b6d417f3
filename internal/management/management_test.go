package management

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

func connection(local, remote string) Connection {
	c := Connection{Remote: netip.MustParseAddrPort(remote)}
	if local != "" {
		c.Local = netip.MustParseAddrPort(local)
	}
	return c
}

func TestParse(t *testing.T) {
	tests := []struct {
		text string
		want Connection
		ok   bool
	}{
		{"192.0.2.7 50022 192.0.2.1 22", connection("192.0.2.1:22", "192.0.2.7:50022"), true},
		{"2001:db8::7 50022 2001:db8::1 22", connection("[2001:db8::1]:22", "[2001:db8::7]:50022"), true},
		{"fe80::7%eth0 50022 fe80::1%eth0 22", connection("[fe80::1%eth0]:22", "[fe80::7%eth0]:50022"), true},
		{"::ffff:192.0.2.7 50022 ::ffff:192.0.2.1 22", connection("192.0.2.1:22", "192.0.2.7:50022"), true},
		{"UNKNOWN 65535 UNKNOWN 65535", Connection{}, false},
		{"", Connection{}, false},
		{"192.0.2.7 50022", Connection{}, false},
	}
	for _, tt := range tests {
		got, ok := Parse(tt.text)
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("Parse(%q) = %v, %v", tt.text, got, ok)
		}
	}
}

func TestParseAddr(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.7": "192.0.2.7:0", "2001:db8::7": "[2001:db8::7]:0", "192.0.2.7:50022": "192.0.2.7:50022",
		"[2001:db8::7]:50022": "[2001:db8::7]:50022", "::ffff:192.0.2.7": "192.0.2.7:0",
	} {
		c, err := ParseAddr(text)
		if err != nil || c != connection("", want) {
			t.Errorf("ParseAddr(%q) = %v, %v", text, c, err)
		}
	}
	for _, text := range []string{"", "gw1.example.net", "192.0.2.0/24", "192.0.2.7:ssh"} {
		if c, err := ParseAddr(text); err == nil {
			t.Errorf("ParseAddr(%q) = %v", text, c)
		}
	}
}

func TestFind(t *testing.T) {
	proc := t.TempDir()
	process := func(pid, parent int, comm, environ string) {
		t.Helper()
		dir := filepath.Join(proc, strconv.Itoa(pid))
		if err := os.MkdirAll(filepath.Join(dir, "net"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(dir, "fd"), 0o700); err != nil {
			t.Fatal(err)
		}
		stat := strconv.Itoa(pid) + " (a) b (c) S " + strconv.Itoa(parent) + " 1 1"
		for name, text := range map[string]string{"stat": stat, "environ": environ, "comm": comm + "\n"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	process(40, 30, "sudo", "A=1\x00")
	process(30, 20, "bash", "XSSH_CONNECTION=no\x00SSH_CONNECTION=192.0.2.7 1 192.0.2.1 22\x00")
	process(20, 1, "bash", "SSH_CONNECTION=192.0.2.9 1 192.0.2.1 22\x00")
	process(60, 61, "a", "")
	process(61, 60, "b", "") // a loop, as ids that are used again could make
	process(70, 71, "su", "")
	process(71, 1, "sshd-session", "SSH_CONNECTION=garbage\x00")
	if err := os.Symlink("socket:[4711]", filepath.Join(proc, "71", "fd", "4")); err != nil {
		t.Fatal(err)
	}
	// A listening socket, somebody else's connection, and its own, of which the words of
	// the address are in the machine's order.
	table := "  sl  local_address rem_address   st\n" +
		"   0: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n" +
		"   1: 0100007F:0016 0200007F:C366 01 00000000:00000000 00:00000000 00000000     0        0 99 1\n" +
		"   2: 0100007F:0016 0300007F:C367 01 00000000:00000000 00:00000000 00000000     0        0 4711 1\n"
	if err := os.WriteFile(filepath.Join(proc, "71", "net", "tcp"), []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, env string
		pid       int
		want      string
	}{
		{"its own", "192.0.2.5 1 192.0.2.1 22", 40, "192.0.2.5:1"},
		{"the nearest that has it", "", 40, "192.0.2.7:1"},
		{"a farther one", "", 20, "192.0.2.9:1"},
		{"the socket of sshd", "", 70, "127.0.0.3:50023"},
		{"nobody", "", 1, ""},
		{"gone", "", 99, ""},
		{"loop", "", 60, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, ok := find(proc, tt.pid, func(string) (string, bool) { return tt.env, tt.env != "" })
			if got := c.Remote.String(); ok != (tt.want != "") || ok && got != tt.want {
				t.Errorf("found %q, want %q", got, tt.want)
			}
		})
	}
}

// TestSocket finds a real connection among those of a real process.
func TestSocket(t *testing.T) {
	for network, addr := range map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0"} {
		t.Run(network, func(t *testing.T) {
			l, err := net.Listen(network, addr)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			c, err := net.Dial(network, l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			f, err := c.(*net.TCPConn).File()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			// The name of a process is that of its file.
			program := filepath.Join(t.TempDir(), "sshd")
			if err := os.Symlink("/bin/sleep", program); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(program, "1000")
			cmd.ExtraFiles = []*os.File{f}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
			got, ok := find("/proc", cmd.Process.Pid, func(string) (string, bool) { return "", false })
			if !ok || got.Local.String() != c.LocalAddr().String() || got.Remote.String() != c.RemoteAddr().String() {
				t.Errorf("found %v %v, want %s - %s", got, ok, c.LocalAddr(), c.RemoteAddr())
			}
		})
	}
}
