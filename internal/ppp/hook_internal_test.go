package ppp

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnctl/vpnctl/internal/desired"
)

// hooks are the hooks with another folder for records.
type hooks struct {
	t      *testing.T
	folder string
}

// run runs a hook as pppd does, with nothing but what is given in its environment.
func (h *hooks) run(hook []byte, env ...string) {
	h.t.Helper()
	path := filepath.Join(h.t.TempDir(), "hook")
	text := bytes.ReplaceAll(hook, []byte(RecordFolder), []byte(h.folder))
	if err := os.WriteFile(path, text, 0o700); err != nil {
		h.t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", path, "ppp0", "tty", "0", "", "", "")
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		h.t.Fatalf("hook: %v\n%s", err, out)
	}
}

// pppd starts a process of that name.
func (h *hooks) pppd() (pid int, ended <-chan error) {
	h.t.Helper()
	self, err := exec.LookPath("sleep")
	if err != nil {
		h.t.Fatal(err)
	}
	data, err := os.ReadFile(self)
	if err != nil {
		h.t.Fatal(err)
	}
	path := filepath.Join(h.t.TempDir(), program)
	if err := os.WriteFile(path, data, 0o700); err != nil {
		h.t.Fatal(err)
	}
	cmd := exec.Command(path, "1000")
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	h.t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd.Process.Pid, done
}

func (h *hooks) records() map[string]record {
	out := map[string]record{}
	paths, _ := filepath.Glob(h.folder + "/*")
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			h.t.Fatal(err)
		}
		out[filepath.Base(path)] = parseRecord(string(raw))
	}
	return out
}

// fakeIP is an ip(8) that says what it was asked in a file. A route of 10.6.0.0/24 is there,
// somebody else's, and one of 10.7.0.0/24, an older session's.
const fakeIP = `#!/bin/sh
echo "$*" >>"%s"
case "$*" in
*"add 10.6."*|*"add 10.7."*) exit 2 ;;
*"show exact 10.7."*) echo "unicast 10.7.0.0/24 dev ppp0 proto 118 scope link" ;;
esac
`

// TestHookNetworks: what is behind a user is routed into his session, and nobody else's.
func TestHookNetworks(t *testing.T) {
	odd := `a b$(id)"\` + "`id`' *"
	s := &desired.PPPServer{PPPTunnel: desired.PPPTunnel{Protocol: desired.L2TP, Name: "office"}, Networks: []desired.PPPNetworks{
		{User: odd, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.5.0.0/24"), netip.MustParsePrefix("fd05::/64")}},
		{User: "other", Prefixes: []netip.Prefix{netip.MustParsePrefix("10.6.0.0/24"), netip.MustParsePrefix("10.7.0.0/24")}},
	}}
	for _, tt := range []struct {
		name string
		env  []string
		want string
	}{
		{"odd name", []string{"VPNCTL=l2tp/office", "PEERNAME=" + odd}, "-4 route add 10.5.0.0/24 dev ppp0 proto 118\n-6 route add fd05::/64 dev ppp0 proto 118\n"},
		{"taken", []string{"VPNCTL=l2tp/office", "PEERNAME=other"}, "-4 route add 10.6.0.0/24 dev ppp0 proto 118\n" +
			"-4 -d route show exact 10.6.0.0/24 proto 118 type unicast\n-4 route add 10.6.0.0/24 dev ppp0 proto 118\n-4 route add 10.7.0.0/24 dev ppp0 proto 118\n" +
			"-4 -d route show exact 10.7.0.0/24 proto 118 type unicast\n-4 route replace 10.7.0.0/24 dev ppp0 proto 118\n"},
		{"part of a name", []string{"VPNCTL=l2tp/office", "PEERNAME=a b"}, ""},
		{"another server's", []string{"VPNCTL=pptp/office", "PEERNAME=other"}, ""},
		{"a link", []string{"VPNCTL=l2tp/office", "VPNCTL_LINK=1", "PEERNAME=other", "VPNCTL_ROUTES=fd09::/64"}, "-6 route add fd09::/64 dev ppp0 proto 118\n"},
		{"nobody", []string{"VPNCTL=l2tp/office"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			log, networks := filepath.Join(dir, "log"), filepath.Join(dir, "networks")
			for path, text := range map[string]string{filepath.Join(dir, "ip"): fmt.Sprintf(fakeIP, log), networks: scriptHeader + string(renderNetworks(s)), log: ""} {
				if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
			h := &hooks{t: t, folder: filepath.Join(dir, "sessions")}
			h.run(bytes.ReplaceAll(upHook, []byte(networksPath), []byte(networks)), append(tt.env, "IFNAME=ppp0", fmt.Sprintf("PPPD_PID=%d", os.Getpid()))...)
			got, err := os.ReadFile(log)
			if diff := cmp.Diff(tt.want, string(got)); err != nil || diff != "" {
				t.Errorf("%v: ip was asked (-want +got):\n%s", err, diff)
			}
		})
	}
}

// TestHooks: odd names, records of who is gone, and sessions that end older ones.
func TestHooks(t *testing.T) {
	h := &hooks{t: t, folder: filepath.Join(t.TempDir(), "sessions")}
	up := func(iface string, pid int, user, remote string, more ...string) {
		t.Helper()
		h.run(upHook, append(more, "VPNCTL=l2tp/office", "IFNAME="+iface, fmt.Sprintf("PPPD_PID=%d", pid), "PEERNAME="+user, "IPREMOTE="+remote)...)
	}
	first, firstEnded := h.pppd()
	second, secondEnded := h.pppd()
	odd := `a b$(id)"\` + "`id`' *"
	h.run(upHook, "IFNAME=ppp9", "PPPD_PID=1") // somebody else's
	up("ppp0", first, odd, "192.168.130.100")
	up("ppp1", second, "two\nVPNCTL=l2tp/other", "192.168.130.101")
	up("ppp2", os.Getpid(), "no pppd", "192.168.130.102")
	third, _ := h.pppd()
	up("ppp3", third, odd, "192.168.130.103") // may be in twice
	want := map[string]record{"ppp0": {object: "l2tp/office", user: odd, pid: first}, "ppp1": {object: "l2tp/office", pid: second},
		"ppp3": {object: "l2tp/office", user: odd, pid: third}}
	if diff := cmp.Diff(want, h.records(), cmp.AllowUnexported(record{})); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	fourth, fourthEnded := h.pppd()
	up("ppp4", fourth, odd, "192.168.130.101", "VPNCTL_ONE_LOGIN=1") // and at the address of another
	for name, ended := range map[string]<-chan error{"of the same user": firstEnded, "at the same address": secondEnded} {
		select {
		case <-ended:
		case <-time.After(time.Minute):
			t.Errorf("the session %s goes on", name)
		}
	}
	select {
	case err := <-fourthEnded:
		t.Errorf("the new session has ended: %v", err)
	default:
	}
	h.run(downHook, "VPNCTL=l2tp/office", "IFNAME=ppp4", "PPPD_PID=1") // of another pppd
	if _, ok := h.records()["ppp4"]; !ok {
		t.Error("a hook took another's record away")
	}
	h.run(downHook, "VPNCTL=l2tp/office", "IFNAME=ppp4", fmt.Sprintf("PPPD_PID=%d", fourth))
	if _, ok := h.records()["ppp4"]; ok {
		t.Error("the record outlives its session")
	}
}
