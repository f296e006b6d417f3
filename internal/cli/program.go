package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/vpnctl/vpnctl/internal/backend"
	"github.com/vpnctl/vpnctl/internal/engine"
	"github.com/vpnctl/vpnctl/internal/eventlog"
	"github.com/vpnctl/vpnctl/internal/guardian"
	"github.com/vpnctl/vpnctl/internal/host"
	"github.com/vpnctl/vpnctl/internal/lockout"
	"github.com/vpnctl/vpnctl/internal/management"
	"github.com/vpnctl/vpnctl/internal/node"
	"github.com/vpnctl/vpnctl/internal/probe"
	"github.com/vpnctl/vpnctl/internal/state"
	"github.com/vpnctl/vpnctl/internal/vault"
)

// Program is vpnctl with everything that it takes from around it. Tests replace what
// reaches the host.
type Program struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Terminal says whether somebody reads standard output and can answer.
	Terminal bool
	Getenv   func(string) (string, bool)
	Hints    func(flag string) node.Hints
	// StateDir and RunDir are the defaults of where state and lock are.
	StateDir, RunDir string
	// Backends are the host's.
	Backends func(v *vault.Vault) []backend.Backend
	Now      func() time.Time
	// Events is where processes write what they do that nobody looks at.
	Events func() *eventlog.Log
	// Management finds the connection by which the operator is here.
	Management func() (management.Connection, bool)
	// Guardian carries the way back of an apply that waits to be confirmed.
	Guardian func(stateDir string) engine.Guardian
	// BootID tells one boot of the host from the next.
	BootID func() (string, error)
	// ProbePace is how long probes must hold; zero fields get what is due.
	ProbePace probe.Pace
	// Ways reads which way packets go; nil is a host on which nobody can be locked out.
	Ways func(s backend.Secrets) (*lockout.Observed, error)
}

// Main runs vpnctl as a process and returns its exit code.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A closed terminal or output ends no apply half-way. The signals are caught, not
	// ignored: children would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGPIPE)
	p := &Program{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Terminal: isTerminal(os.Stdout),
		Getenv: os.LookupEnv, Hints: node.LocalHints,
		StateDir: "/var/lib/vpnctl", RunDir: "/run/vpnctl",
		Backends: hostBackends, Now: time.Now, Events: eventlog.Open, Ways: lockout.Kernel().Observe,
		Management: func() (management.Connection, bool) { return management.Find(os.LookupEnv) },
		BootID:     host.BootID,
		Guardian:   func(stateDir string) engine.Guardian { return guardian.New(stateDir) },
	}
	return p.Run(ctx, os.Args[1:])
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// Run runs one command line and returns its exit code.
func (p *Program) Run(ctx context.Context, args []string) int {
	g := &globals{Program: p}
	root := g.command()
	root.SetArgs(args)
	root.SetIn(p.Stdin)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !g.started {
		err = complaint(cmd, err)
	}
	_, _ = io.WriteString(p.Stderr, message(err)) // nobody is left to tell
	return exitCode(err)
}

// complaint is what cobra says of a command line before any command runs, on one line and
// with where to look.
func complaint(cmd *cobra.Command, err error) error {
	var ours *usageError
	if errors.As(err, &ours) {
		return err
	}
	if cmd.Args != nil && strings.Contains(err.Error(), "arg(s)") {
		return usagef("usage: %s; see `%s --help`", cmd.UseLine(), cmd.CommandPath())
	}
	said, near, found := strings.Cut(err.Error(), "\n\nDid you mean this?\n\t")
	if found {
		said += fmt.Sprintf(" (did you mean %s?)", strings.Join(strings.Fields(near), ", "))
	}
	return usagef("%s; see `%s --help`", said, cmd.CommandPath())
}

// globals are the flags that every command has.
type globals struct {
	*Program
	started bool

	node        string
	stateDir    string
	output      string
	color       string
	verbose     bool
	lockTimeout time.Duration
}

