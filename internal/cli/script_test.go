package cli_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/vpnctl/vpnctl/internal/desired"
	"github.com/vpnctl/vpnctl/internal/ipsec/charontest"
	"github.com/vpnctl/vpnctl/internal/nat"
	"github.com/vpnctl/vpnctl/internal/ppp"
	"github.com/vpnctl/vpnctl/internal/rtnl"
)

var update = flag.Bool("update", false, "write what cmp finds into the scripts")

// TestScripts runs the stories below testdata/script. Each begins on a host called
// linux1, and names others with the command node.
func TestScripts(t *testing.T) {
	here, err := os.Getwd() // before a run of vpnctl changes it
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                filepath.Join(here, "testdata", "script"),
		UpdateScripts:      *update,
		RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			s := &stage{dir: env.WorkDir, machines: map[string]*machine{}}
			s.node("linux1")
			env.Values[stageKey{}] = s
			return copyExamples(filepath.Join(here, "..", "..", "examples"), filepath.Join(env.WorkDir, "examples"))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"vpnctl": func(ts *testscript.TestScript, neg bool, args []string) {
				if neg {
					ts.Fatalf("say with which code: exits CODE %s", strings.Join(args, " "))
				}
				vpnctl(ts, 0, args)
			},
			"exits": func(ts *testscript.TestScript, _ bool, args []string) {
				code, err := strconv.Atoi(args[0])
				ts.Check(err)
				vpnctl(ts, code, args[2:]) // behind the word vpnctl
			},
			"host":   onStage((*stage).cmdHost),
			"node":   onStage((*stage).cmdNode),
			"wg":     onStage((*stage).cmdWG),
			"ip":     onStage((*stage).cmdIP),
			"rules":  onStage((*stage).cmdRules),
			"charon": onStage((*stage).cmdCharon),
			"ppp":    onStage((*stage).cmdPPP),
			"put":    onStage((*stage).cmdPut),
			"make":   onStage((*stage).cmdMake),
			"break":  onStage((*stage).cmdBreak),
			"mode":   onStage((*stage).cmdMode),
			"reboot": onStage((*stage).cmdReboot),
		},
	})
}

// stage is what a script runs on: its hosts, of which one is in front.
type stage struct {
	*machine
	dir      string
	machines map[string]*machine
	unlock   func() error
}

type stageKey struct{}

func stageOf(ts *testscript.TestScript) *stage { return ts.Value(stageKey{}).(*stage) }

// onStage makes a command of a method, which panics or returns an error where it is used
// wrongly.
func onStage(f func(s *stage, ts *testscript.TestScript, args []string) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg {
			ts.Fatalf("cannot be negated")
		}
		ts.Check(f(stageOf(ts), ts, args))
	}
}

// vpnctl runs a command line on the host in front; "< FILE" at its end is its input.
func vpnctl(ts *testscript.TestScript, code int, args []string) {
	s := stageOf(ts)
	stdin := ""
	if n := len(args); n > 1 && args[n-2] == "<" {
		stdin, args = ts.ReadFile(args[n-1]), args[:n-2]
	}
	for _, name := range []string{"NO_COLOR", "VPNCTL_NODE", "PSK", "SUDO_USER", "SSH_CONNECTION"} {
		delete(s.env, name)
		if v := ts.Getenv(name); v != "" {
			s.env[name] = v
		}
	}
	got := s.program(ts.MkAbs("."), strings.NewReader(stdin), ts.Stdout(), ts.Stderr(), args)
	if got != code {
		ts.Fatalf("vpnctl %s: exit code %d, not %d", strings.Join(args, " "), got, code)
	}
}

// node brings a host to the front, and makes it first where there is none of that name.
func (s *stage) node(name string) {
	if s.machines[name] == nil {
		m := newMachine(name, filepath.Join(s.dir, "."+name))
		if name == "linux2" {
			m.link("ens224", "10.13.0.201/16")
		}
		s.machines[name] = m
	}
	s.machine = s.machines[name]
}

