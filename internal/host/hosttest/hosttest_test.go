package hosttest_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/host/hosttest"
)

var errFault = errors.New("no space left on device")

func TestFiles(t *testing.T) {
	var f hosttest.Files
	if _, err := f.Read("/etc/a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading an absent file: %v", err)
	}
	if err := f.Remove("/etc/a"); err != nil {
		t.Errorf("removing an absent file: %v", err)
	}
	data := []byte("one\ntwo\n")
	if err := f.Replace("/etc/b", host.File{Data: data, Mode: 0o600, UID: 7, GID: 8}); err != nil {
		t.Fatal(err)
	}
	data[0] = 'X' // the disk keeps what was written, not the caller's buffer
	f.Put("/etc/a", "three", 0o644)
	want := "-rw-r--r-- 0:0 /etc/a\n\tthree\n-rw------- 7:8 /etc/b\n\tone\n\ttwo\n"
	if diff := cmp.Diff(want, f.String()); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	got, err := f.Read("/etc/b")
	if err != nil {
		t.Fatal(err)
	}
	got.Data[0] = 'X'

	f.Fault = func(write string) error {
		if strings.HasSuffix(write, "/etc/b") {
			return errFault
		}
		return nil
	}
	if err := f.Replace("/etc/b", host.File{}); !errors.Is(err, errFault) {
		t.Errorf("replacing with a fault: %v", err)
	}
	if err := f.Remove("/etc/b"); !errors.Is(err, errFault) {
		t.Errorf("removing with a fault: %v", err)
	}
	if err := f.Remove("/etc/a"); err != nil {
		t.Errorf("removing beside a fault: %v", err)
	}
	if diff := cmp.Diff("-rw------- 7:8 /etc/b\n\tone\n\ttwo\n", f.String()); diff != "" {
		t.Errorf("files after faults (-want +got):\n%s", diff)
	}
}

