package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/cli"
	"github.com/vpnctl/vpnctl/internal/file"
	"github.com/vpnctl/vpnctl/internal/host/hosttest"
	"github.com/vpnctl/vpnctl/internal/ipsec"
	"github.com/vpnctl/vpnctl/internal/ipsec/charontest"
	"github.com/vpnctl/vpnctl/internal/nat"
	"github.com/vpnctl/vpnctl/internal/nat/nattest"
	"github.com/vpnctl/vpnctl/internal/node"
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

	name     string // of the host
	state    string
	run      string
	env      map[string]string
	terminal bool
	// fault is asked before every write, by its number from 1.
	fault  func(n int, write string) error
	writes int
}

var errFault = errors.New("injected fault")

// killed is what a process panics with that is killed.
type killed struct{}

// exitKilled is a shell's code for a process that was killed.
const exitKilled = 137

// newMachine makes a host with an owner: rules, settings and a file of his own.
func newMachine(name, dir string) *machine {
	m := &machine{
		wg: wireguardtest.New(), nat: nattest.New(nat.NFT), sysctl: hosttest.NewSysctl("eth0"), files: &hosttest.Files{},
		charon: charontest.New(), links: &charontest.Network{},
		name: name, state: filepath.Join(dir, "state"), run: filepath.Join(dir, "run"), env: map[string]string{},
	}
	m.nat.Do(nat.IPv4, nat.NFT, "filter", ":FORWARD DROP [0:0]", "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT")
	m.nat.Do(nat.IPv4, nat.NFT, "nat", "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE")
	m.charon.Files = m.files
	m.files.Put("/etc/swanctl/swanctl.conf", "# include conf.d/*.conf\n", 0o644)
	m.files.Put("/etc/sysctl.d/10-owner.conf", "net.ipv4.ip_forward = 0\n", 0o644)
	m.wg.Fault, m.nat.Fault, m.sysctl.Fault, m.files.Fault = m.write, m.write, m.write, m.write
	m.charon.Fault, m.links.Fault = m.ask, m.write
	m.wg.HookFault = func(line string) error { return m.write("hook " + line) }
	return m
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
	m.writes = 0
	m.fault = func(n int, _ string) error {
		if n == k {
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
	m.fault = nil
	return m.writes
}

// noRoutes is a host that takes no router advertisements.
type noRoutes struct{}

func (noRoutes) Advertised() ([]string, error) { return nil, nil }

// backends are the machine's, in the order of the real host's.
func (m *machine) backends(v *vault.Vault) []backend.Backend {
	return []backend.Backend{
		file.New(file.Config{Files: m.files}),
		sysctl.New(sysctl.Config{Settings: m.sysctl, Files: m.files, Routes: noRoutes{}}),
		wireguard.New(m.wg.Config(v)),
		ipsec.New(ipsec.Config{
			Secrets: v, Dial: m.charon.Dial, Listen: m.charon.Listen, Daemon: m.charon, Files: m.files,
			Glob:    m.glob,
			Network: func() (ipsec.Network, error) { return m.links, nil }, Kernel: &charontest.Kernel{},
			Reasons: reason.Open(filepath.Join(m.run, "reasons")), Now: func() time.Time { return m.wg.Time },
		}),
		nat.New(m.nat.Config()),
	}
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
		StateDir: m.state, RunDir: m.run, Backends: m.backends,
		Now: func() time.Time { return m.wg.Time },
	}
	return p.Run(ctx, args)
}

// String is the whole machine in the syntax of the tools that show it.
func (m *machine) String() string {
	return fmt.Sprintf("# ip, wg\n%s# iptables-save\n%s# sysctl -a\n%s# files\n%s# swanctl\n%s# ip, of IPsec\n%s",
		m.wg, m.nat, m.sysctl, m.files, m.charon, m.links)
}