// cmdReboot leaves of the host in front what is on its disk, and lets its owner's own
// services start.
func (s *stage) cmdReboot(_ *testscript.TestScript, _ []string) error {
	old := s.machine
	delete(s.machines, old.name)
	s.node(old.name)
	s.files, s.env, s.boots = old.files, old.env, old.boots+1
	s.files.Fault, s.charon.Files, s.l2tp.Files, s.pptp.Files = s.write, s.files, s.files, s.files
	return os.RemoveAll(s.run)
}

func (s *stage) cmdNode(_ *testscript.TestScript, args []string) error {
	s.node(args[0])
	return nil
}

// host prints the host: all of it, or the part that is named (wg, nat, sysctl, files).
func (s *stage) cmdHost(ts *testscript.TestScript, args []string) error {
	var what fmt.Stringer = s.machine
	if len(args) > 0 {
		what = map[string]fmt.Stringer{"wg": s.wg, "nat": s.nat, "sysctl": s.sysctl, "files": s.files}[args[0]]
	}
	_, err := fmt.Fprint(ts.Stdout(), what)
	return err
}

// wg IF peer KEY remove|keepalive SECONDS|handshake ADDR:PORT AGO, wg IF listen-port N.
func (s *stage) cmdWG(_ *testscript.TestScript, args []string) error {
	name := args[0]
	if args[1] == "listen-port" {
		port, err := strconv.Atoi(args[2])
		s.wg.Configure("", name, wgtypes.Config{ListenPort: &port})
		return err
	}
	key, err := wgtypes.ParseKey(args[2])
	if err != nil {
		return err
	}
	p := wgtypes.PeerConfig{PublicKey: key}
	switch args[3] {
	case "remove":
		p.Remove = true
	case "add":
	case "keepalive":
		d, err := time.ParseDuration(args[4])
		if err != nil {
			return err
		}
		p.PersistentKeepaliveInterval = &d
	case "handshake":
		ago, err := time.ParseDuration(args[5])
		if err != nil {
			return err
		}
		s.wg.Handshake("", name, key, netip.MustParseAddrPort(args[4]), s.wg.Time.Add(-ago))
		return nil
	}
	s.wg.Configure("", name, wgtypes.Config{Peers: []wgtypes.PeerConfig{p}})
	return nil
}

// ip link add|del|up|down NAME, ip addr add|del PREFIX dev NAME, ip route add|del PREFIX
// dev NAME.
func (s *stage) cmdIP(_ *testscript.TestScript, args []string) error {
	verb := args[0] + " " + args[1]
	if args[0] == "link" {
		switch name := args[2]; args[1] {
		case "add":
			s.wg.Must("", rtnl.AddLink{Name: name, Kind: args[3]})
		case "del":
			s.wg.Must("", rtnl.DelLink{Name: name})
		default:
			s.wg.Must("", rtnl.SetLink{Name: name, Up: new(args[1] == "up")})
		}
		return nil
	}
	p, err := netip.ParsePrefix(args[2])
	if err != nil {
		return err
	}
	index := s.wg.Index("", args[4])
	route := rtnl.Route{Dst: p, Table: rtnl.MainTable, Index: index}
	switch verb {
	case "addr add":
		s.wg.Must("", rtnl.AddAddr{Index: index, Prefix: p})
	case "addr del":
		s.wg.Must("", rtnl.DelAddr{Index: index, Prefix: p})
	case "route add":
		route.Protocol = 3 // boot, as ip(8) does
		s.wg.Must("", rtnl.AddRoute{Route: route})
	case "route del":
		s.wg.Must("", rtnl.DelRoute{Route: route})
	default:
		return fmt.Errorf("unknown: %s", verb)
	}
	return nil
}

// rules TABLE LINE...: lines of iptables-restore by the owner's hand.
func (s *stage) cmdRules(_ *testscript.TestScript, args []string) error {
	s.nat.Do(nat.IPv4, nat.NFT, args[0], args[1:]...)
	return nil
}

// charon connect CONNECTION CHILD USER POOL ADDRESS (somebody dials in), charon refuse
// CONNECTION/CHILD WORDS (a peer answers so), charon kill.
func (s *stage) cmdCharon(_ *testscript.TestScript, args []string) error {
	switch args[0] {
	case "connect":
		s.charon.Connect(args[1], args[2], args[3], args[4], args[5])
	case "refuse":
		s.charon.Answer(args[1], &charontest.Refusal{Log: args[2:], Answer: "establishing CHILD_SA failed"})
	case "kill":
		s.charon.Kill()
	default:
		return fmt.Errorf("unknown: %s", args[0])
	}
	return nil
}

