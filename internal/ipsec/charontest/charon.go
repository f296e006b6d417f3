package charontest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/strongswan/govici/vici"

	"github.com/vpnctl/vpnctl/internal/host/hosttest"
	"github.com/vpnctl/vpnctl/internal/ipsec"
	"github.com/vpnctl/vpnctl/internal/swanctl"
)

// ErrKilled is the end of the process that asks, to be returned by Fault for this write
// and all others.
var ErrKilled = errors.New("killed")

// Charon is a charon with its process. It is safe for concurrent use.
type Charon struct {
	// Fault is asked before each write ("load-conn net", "start"); the write does not
	// happen where it returns an error.
	Fault func(write string) error
	// Files is where a charon that its unit starts reads its configuration from.
	Files *hosttest.Files
	// Condition is what there is of charon beside whether it runs.
	Condition ipsec.DaemonState
	// Refusals are what a peer says to a child ("net/net"), as charon logs it; a peer
	// without an entry lets it come up.
	Refusals map[string]Refusal

	mu      sync.Mutex
	running bool
	starts  int
	next    int // number of the next SA
	conns   map[string]*vici.Message
	pools   map[string]*vici.Message
	shared  map[string]*vici.Message
	certs   map[string]bool
	keys    map[string]string
	plugins []string
	sas     []*SA
	orphans []ipsec.KernelSA
	calls   []string
	ears    map[chan ipsec.Event]bool
}

// Refusal is how an initiation fails.
type Refusal struct {
	Log    []string
	Answer string
}

// SA is a live IKE_SA.
type SA struct {
	Conn     string
	User     string // of who dialled in
	Identity string // what he authenticated as; "" for his address
	Pool     string // from which he has an address
	Remote   string
	ID       int
	Children []Child
	// settings are those that it was negotiated with.
	settings string
}

// Child is a CHILD_SA of it.
type Child struct {
	Name     string
	ID       int
	settings string
}

// New returns a charon that runs, on a host without systemd.
func New() *Charon {
	c := &Charon{Condition: ipsec.DaemonState{Installed: true}, Refusals: map[string]Refusal{}}
	c.reset()
	c.running = true
	return c
}

// reset is a fresh process.
func (c *Charon) reset() {
	c.starts++
	c.conns, c.pools = map[string]*vici.Message{}, map[string]*vici.Message{}
	c.shared, c.certs = map[string]*vici.Message{}, map[string]bool{}
	c.keys, c.sas = map[string]string{}, nil
	c.plugins = c.configured()
	for ear := range c.ears {
		close(ear)
	}
	c.ears = map[chan ipsec.Event]bool{}
}

// configured are the plugins that the settings ask for, beside a few of the package's.
func (c *Charon) configured() []string {
	plugins := []string{"kernel-netlink", "resolve", "vici"}
	if c.Files == nil {
		return plugins
	}
	f, err := c.Files.Read("/etc/strongswan.d/vpnctl.conf")
	root, parseErr := swanctl.Parse(f.Data)
	if err != nil || parseErr != nil {
		return plugins
	}
	section := root.Sub("charon").Sub("plugins")
	for _, name := range section.Names() {
		plugins = slices.DeleteFunc(plugins, func(p string) bool { return p == name })
		if section.Sub(name).Values["load"] == "yes" {
			plugins = append(plugins, name)
		}
	}
	slices.Sort(plugins)
	return plugins
}

// Listen hands on what is said, as ipsec.Listen does.
func (c *Charon) Listen(ctx context.Context, fn func(ipsec.Event)) error {
	ear := make(chan ipsec.Event, 64)
	c.mu.Lock()
	if !c.running {
		c.mu.Unlock()
		return ipsec.ErrNotRunning
	}
	c.ears[ear] = true
	c.mu.Unlock()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-ear:
			if !ok {
				return ipsec.ErrNotRunning
			}
			fn(e)
		}
	}
}

// Listeners is how many listen.
func (c *Charon) Listeners() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.ears)
}

// say tells all who listen.
func (c *Charon) say(e ipsec.Event) {
	for ear := range c.ears {
		ear <- e
	}
}

// Answer changes what a peer says to a child; nil lets it come up.
func (c *Charon) Answer(child string, r *Refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.Refusals, child)
	if r != nil {
		c.Refusals[child] = *r
	}
}

func (c *Charon) fault(write string) error {
	if c.Fault == nil {
		return nil
	}
	return c.Fault(write)
}

