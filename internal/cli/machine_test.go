package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/cli"
	"github.com/vpnctl/vpnctl/internal/engine"
	"github.com/vpnctl/vpnctl/internal/eventlog"
	"github.com/vpnctl/vpnctl/internal/file"
	"github.com/vpnctl/vpnctl/internal/host/hosttest"
	"github.com/vpnctl/vpnctl/internal/ipsec"
	"github.com/vpnctl/vpnctl/internal/ipsec/charontest"
	"github.com/vpnctl/vpnctl/internal/l2tp"
	"github.com/vpnctl/vpnctl/internal/l2tp/l2tptest"
	"github.com/vpnctl/vpnctl/internal/lockout"
	"github.com/vpnctl/vpnctl/internal/management"
	"github.com/vpnctl/vpnctl/internal/nat"
	"github.com/vpnctl/vpnctl/internal/nat/nattest"
	"github.com/vpnctl/vpnctl/internal/node"
	"github.com/vpnctl/vpnctl/internal/ppp"
	"github.com/vpnctl/vpnctl/internal/ppp/ppptest"
	"github.com/vpnctl/vpnctl/internal/pptp"
	"github.com/vpnctl/vpnctl/internal/pptp/pptptest"
	"github.com/vpnctl/vpnctl/internal/probe"
	"github.com/vpnctl/vpnctl/internal/reason"
	"github.com/vpnctl/vpnctl/internal/rtnl"
	"github.com/vpnctl/vpnctl/internal/sysctl"
	"github.com/vpnctl/vpnctl/internal/vault"
	"github.com/vpnctl/vpnctl/internal/wireguard"
	"github.com/vpnctl/vpnctl/internal/wireguard/wireguardtest"
)

// machine is a host in memory on which vpnctl runs. Its state folder is a real one.
type machine struct {
	wg     *wireguardtest.Host
	nat    *nattest.Host
	sysctl *hosttest.Sysctl
	files  *hosttest.Files
	charon *charontest.Charon
	links  *charontest.Network // as IPsec sees them
	// What carries PPP, with the sessions and routes of all of it.
	l2tp     *l2tptest.Host
	pptp     *pptptest.World
	sessions *ppptest.Fake
	modules  *ppptest.Modules
	routes   *ppptest.Network

	boots int // how often it was started

	guards bool            // the guardian of an armed apply waits
	hooked map[string]bool // what hooks have done and not ended

	name     string // of the host
	state    string
	run      string
	env      map[string]string
	terminal bool
	// fault is asked before every write, by its number from 1.
	fault  func(n int, write string) error
	writes int
	struck bool // the fault that fails one write has
	// mutate wraps the backends, broken is the kind of operation whose undo does nothing,
	// did are those that were done.
	mutate func(backend.Backend) backend.Backend
	broken string
	did    map[string]bool
}

var errFault = errors.New("injected fault")

// killed is what a process panics with that is killed.
type killed struct{}

// exitKilled is a shell's code for a process that was killed.
const exitKilled = 137

// memoryDir is a folder for the state of machines that is gone with the test. It is in
// memory where there is such a file system: nobody pulls a plug here, and thousands of
// syncs to a disk take minutes.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "vpnctl-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// newMachine makes a host with an owner: rules, settings and a file of his own.
func newMachine(name, dir string) *machine {
	m := &machine{
		wg: wireguardtest.New(), nat: nattest.New(nat.NFT), sysctl: hosttest.NewSysctl("eth0"), files: &hosttest.Files{},
		charon: charontest.New(), links: &charontest.Network{},
		l2tp: l2tptest.New(), pptp: pptptest.New(), sessions: &ppptest.Fake{}, modules: ppptest.NewModules(), routes: &ppptest.Network{},
		hooked: map[string]bool{}, name: name, state: filepath.Join(dir, "state"), run: filepath.Join(dir, "run"), env: map[string]string{},
	}
	m.nat.Do(nat.IPv4, nat.NFT, "filter", ":FORWARD DROP [0:0]", "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT")
	m.nat.Do(nat.IPv4, nat.NFT, "nat", "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE")
	m.charon.Files, m.l2tp.Alone = m.files, true
	m.files.Put("/etc/sysctl.d/10-owner.conf", "net.ipv4.ip_forward = 0\n", 0o644)
	m.wg.Fault, m.nat.Fault, m.sysctl.Fault, m.files.Fault = m.write, m.write, m.write, m.write
	m.charon.Fault, m.links.Fault = m.ask, m.write
	m.wg.HookFault = m.hook
	m.l2tp.Files, m.l2tp.Sessions, m.pptp.Files, m.pptp.PPP = m.files, m.sessions, m.files, m.sessions
	m.l2tp.Fault, m.pptp.Fault, m.sessions.Fault, m.modules.Fault, m.routes.Fault = m.write, m.write, m.write, m.write, m.write
	return m
}