// TestSysctlForwarding holds what a Linux 6 kernel was seen to do.
func TestSysctlForwarding(t *testing.T) {
	const (
		forward      = "net/ipv4/ip_forward"
		allForward   = "net/ipv4/conf/all/forwarding"
		ethForward   = "net/ipv4/conf/eth0.100/forwarding"
		allRedirects = "net/ipv4/conf/all/accept_redirects"
		ethRedirects = "net/ipv4/conf/eth0.100/accept_redirects"
		all6         = "net/ipv6/conf/all/forwarding"
		eth6         = "net/ipv6/conf/eth0.100/forwarding"
	)
	tests := []struct {
		name string
		set  [][2]string
		want map[string]string
	}{
		{"on", [][2]string{{forward, "1"}},
			map[string]string{allForward: "1", ethForward: "1", allRedirects: "0", ethRedirects: "1", eth6: "0"}},
		{"on and off", [][2]string{{allRedirects, "0"}, {forward, "1"}, {forward, "0"}},
			map[string]string{allForward: "0", ethForward: "0", allRedirects: "1", ethRedirects: "1"}},
		{"on twice", [][2]string{{forward, "1"}, {allRedirects, "1"}, {forward, "1"}},
			map[string]string{allRedirects: "1"}},
		{"off twice", [][2]string{{allRedirects, "0"}, {forward, "0"}},
			map[string]string{allRedirects: "0"}},
		{"by the other name", [][2]string{{allForward, "1"}},
			map[string]string{forward: "1", ethForward: "1", allRedirects: "0"}},
		{"one interface", [][2]string{{ethForward, "1"}},
			map[string]string{forward: "0", ethForward: "1", allRedirects: "1"}},
		{"IPv6", [][2]string{{all6, "1"}},
			map[string]string{eth6: "1", forward: "0", "net/ipv6/conf/all/accept_redirects": "1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := hosttest.NewSysctl("eth0.100")
			for _, kv := range tt.set {
				if err := s.Set(kv[0], kv[1]); err != nil {
					t.Fatal(err)
				}
			}
			got := map[string]string{}
			for key := range tt.want {
				value, err := s.Get(key)
				if err != nil {
					t.Fatal(err)
				}
				got[key] = value
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSysctlErrors(t *testing.T) {
	s := hosttest.NewSysctl()
	before := s.String()
	if !strings.Contains(before, "net/ipv4/ip_forward = 0\n") {
		t.Errorf("settings are\n%s", before)
	}
	if _, err := s.Get("net/ipv4/conf/wg0/rp_filter"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading an unknown key: %v", err)
	}
	if err := s.Set("net/ipv4/conf/wg0/rp_filter", "2"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("writing an unknown key: %v", err)
	}
	s.Fault = func(write string) error {
		if write != "net/ipv4/ip_forward = 1" {
			t.Errorf("fault is asked for %q", write)
		}
		return errFault
	}
	if err := s.Set("net/ipv4/ip_forward", "1"); !errors.Is(err, errFault) {
		t.Errorf("writing with a fault: %v", err)
	}
	if diff := cmp.Diff(before, s.String()); diff != "" {
		t.Errorf("failed writes changed something (-want +got):\n%s", diff)
	}
}

func TestRunner(t *testing.T) {
	var input string
	r := hosttest.Runner{Programs: map[string]hosttest.Program{
		"cat": func(c host.Cmd) ([]byte, error) {
			input = string(c.Stdin)
			return c.Stdin, nil
		},
		"false": func(c host.Cmd) ([]byte, error) { return nil, hosttest.Exit(c, 1, "no") },
	}}
	if out, err := r.Run(t.Context(), host.Cmd{Args: []string{"cat", "-"}, Stdin: []byte("fed")}); err != nil || string(out) != "fed" || input != "fed" {
		t.Errorf("cat: %q, %q, %v", out, input, err)
	}
	var exit *host.ExitError
	if _, err := r.Run(t.Context(), host.Cmd{Args: []string{"false"}}); !errors.As(err, &exit) || exit.Code != 1 {
		t.Errorf("false: %v", err)
	}
	if _, err := r.Run(t.Context(), host.Cmd{Args: []string{"iptables"}}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing program: %v", err)
	}
	r.Fault = func(string) error { return errFault }
	if _, err := r.Run(t.Context(), host.Cmd{Args: []string{"cat"}}); !errors.Is(err, errFault) {
		t.Errorf("with a fault: %v", err)
	}
	if diff := cmp.Diff("cat -\nfalse\ncat\n", r.String()); diff != "" {
		t.Errorf("what was run (-want +got):\n%s", diff)
	}
	r.Forget()
	if got := r.String(); got != "" {
		t.Errorf("after Forget: %q", got)
	}
}

func TestFolders(t *testing.T) {
	var f hosttest.Files
	f.Put("/etc/a/b/file", "x", 0o644)
	f.PutType("/etc/a/link", fs.ModeSymlink)
	for path, want := range map[string]fs.FileMode{
		"/etc": fs.ModeDir, "/etc/a": fs.ModeDir, "/etc/a/b": fs.ModeDir, "/etc/a/b/file": 0, "/etc/a/link": fs.ModeSymlink,
	} {
		if got, err := f.Type(path); err != nil || got != want {
			t.Errorf("Type(%s) = %v, %v, want %v", path, got, err, want)
		}
	}
	if _, err := f.Type("/etc/c/d"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
	if err := f.Remove("/etc/a/b/file"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("L--------- /etc/a/link\ndrwxr-xr-x /etc/a/b\n", f.String()); diff != "" {
		t.Errorf("an empty folder (-want +got):\n%s", diff)
	}
	for _, path := range []string{"/etc/a", "/etc/a/b", "/etc/absent"} {
		if err := f.RemoveFolder(path); err != nil {
			t.Errorf("removing %s: %v", path, err)
		}
	}
	if diff := cmp.Diff("L--------- /etc/a/link\n", f.String()); diff != "" {
		t.Errorf("after removal (-want +got):\n%s", diff)
	}
}

func TestSettings(t *testing.T) {
	s := hosttest.NewSysctl("eth0.100")
	names, err := s.List("net/ipv6/conf")
	if diff := cmp.Diff([]string{"all", "default", "eth0.100", "lo"}, names); err != nil || diff != "" {
		t.Errorf("interfaces (-want +got): %v\n%s", err, diff)
	}
	s.Lock("net/ipv4/conf")
	before := s.String()
	for key, want := range map[string]error{
		"net/ipv4/conf/lo/rp_filter": fs.ErrPermission, "net/ipv4/ip_forward": nil, "net/ipv4/absent": fs.ErrNotExist,
	} {
		if err := s.Writable(key); !errors.Is(err, want) {
			t.Errorf("Writable(%s) = %v, want %v", key, err, want)
		}
	}
	if err := s.Set("net/ipv4/conf/lo/rp_filter", "1"); !errors.Is(err, fs.ErrPermission) || s.String() != before {
		t.Errorf("writing a locked key: %v", err)
	}
	s.RemoveInterface("eth0.100")
	if _, err := s.Get("net/ipv4/conf/eth0.100/rp_filter"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("key of a removed interface: %v", err)
	}
	s.DisableIPv6()
	if names, err := s.List("net/ipv6/conf"); err != nil || len(names) != 0 {
		t.Errorf("without IPv6: %q, %v", names, err)
	}
}