// Kill ends the process as its owner would: past Fault.
func (c *Charon) Kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.orphans = c.inKernel()
	c.running = false
	c.reset()
}

// Restart starts it anew, as its unit does: with what the files hold.
func (c *Charon) Restart() {
	c.Kill()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.boot(true)
}

// State implements ipsec.Daemon.
func (c *Charon) State(context.Context) (ipsec.DaemonState, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.Condition
	s.Running = c.running && s.Elsewhere == ""
	return s, nil
}

// Start implements ipsec.Daemon.
func (c *Charon) Start(_ context.Context, d ipsec.DaemonSetup) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.fault("start"); err != nil {
		return err
	}
	if d.Enabled {
		c.Condition.Enabled = true
	}
	if !c.running {
		c.boot(d.Systemd)
	}
	return nil
}

// Stop implements ipsec.Daemon.
func (c *Charon) Stop(_ context.Context, d ipsec.DaemonSetup) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.fault("stop"); err != nil {
		return err
	}
	if d.Enabled {
		c.Condition.Enabled = false
	}
	if !d.Kept {
		c.running = false
		c.reset()
	}
	return nil
}

// boot starts the process; its unit then runs `swanctl --load-all`.
func (c *Charon) boot(load bool) {
	c.reset()
	c.running = true
	if !load || c.Files == nil {
		return
	}
	c.loadFile("/etc/swanctl/conf.d/vpnctl.conf")
	for _, path := range c.Files.Paths() {
		if strings.HasPrefix(path, swanctl.Dir+"/private/") {
			f, _ := c.Files.Read(path)
			c.loadKey(swanctl.LoadKey(f.Data))
		}
	}
}

func (c *Charon) loadFile(path string) {
	f, err := c.Files.Read(path)
	if err != nil {
		return
	}
	root, err := swanctl.Parse(f.Data)
	if err != nil {
		return
	}
	commands, err := swanctl.FromFile(root, func(path string) ([]byte, error) {
		f, err := c.Files.Read(path)
		return f.Data, err
	})
	if err != nil {
		return
	}
	for _, command := range commands {
		c.write(command.Name, command.Message)
	}
}

// Connect lets somebody dial in at a server, with an address of a pool.
func (c *Charon) Connect(conn, child, user, pool, remote string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sa := c.newSA(conn)
	sa.User, sa.Pool, sa.Remote = user, pool, remote
	c.addChild(sa, child)
}

// ConnectAs lets a peer with a certificate dial in.
func (c *Charon) ConnectAs(conn, child, id, pool, remote string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sa := c.newSA(conn)
	sa.Identity, sa.Pool, sa.Remote = id, pool, remote
	c.addChild(sa, child)
}

// Disconnect ends all SAs of a user.
func (c *Charon) Disconnect(user string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sas = slices.DeleteFunc(c.sas, func(sa *SA) bool { return sa.User == user })
}

// Plugins are those that it has loaded, sorted.
func (c *Charon) Plugins() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.plugins)
}

// Outdated reports whether one that is started now would have other plugins.
func (c *Charon) Outdated() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !slices.Equal(c.plugins, c.configured())
}

// SAs are the live ones.
func (c *Charon) SAs() []SA {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []SA
	for _, sa := range c.sas {
		out = append(out, *sa)
	}
	return out
}

// Stale lists the SAs that were negotiated with other settings than are loaded now.
func (c *Charon) Stale() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, sa := range c.sas {
		if sa.settings != c.ike(sa.Conn) {
			out = append(out, "IKE_SA "+sa.Conn)
		}
		for _, child := range sa.Children {
			if child.settings != c.child(sa.Conn, child.Name) {
				out = append(out, "CHILD_SA "+sa.Conn+"/"+child.Name)
			}
		}
	}
	return out
}

// Calls are the commands since the last call of it, in their order: those that only read
// are not among them.
func (c *Charon) Calls() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := c.calls
	c.calls = nil
	return calls
}

// Dial opens a session.
func (c *Charon) Dial(ctx context.Context) (ipsec.Session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !c.running {
		return nil, ipsec.ErrNotRunning
	}
	return &session{c, c.starts}, nil
}

// ike is the part of a connection that its IKE_SA is negotiated with, without the pools,
// which count for the next client.
func (c *Charon) ike(conn string) string {
	m, ok := c.conns[conn]
	if !ok {
		return "none"
	}
	text := ""
	for _, key := range slices.Sorted(slices.Values(m.Keys())) {
		if key != "children" && key != "pools" {
			text += fmt.Sprintf("%s = %v\n", key, m.Get(key))
		}
	}
	return text
}