// pppd installs pppd, whose secrets have a line of the owner's.
func (m *machine) pppd() {
	m.files.Put("/etc/ppp/chap-secrets", "# Secrets for authentication using CHAP\nmine * secret *\n", 0o600)
	m.files.Put("/etc/ppp/ip-up", "#!/bin/sh\n", 0o755)
	m.files.PutType("/dev/ppp", fs.ModeDevice|fs.ModeCharDevice)
}

// link adds an interface of the owner's.
func (m *machine) link(name string, addrs ...string) {
	m.wg.Must("", rtnl.AddLink{Name: name, Kind: "dummy", MTU: 1500}, rtnl.SetLink{Name: name, Up: new(true)})
	for _, a := range addrs {
		m.wg.Must("", rtnl.AddAddr{Index: m.wg.Index("", name), Prefix: netip.MustParsePrefix(a)})
	}
}

func (m *machine) write(what string) error {
	m.writes++
	if m.fault == nil {
		return nil
	}
	return m.fault(m.writes, what)
}

// hook is a hook at work: "echo wg0 up" does what "echo wg0 down" ends.
func (m *machine) hook(line string) error {
	if err := m.write("hook " + line); err != nil {
		return err
	}
	if name, ok := strings.CutSuffix(line, " up"); ok {
		m.hooked[name] = true
	}
	if name, ok := strings.CutSuffix(line, " down"); ok {
		delete(m.hooked, name)
	}
	return nil
}

// guardian is that of the machine: it is there or not.
type guardian struct{ m *machine }

func (g guardian) Arm(context.Context, time.Duration) error {
	if err := g.m.write("arm"); err != nil {
		return err
	}
	g.m.guards = true
	return nil
}

func (g guardian) AtBoot() bool { return false }

func (g guardian) Disarm(context.Context) error {
	if err := g.m.write("disarm"); err != nil {
		return err
	}
	g.m.guards = false
	return nil
}

// ask is write for charon, which is asked to initiate by several at once: what kills there
// lets that one fail, and kills at the next write.
func (m *machine) ask(what string) (err error) {
	if strings.HasPrefix(what, "initiate ") {
		defer func() {
			if recover() == (killed{}) {
				err = errFault
			}
		}()
	}
	return m.write(what)
}

// failAt lets the k-th write from now on fail, and none after it.
func (m *machine) failAt(k int) {
	m.writes, m.struck = 0, false
	m.fault = func(n int, _ string) error {
		if n == k {
			m.struck = true
			return errFault
		}
		return nil
	}
}

// breakAt lets all writes fail from the k-th on.
func (m *machine) breakAt(k int) {
	m.writes = 0
	m.fault = func(n int, _ string) error {
		if n >= k {
			return errFault
		}
		return nil
	}
}

// killAt ends the process ahead of the k-th write.
func (m *machine) killAt(k int) {
	m.writes = 0
	m.fault = func(n int, _ string) error {
		if n >= k {
			panic(killed{})
		}
		return nil
	}
}

// repair ends all faults, and returns how many writes there were since they began.
func (m *machine) repair() int {
	m.fault, m.struck = nil, false
	return m.writes
}

// oneLink is a host with eth0 that takes no router advertisements.
type oneLink struct{}

func (oneLink) Advertised() ([]string, error) { return nil, nil }

func (oneLink) Shared() ([]string, error) { return []string{"eth0"}, nil }

// backends are the machine's, in the order of the real host's.
func (m *machine) backends(v *vault.Vault) []backend.Backend {
	all := []backend.Backend{
		file.New(file.Config{Files: m.files}),
		sysctl.New(sysctl.Config{Settings: m.sysctl, Files: m.files, Network: oneLink{}}),
		wireguard.New(m.wg.Config(v)),
		ipsec.New(ipsec.Config{
			Secrets: v, Dial: m.charon.Dial, Listen: m.charon.Listen, Daemon: m.charon, Files: m.files,
			Glob:    m.glob,
			Network: func() (ipsec.Network, error) { return m.links, nil }, Kernel: &charontest.Kernel{},
			Reasons: reason.Open(filepath.Join(m.run, "reasons")), Now: func() time.Time { return m.wg.Time },
		}),
		ppp.New(ppp.Config{
			Files: m.files, Secrets: v, Sessions: m.sessions, Modules: m.modules, Now: func() time.Time { return m.wg.Time },
			Network:   func() (ppp.Network, error) { return m.routes, nil },
			Installed: func(string) bool { return true }, Device: func() bool { return true },
		}),
		l2tp.New(m.l2tp.Config()),
		pptp.New(pptp.Config{
			Files: m.files, Sessions: m.pptp.Sessions(), Processes: m.pptp, Units: m.pptp.Units, Booted: func() bool { return false },
			Exe: func() (string, error) { return "/usr/sbin/vpnctl", nil }, Installed: func(string) bool { return true },
			Reasons: reason.Open(filepath.Join(m.run, "reasons")),
		}),
		nat.New(m.nat.Config()),
	}
	if m.mutate != nil {
		for i := range all {
			all[i] = m.mutate(all[i])
		}
	}
	return all
}