func (g *globals) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "vpnctl",
		Short: "Declarative VPN gateways: one topology file, every tunnel",
		Long: `vpnctl turns one YAML topology into the state of each VPN gateway that it names.
Every node runs the same file; vpnctl works out which node it is, compares what
the topology wants with what the host has, and changes only what differs.`,
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := g.check(); err != nil {
				return err
			}
			g.started = true
			return nil
		},
	}
	root.SetVersionTemplate("{{.Version}}\n")
	f := root.PersistentFlags()
	f.StringVar(&g.node, "node", "", "which node of the topology this host is (default: found by host name or address)")
	f.StringVar(&g.stateDir, "state-dir", g.StateDir, "where vpnctl keeps what it remembers")
	f.StringVarP(&g.output, "output", "o", "text", "output format: text, json or yaml")
	f.StringVar(&g.color, "color", "auto", "colours: auto, always or never")
	f.BoolVarP(&g.verbose, "verbose", "v", false, "say more; each step of an apply as it is done")
	f.DurationVar(&g.lockTimeout, "lock-timeout", 10*time.Second, "how long to wait for another vpnctl")
	for name, words := range map[string][]string{"output": formats, "color": {"auto", "always", "never"}} {
		// It fails for unknown flags only.
		_ = root.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	}
	root.AddCommand(
		g.applyCommand(), g.diffCommand(), g.statusCommand(), g.destroyCommand(), g.confirmCommand(), g.rollbackCommand(), g.historyCommand(),
		g.validateCommand(), g.renderCommand(), g.keygenCommand(), g.versionCommand(), g.manCommand(),
		g.kickCommand(), g.watchCommand(), g.bootCommand(), g.revertCommand(), userspaceCommand(),
	)
	root.AddCommand(pptpCommands()...)
	return root
}

// check refuses flags whose values cobra does not know.
func (g *globals) check() error {
	if err := oneOf("output", g.output, formats...); err != nil {
		return err
	}
	return oneOf("color", g.color, "auto", "always", "never")
}

func oneOf(flag, value string, words ...string) error {
	for _, w := range words {
		if value == w {
			return nil
		}
	}
	return usagef("--%s: %q is not one of %s", flag, value, strings.Join(words, ", "))
}

// colours reports whether to print in colour.
func (g *globals) colours() bool {
	if g.color != "auto" {
		return g.color == "always"
	}
	plain, set := g.Getenv("NO_COLOR")
	return g.Terminal && (!set || plain == "")
}

// workshop is what commands need that look at the host or change it.
type workshop struct {
	*engine.Engine
	vault *vault.Vault
	back  bool // the host went back when this was opened
}

// open opens the state folder and the host, and tells of an apply that was cut off. One that
// should have gone back by now, and whose guardian is gone, goes back first.
func (g *globals) open(ctx context.Context) (*workshop, error) {
	w, err := g.workshop()
	if err != nil {
		return nil, err
	}
	rec, left, err := w.RevertLate(ctx)
	if w.back = rec != nil && err == nil; w.back {
		g.say("went back: an apply of %s was not confirmed in time", rec.Head.At.Format(time.RFC3339))
	}
	for _, l := range left {
		g.say("could not be undone after a reboot: %s", l)
	}
	if err != nil {
		g.say("warning: %v", err) // most commands can do without, and rollback tries again
	}
	return w, g.sayInterrupted(w)
}

// workshop opens the state folder and the host.
func (g *globals) workshop() (*workshop, error) {
	dir := &state.Dir{Path: g.stateDir, Files: host.Disk{}}
	if err := dir.Check(); err != nil {
		return nil, err
	}
	v, err := vault.Open(g.stateDir, host.Disk{})
	if err != nil {
		return nil, err
	}
	e := &engine.Engine{
		State: dir, Vault: v, Backends: g.Backends(v), RunDir: g.RunDir, LockTimeout: g.lockTimeout, Now: g.Now, BootID: g.BootID,
	}
	if g.Guardian != nil {
		e.Guardian = g.Guardian(g.stateDir)
	}
	if g.verbose {
		e.Progress = func(line string) { g.say("%s", line) }
	}
	return &workshop{Engine: e, vault: v}, nil
}

// say writes a line to standard error.
func (g *globals) say(format string, args ...any) {
	_, _ = fmt.Fprintf(g.Stderr, format+"\n", args...) // a closed terminal stops nothing
}

// sayInterrupted tells of an apply that was cut off: a journal that nobody works on.
func (g *globals) sayInterrupted(w *workshop) error {
	rec, err := w.Interrupted()
	if rec == nil || err != nil {
		return err
	}
	next := "`vpnctl apply` or `vpnctl rollback` continues"
	due, err := w.Armed()
	if !due.IsZero() {
		next = fmt.Sprintf("it goes back at %s, or at once by `vpnctl rollback`", due.UTC().Format(time.RFC3339))
	}
	g.say("warning: an apply of %s was cut off: %s; %s", rec.Head.At.Format(time.RFC3339), rec.Begun(), next)
	return err
}

// load reads a topology for a host command: FILE, or what was applied last.
func (g *globals) site(ctx context.Context, w *workshop, args []string) (*site, error) {
	if len(args) > 0 {
		return g.loadFile(ctx, w.vault, args[0])
	}
	applied, err := w.State.Applied()
	if err != nil {
		return nil, err
	}
	if applied == nil {
		return nil, &usageError{errors.New("nothing has been applied on this host: name a topology file")}
	}
	return g.loadApplied(ctx, w.vault, applied)
}