func (c *Charon) child(conn, name string) string {
	if m := sub(c.conns[conn], "children", name); m != nil {
		return m.String()
	}
	return "none"
}

// sub walks down the sections of a message, nil where one is missing.
func sub(m *vici.Message, path ...string) *vici.Message {
	for _, name := range path {
		if m == nil {
			return nil
		}
		m, _ = m.Get(name).(*vici.Message)
	}
	return m
}

func text(m *vici.Message, key string) string {
	s, _ := m.Get(key).(string)
	return s
}

func (c *Charon) newSA(conn string) *SA {
	c.next++
	sa := &SA{Conn: conn, ID: c.next, settings: c.ike(conn)}
	if m := c.conns[conn]; m != nil {
		if remote, ok := m.Get("remote_addrs").([]string); ok && len(remote) > 0 {
			sa.Remote = remote[0]
		}
	}
	c.sas = append(c.sas, sa)
	return sa
}

func (c *Charon) addChild(sa *SA, name string) {
	c.next++
	sa.Children = append(sa.Children, Child{Name: name, ID: c.next, settings: c.child(sa.Conn, name)})
}

// online counts the leases of a pool.
func (c *Charon) online(pool string) int {
	n := 0
	for _, sa := range c.sas {
		if sa.Pool == pool {
			n++
		}
	}
	return n
}

// String is the whole of it: what is loaded with all settings, and the SAs without their
// numbers. Secrets are told by their fingerprints.
func (c *Charon) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.running {
		return "charon is not running\n"
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(c.conns)) {
		fmt.Fprintf(&b, "conn %s %s", name, c.conns[name])
	}
	for _, name := range slices.Sorted(maps.Keys(c.pools)) {
		fmt.Fprintf(&b, "pool %s %s", name, c.pools[name])
	}
	for _, name := range slices.Sorted(maps.Keys(c.shared)) {
		m := c.shared[name]
		fmt.Fprintf(&b, "secret %s %s of %v: %s\n", text(m, "type"), name, m.Get("owners"), fingerprint(text(m, "data")))
	}
	for _, id := range slices.Sorted(maps.Keys(c.keys)) {
		fmt.Fprintf(&b, "key %s\n", id)
	}
	b.WriteString(c.printSAs())
	return b.String()
}

func (c *Charon) printSAs() string {
	var lines []string
	for _, sa := range c.sas {
		line := fmt.Sprintf("%s: ESTABLISHED, remote %s", sa.Conn, sa.Remote)
		if sa.Identity != "" {
			line += " '" + sa.Identity + "' [" + sa.Pool + "]"
		}
		if sa.User != "" {
			line += " EAP: '" + sa.User + "' [" + sa.Pool + "]"
		}
		var names []string
		for _, child := range sa.Children {
			names = append(names, child.Name+": INSTALLED")
		}
		slices.Sort(names)
		lines = append(lines, line+"\n  "+strings.Join(names, ", ")+"\n")
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// Initiate brings a child up, as traffic into its trap would.
func (c *Charon) Initiate(conn, child string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.comeUp(conn, child)
}

// BringUp brings every child up that is not, towards an end that is somewhere, as traffic
// and peers would in time.
func (c *Charon) BringUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	live := map[string]bool{}
	for _, sa := range c.sas {
		for _, child := range sa.Children {
			live[sa.Conn+"/"+child.Name] = true
		}
	}
	for _, conn := range sorted(c.conns) {
		m := c.conns[conn]
		children := sub(m, "children")
		if remote, _ := m.Get("remote_addrs").([]string); len(remote) == 0 || remote[0] == "%any" || children == nil {
			continue
		}
		for _, child := range children.Keys() {
			if !live[conn+"/"+child] {
				c.comeUp(conn, child)
			}
		}
	}
}

// Forget unloads a connection behind vpnctl's back.
func (c *Charon) Forget(conn string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.conns, conn)
}

// Load loads what is somebody else's.
func (c *Charon) Load(conn, pool, secret string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns[conn] = message("version", "2", "remote_addrs", []string{"203.0.113.9"},
		"children", message(conn, message("mode", "tunnel")))
	c.pools[pool] = message("addrs", "10.50.0.0/24")
	c.shared[secret] = message("id", secret, "type", "IKE", "data", "theirs", "owners", []string{"them"})
}