// glob finds files, and charon's plugins, all of which are installed.
func (m *machine) glob(pattern string) (paths []string, err error) {
	for _, p := range append(m.files.Paths(), "/usr/lib/ipsec/plugins/libstrongswan-resolve.so") {
		if ok, _ := path.Match(pattern, p); ok {
			paths = append(paths, p)
		}
	}
	return paths, nil
}

// result is what one run of vpnctl left behind.
type result struct {
	code           int
	stdout, stderr string
}

// process guards what there is one of in a process and what a run of vpnctl looks at: the
// working directory.
var process sync.Mutex

// vpnctl runs a command line in a folder.
func (m *machine) vpnctl(dir, stdin string, args ...string) result {
	var stdout, stderr bytes.Buffer
	code := m.program(dir, strings.NewReader(stdin), &stdout, &stderr, args)
	return result{code, stdout.String(), stderr.String()}
}

func (m *machine) program(dir string, stdin io.Reader, stdout, stderr io.Writer, args []string) (code int) {
	process.Lock()
	defer process.Unlock()
	defer func() {
		if p := recover(); p == (killed{}) {
			code = exitKilled
		} else if p != nil {
			panic(p)
		}
	}()
	back, err := os.Getwd()
	if err == nil {
		err = os.Chdir(dir)
	}
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.Chdir(back) }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if f := m.fault; f != nil {
		m.fault = func(n int, write string) error {
			err := f(n, write)
			if errors.Is(err, context.Canceled) { // what interrupts does not fail
				cancel()
				return nil
			}
			return err
		}
		defer func() { m.fault = f }()
	}
	p := &cli.Program{
		Stdin: stdin, Stdout: stdout, Stderr: stderr, Terminal: m.terminal,
		Getenv: func(name string) (string, bool) { v, ok := m.env[name]; return v, ok },
		Hints: func(flag string) node.Hints {
			return node.Hints{Flag: flag, Env: m.env[node.Env], Hostname: m.name}
		},
		Events:    func() *eventlog.Log { return eventlog.New(stderr) },
		Guardian:  func(string) engine.Guardian { return guardian{m} },
		BootID:    func() (string, error) { return strconv.Itoa(m.boots), nil },
		ProbePace: probe.Pace{Hold: 20 * time.Millisecond, Poll: time.Millisecond},
		StateDir:  m.state, RunDir: m.run, Backends: m.backends,
		Now: func() time.Time { return m.wg.Time },
		Ways: lockout.Host{
			Network:  func() (wireguard.Network, error) { return m.wg.Config(nil).Network("") },
			Devices:  func() (wireguard.Devices, error) { return m.wg.Config(nil).Devices("") },
			Policies: func() ([]lockout.Policy, error) { return nil, nil },
		}.Observe,
		Management: func() (management.Connection, bool) { return management.Parse(m.env[management.Variable]) },
	}
	code = p.Run(ctx, args)
	if len(args) > 0 && args[0] == "revert" {
		m.guards = false // that was the guardian
	}
	return code
}

// renewed finds what a session has anew whenever it begins: its interface and its process.
var renewed = regexp.MustCompile(`(?m)^ppp\d+| pid=\d+`)

// String is the whole machine in the syntax of the tools that show it.
func (m *machine) String() string {
	// That folder is the lock's, too.
	files := strings.Replace(m.files.String(), "drwxr-xr-x /run/vpnctl\n", "", 1)
	text := fmt.Sprintf("# ip, wg\n%s# iptables-save\n%s# sysctl -a\n%s# files\n%s", m.wg, m.nat, m.sysctl, files)
	// The world of PPTP shows the files, too.
	sessions := slices.Sorted(strings.Lines(renewed.ReplaceAllString(m.sessions.String(), "")))
	ppp := strings.ReplaceAll(m.pptp.String(), files, "") + strings.Join(sessions, "") + m.routes.String()
	if strings.TrimSpace(ppp) != "" {
		text += "# ps, ip\n" + ppp
	}
	if ipsec := m.charon.String() + m.links.String(); ipsec != "" {
		text += "# swanctl, ip\n" + ipsec
	}
	if m.guards {
		text += "# guardian\n"
	}
	if daemon := m.l2tp.Daemon(); daemon != "" {
		text += "# xl2tpd-control\n" + daemon
	}
	for _, name := range slices.Sorted(maps.Keys(m.hooked)) {
		text += "# hook of " + name + "\n"
	}
	return text
}