// ppp host makes a host that has pppd. ppp login PROTOCOL/NAME USER ADDRESS OUTER is a session
// that begins on a server, ppp USER gone its end.
func (s *stage) cmdPPP(_ *testscript.TestScript, args []string) error {
	switch {
	case len(args) == 1 && args[0] == "host":
		s.pppd()
	case len(args) == 5 && args[0] == "login":
		protocol, name, _ := strings.Cut(args[1], "/")
		address, err := netip.ParseAddr(args[3])
		s.sessions.Begin(ppp.Session{
			Protocol: desired.Tunnelling(protocol), Name: name, User: args[2], Remote: address, Outer: args[4],
			Since: s.wg.Time.Add(-time.Hour), RxBytes: 1500, TxBytes: 3000,
		})
		return err
	case len(args) == 2 && args[1] == "gone":
		s.sessions.Drop(func(o ppp.Session) bool { return o.User == args[0] })
	default:
		return fmt.Errorf("unknown: %s", args)
	}
	return nil
}

// put sysctl KEY VALUE, put file PATH TEXT, put port N: what others write to the host.
func (s *stage) cmdPut(_ *testscript.TestScript, args []string) error {
	switch args[0] {
	case "sysctl":
		s.sysctl.Put(args[1], args[2])
	case "file":
		s.files.Put(args[1], args[2]+"\n", 0o644)
	case "port":
		port, err := strconv.Atoi(args[1])
		s.wg.Used[port] = true
		return err
	default:
		return fmt.Errorf("unknown: %s", args[0])
	}
	return nil
}

// make says what kind of host it is: make without iptables|root|wireguard, make terminal,
// make locked|unlocked, make later DURATION.
func (s *stage) cmdMake(_ *testscript.TestScript, args []string) (err error) {
	switch what := strings.Join(args, " "); what {
	case "without iptables":
		s.nat.Uninstall(nat.NFT)
	case "without root":
		s.wg.Restricted, s.nat.Unprivileged = true, true
	case "without wireguard":
		s.wg.NoKernel, s.wg.NoTun = true, true
	case "terminal":
		s.terminal = true
	case "locked":
		s.unlock, err = s.lock()
	case "unlocked":
		err = s.unlock()
	default:
		ago, err := time.ParseDuration(args[1])
		s.wg.Time = s.wg.Time.Add(ago)
		return err
	}
	return err
}

// break fault|all|kill|interrupt K: what goes wrong at the K-th write from now on, once, from
// there on, or by an end of the process; break nothing ends it.
func (s *stage) cmdBreak(_ *testscript.TestScript, args []string) error {
	if args[0] == "nothing" {
		s.repair()
		return nil
	}
	k, err := strconv.Atoi(args[1])
	how := map[string]func(*machine, int){
		"fault": (*machine).failAt, "all": (*machine).breakAt, "kill": (*machine).killAt, "interrupt": (*machine).interruptAt,
	}[args[0]]
	how(s.machine, k)
	return err
}

// mode FILE MODE checks the permissions of a file or folder.
func (s *stage) cmdMode(ts *testscript.TestScript, args []string) error {
	info, err := os.Stat(ts.MkAbs(args[0]))
	if err != nil {
		return err
	}
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[1] {
		return fmt.Errorf("%s has mode %s, not %s", args[0], got, args[1])
	}
	return nil
}

// interruptAt is the operator who interrupts vpnctl at the k-th write.
func (m *machine) interruptAt(k int) {
	m.writes = 0
	m.fault = func(n int, _ string) error {
		if n == k {
			return context.Canceled
		}
		return nil
	}
}

// lock holds vpnctl's lock as another one would, until the function is called.
func (m *machine) lock() (unlock func() error, err error) {
	if err := os.MkdirAll(m.run, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(m.run, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, f.Truncate(0)
}

// copyExamples gives a script the examples, which carry their keys, for root alone.
func copyExamples(from, dir string) error {
	files, err := filepath.Glob(filepath.Join(from, "*.yaml"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no examples found: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(f)), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}
